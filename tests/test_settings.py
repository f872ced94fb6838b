import re
from pathlib import Path

import pytest

from settings import BadSettingError, Settings, mask_password, parse_database_url, read_settings
from tests.helpers import ROOT, UNSET


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a `.env` file, in an environment that sets nothing."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".env"
    monkeypatch.setattr("settings.ENV_FILE", path)
    return path


def refusal() -> str:
    """Return the one line in which the settings are refused."""
    with pytest.raises(BadSettingError) as caught:
        read_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


def test_an_empty_value_counts_as_unset() -> None:
    assert read_settings({"DATABASE_URL": "", "BIND": " "}) == Settings()


def test_every_setting_is_read_and_typed() -> None:
    found = read_settings(
        {
            "DATABASE_URL": "postgresql://me@db/roster",
            "DATA_DIR": "/srv/roster",
            "BIND": "[::1]:80",
            "LISTEN_DATABASE_URL": "host=primary dbname=roster",
            "WORKERS": "4",
            "POOL_SIZE": " 3 ",
            "MAX_VIEWERS": "20",
            "PASSWORD_MIN_LENGTH": "15",
            "RATE_LIMITS": "off",
            "TRUSTED_PROXY_HOPS": "2",
            "PUBLIC_ORIGIN": "https://Roster.example/",
            "MIGRATE": "off",
            "TLS_CERTIFICATE": "/etc/roster/certificate.pem",
            "TLS_KEY": "/etc/roster/key.pem",
        },
    )
    assert found == Settings(
        database_url="postgresql://me@db/roster",
        data_dir=Path("/srv/roster"),
        bind=("::1", 80),
        listen_database_url="host=primary dbname=roster",
        workers=4,
        pool_size=3,
        max_viewers=20,
        password_min_length=15,
        rate_limits=False,
        trusted_proxy_hops=2,
        public_origin="https://roster.example",
        migrate=False,
        tls_certificate=Path("/etc/roster/certificate.pem"),
        tls_key=Path("/etc/roster/key.pem"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql nonsense"),
        ("DATABASE_URL", "postgresql://me:s3c@ret@db/roster"),
        ("DATABASE_URL", "postgresql://me:s3c/ret@db/roster"),
        ("DATABASE_URL", "postgresql:/me:s3cret@db/roster"),
        ("DATABASE_URL", "postgresql://db:http/roster"),
        ("LISTEN_DATABASE_URL", "mysql nonsense"),
        ("RATE_LIMITS", "yes"),
        ("RATE_LIMITS", "ON"),
        ("TRUSTED_PROXY_HOPS", "-1"),
        ("TRUSTED_PROXY_HOPS", "11"),
        ("DATA_DIR", "~nobody-of-that-name/data"),
        ("BIND", "8000"),
        ("BIND", ":8000"),
        ("BIND", "[]:8000"),
        ("BIND", "127.0.0.1:"),
        ("BIND", "127.0.0.1:65536"),
        ("BIND", "127.0.0.1:000080"),
        ("BIND", "127.0.0.1:-1"),
        ("BIND", "127.0.0.1:http"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "101"),
        ("POOL_SIZE", "²"),
        ("POOL_SIZE", "٣"),
        ("POOL_SIZE", "1.5"),
        ("POOL_SIZE", "0000000080000"),
        ("MAX_VIEWERS", "0"),
        ("MAX_VIEWERS", "1000001"),
        ("PASSWORD_MIN_LENGTH", "7"),
        ("PASSWORD_MIN_LENGTH", "65"),
        ("PASSWORD_MIN_LENGTH", "eight"),
        ("PUBLIC_ORIGIN", "roster.example"),
        ("PUBLIC_ORIGIN", "ftp://roster.example"),
        ("PUBLIC_ORIGIN", "https://"),
        ("PUBLIC_ORIGIN", "https://roster.example/page"),
        ("PUBLIC_ORIGIN", "https://roster.example?x"),
        ("PUBLIC_ORIGIN", "https://roster.example#x"),
        ("PUBLIC_ORIGIN", "https://roster example"),
        ("PUBLIC_ORIGIN", "https://roster.example:port"),
        ("PUBLIC_ORIGIN", "https://me:s3cret@roster.example"),
        ("PUBLIC_ORIGIN", "https://[::1"),
        ("PUBLIC_ORIGIN", "https://[.]"),
        ("PUBLIC_ORIGIN", "https://a\N{ACCOUNT OF}b"),
        ("PUBLIC_ORIGIN", "https://roster.example:99999"),
        ("MIGRATE", "no"),
        ("DATA_DIR", "da\0ta"),
        ("DATA_DIR", "data\udcff"),
        ("PUBLIC_ORIGIN", "https://roster\x1b.example"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(BadSettingError) as caught:
        read_settings({"DATABASE_URL": "host=db", name: value})
    shown = repr(mask_password(value))
    assert re.fullmatch(rf"{name}={re.escape(shown)} is not allowed: write .+", str(caught.value))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("WORKERS", 1, 100),
        ("POOL_SIZE", 1, 100),
        ("MAX_VIEWERS", 1, 1_000_000),
        ("PASSWORD_MIN_LENGTH", 8, 64),
        ("TRUSTED_PROXY_HOPS", 0, 10),
    ],
)
def test_the_ends_of_a_range_are_allowed(name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(read_settings({name: str(value)}), name.lower()) == value


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("localhost:0", ("localhost", 0)),
        ("::1:8000", ("::1", 8000)),
        ("[::]:8000", ("::", 8000)),
    ],
)
def test_an_address_to_bind_is_a_host_and_a_port(text: str, bind: tuple[str, int]) -> None:
    assert read_settings({"BIND": text}).bind == bind


