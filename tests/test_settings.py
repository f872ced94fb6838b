import re
from pathlib import Path

import pytest

import settings
from settings import BadSettingError, Settings, mask_password, read_settings, share_origin

ROOT = Path(__file__).parent.parent


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
            "POOL_SIZE": "3",
            "MAX_VIEWERS": "20",
            "PASSWORD_MIN_LENGTH": "15",
            "RATE_LIMITS": "off",
            "TRUSTED_PROXY_HOPS": "2",
            "PUBLIC_ORIGIN": "https://Roster.example/",
        },
    )
    assert found == Settings(
        database_url="postgresql://me@db/roster",
        data_dir=Path("/srv/roster"),
        bind=("::1", 80),
        listen_database_url="host=primary dbname=roster",
        pool_size=3,
        max_viewers=20,
        password_min_length=15,
        rate_limits=False,
        trusted_proxy_hops=2,
        public_origin="https://roster.example",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql nonsense"),
        ("DATABASE_URL", "postgresql://me:s3c@ret@db/roster"),
        ("DATABASE_URL", "postgresql://me:s3c/ret@db/roster"),
        ("DATABASE_URL", "postgresql:/me:s3cret@db/roster"),
        ("RATE_LIMITS", "yes"),
        ("TRUSTED_PROXY_HOPS", "-1"),
        ("DATA_DIR", "~nobody-of-that-name/data"),
        ("BIND", "8000"),
        ("BIND", ":8000"),
        ("BIND", "127.0.0.1:65536"),
        ("BIND", "127.0.0.1:http"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "101"),
        ("POOL_SIZE", "²"),
        ("POOL_SIZE", "0000000080000"),
        ("MAX_VIEWERS", "0"),
        ("PASSWORD_MIN_LENGTH", "7"),
        ("PASSWORD_MIN_LENGTH", "eight"),
        ("PUBLIC_ORIGIN", "roster.example"),
        ("PUBLIC_ORIGIN", "https://roster.example/page"),
        ("PUBLIC_ORIGIN", "https://me:s3cret@roster.example"),
        ("PUBLIC_ORIGIN", "https://[::1"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_its_text_and_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(BadSettingError) as caught:
        read_settings({name: value})
    shown = repr(mask_password(value))
    assert re.fullmatch(rf"{name}={re.escape(shown)} is not allowed: write .+", str(caught.value))


@pytest.mark.parametrize(
    ("origin", "read"),
    [
        ("https://Roster.example:443", "https://roster.example"),
        ("http://roster.example:80/", "http://roster.example"),
        ("http://roster.example:443", "http://roster.example:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_public_origin_is_what_a_browser_sends(origin: str, read: str) -> None:
    assert read_settings({"PUBLIC_ORIGIN": origin}).public_origin == read


@pytest.mark.parametrize(
    ("own", "bind", "shared", "only_here"),
    [
        ("https://roster.example", "127.0.0.1", "https://roster.example", False),
        ("http://192.0.2.7:8000", "0.0.0.0", "http://192.0.2.7:8000", False),
        ("http://127.0.0.1:8000", "127.0.0.1", "http://127.0.0.1:8000", True),
        ("http://localhost:8000", "::1", "http://localhost:8000", True),
        ("http://[::1]:8000", "0.0.0.0", "http://192.0.2.7:9000", False),
        ("http://localhost:8000", "0.0.0.0", "http://192.0.2.7:9000", False),
    ],
)
def test_the_address_to_share_is_one_that_others_can_open(
    monkeypatch: pytest.MonkeyPatch, own: str, bind: str, shared: str, *, only_here: bool
) -> None:
    monkeypatch.setattr(settings, "lan_address", lambda: "192.0.2.7")
    assert share_origin(own, (bind, 9000)) == (shared, only_here)


def test_without_a_network_the_address_is_only_for_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "lan_address", lambda: "")
    assert share_origin("http://127.0.0.1:8000", ("0.0.0.0", 8000)) == ("http://127.0.0.1:8000", True)


def test_listening_elsewhere_needs_a_database_of_ones_own() -> None:
    with pytest.raises(BadSettingError, match="set DATABASE_URL too"):
        read_settings({"LISTEN_DATABASE_URL": "postgresql://db/roster"})


def test_a_file_of_settings_that_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(b"BIND=\xff")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettingError, match="UTF-8"):
        read_settings()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:s3cret@host/db",
        "postgresql://me:s3:cr/et@host/db",
        "postgresql://me:s3@cret@host/db",
        "host=x password=s3cret user=me",
        "host=x password='s3 cret' user=me",
        "postgresql://host/db?user=me&password=s3cret",
        "postgresql:/me:s3cret@host/db",
        "me:s3cret@host/db",
    ],
)
def test_a_password_is_masked_in_whatever_is_shown(text: str) -> None:
    assert "cr" not in mask_password(text)
    assert "***" in mask_password(text)


def test_a_refused_database_url_does_not_show_its_password() -> None:
    with pytest.raises(BadSettingError) as caught:
        read_settings({"DATABASE_URL": "postgresql://me:s3cret@host:port:1/db?bad"})
    assert "s3cret" not in str(caught.value)


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("POOL_SIZE=2\nPASSWORD_MIN_LENGTH=9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POOL_SIZE", "5")
    found = read_settings()
    assert (found.pool_size, found.password_min_length) == (5, 9)


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read_settings(example) == Settings()
    assert {name.lower() for name in example} == set(Settings.__dataclass_fields__)


def test_the_readme_explains_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in Settings.__dataclass_fields__:
        assert f"`{name.upper()}`" in readme