def test_a_folder_may_be_in_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read_settings({"DATA_DIR": "~/roster"}).data_dir == Path("/home/me/roster")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Roster.example:443", "https://roster.example"),
        ("http://roster.example:80/", "http://roster.example"),
        ("http://roster.example:443", "http://roster.example:443"),
        ("HTTPS://roster.example:8443", "https://roster.example:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_public_origin_is_what_a_browser_sends(text: str, origin: str) -> None:
    assert read_settings({"PUBLIC_ORIGIN": text}).public_origin == origin


def test_listening_elsewhere_needs_a_database_of_ones_own() -> None:
    with pytest.raises(BadSettingError, match="set DATABASE_URL too"):
        read_settings({"LISTEN_DATABASE_URL": "postgresql://db/roster"})


@pytest.mark.parametrize("name", ["TLS_CERTIFICATE", "TLS_KEY"])
def test_a_certificate_needs_its_key(name: str) -> None:
    with pytest.raises(BadSettingError, match="set both"):
        read_settings({name: "file.pem"})


def test_an_env_file_that_is_not_text_is_refused(env_file: Path) -> None:
    env_file.write_bytes(b"BIND=\xff")
    assert "UTF-8" in refusal()


def test_an_env_file_that_cannot_be_read_is_refused(env_file: Path) -> None:
    env_file.mkdir()
    assert refusal().startswith(f"{env_file} cannot be read: Is a directory")


@pytest.mark.parametrize(
    "line",
    [
        "POOL SIZE=3",
        "POOL_SIZE 3",
        "POOL_SIZE: 3",
        "POOL_SIZE",
        "=3",
        'DATABASE_URL="host=db password=s3cret',
    ],
)
def test_an_env_file_that_is_malformed_is_refused_without_what_may_be_a_password(
    env_file: Path, line: str
) -> None:
    env_file.write_text(f"# a comment\n\n{line}\nBIND=127.0.0.1:1\n")
    assert refusal() == ".env is malformed in line 3: write NAME=value, and close every quote"


def test_a_name_that_stands_twice_in_the_env_file_is_refused(env_file: Path) -> None:
    env_file.write_text("POOL_SIZE=3\nBIND=127.0.0.1:1\nPOOL_SIZE=4\n")
    assert refusal() == "POOL_SIZE stands twice in .env: leave one line out"


def test_an_env_file_may_be_written_as_a_shell_or_windows_does(env_file: Path) -> None:
    env_file.write_bytes(b"\xef\xbb\xbfexport POOL_SIZE='3'\r\nMAX_VIEWERS = \"20\" # a room\r\n")
    assert read_settings() == Settings(pool_size=3, max_viewers=20)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("DATABSE_URL", "write DATABASE_URL"),
        ("pool_size", "write POOL_SIZE"),
        ("WORKRES", "write WORKERS"),
        ("COLOUR", "see .env.example for those that exist"),
    ],
)
def test_a_name_in_the_env_file_that_is_no_setting_is_refused(
    env_file: Path, name: str, allowed: str
) -> None:
    env_file.write_text(f"POOL_SIZE=3\n{name}=s3cret\n")
    assert refusal() == f"'{name}' in .env is not the name of a setting: {allowed}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("DATADIR", "DATA_DIR"),
        ("RATE_LIMIT", "RATE_LIMITS"),
        ("PASSWORD_MIN_LEN", "PASSWORD_MIN_LENGTH"),
        ("trusted_proxy_hops", "TRUSTED_PROXY_HOPS"),
    ],
)
def test_a_misspelt_name_in_the_environment_is_refused(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    assert not env_file.exists()
    monkeypatch.setenv(name, "s3cret")
    assert refusal() == f"'{name}' is not the name of a setting: write {meant}"


@pytest.mark.parametrize(
    "name", ["TEST_DATABASE_URL", "XDG_DATA_DIRS", "PGDATABASE", "BINDIR", "ROSTER_PORT", "COLOUR", "PATH"]
)
def test_what_other_programs_read_in_the_environment_is_no_misspelt_name(name: str) -> None:
    assert read_settings({name: "x"}) == Settings()


@pytest.mark.parametrize(("text", "folder"), [("", "data"), ("a/b", "a/b"), ("../c", "../c"), ("/d", "/d")])
def test_a_folder_is_relative_to_the_project_wherever_a_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings({"DATA_DIR": text}).data_dir == ROOT / folder


def test_the_environment_wins_over_the_env_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("POOL_SIZE=2\nPASSWORD_MIN_LENGTH=9\nMAX_VIEWERS=\n")
    monkeypatch.setenv("POOL_SIZE", "5")
    found = read_settings()
    assert (found.pool_size, found.password_min_length) == (5, 9)
    assert found.max_viewers == Settings().max_viewers


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:pw@db1:5432,db2:5433/roster",
        "postgresql://me:p%40w%2F@db/roster",
        "host=db user=me password='p w'",
    ],
)
def test_a_connection_string_is_kept_as_it_is_written(text: str) -> None:
    assert parse_database_url(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s3:cr/et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s3@cret@host/db", "postgresql://me:***@host/db"),
        ("host=x password=s3cret user=me", "host=x password=*** user=me"),
        ("host=x PASSWORD=s3cret user=me", "host=x PASSWORD=*** user=me"),
        ("host=x Password = s3cret user=me", "host=x Password = *** user=me"),
        ("host=x password='s3 cret' user=me", "host=x password=*** user=me"),
        (r"host=x password='s3\' cret' user=me", "host=x password=*** user=me"),
        ("host=x sslpassword=s3cret user=me", "host=x sslpassword=*** user=me"),
        ("password=s3cret password=cr3t", "password=*** password=***"),
        ("postgresql://host/db?user=me&password=s3cret", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?PASSWORD=s3cret&user=me", "postgresql://host/db?PASSWORD=***&user=me"),
        ("postgresql:/me:s3cret@host/db", "postgresql:***@host/db"),
        ("me:s3cret@host/db", "me:***@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("host=x user=me", "host=x user=me"),
    ],
)
def test_a_password_is_masked_in_whatever_is_shown(text: str, masked: str) -> None:
    assert mask_password(text) == masked


def test_a_refused_database_url_does_not_show_its_password() -> None:
    with pytest.raises(BadSettingError) as caught:
        read_settings({"DATABASE_URL": "postgresql://me:s3cret@host:port:1/db?bad"})
    assert "s3cret" not in str(caught.value)


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read_settings(example) == Settings()
    assert {name.lower() for name in example} == set(Settings.__dataclass_fields__)


def test_the_readme_explains_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in Settings.__dataclass_fields__:
        assert f"`{name.upper()}`" in readme
