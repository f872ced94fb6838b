import re
from pathlib import Path

import pytest

from settings import BadSettingError, Settings, mask_password, read_settings

ROOT = Path(__file__).parent.parent


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


def test_an_empty_value_counts_as_unset() -> None:
    assert read_settings({"DATABASE_URL": "", "BIND": " "}) == Settings()


def test_every_setting_is_read_and_typed() -> None:
    settings = read_settings(
        {
            "DATABASE_URL": "postgresql://me@db/roster",
            "DATA_DIR": "/srv/roster",
            "BIND": "[::1]:80",
            "POOL_SIZE": "3",
            "PASSWORD_MIN_LENGTH": "15",
            "PUBLIC_ORIGIN": "https://Roster.example/",
        },
    )
    assert settings == Settings(
        database_url="postgresql://me@db/roster",
        data_dir=Path("/srv/roster"),
        bind=("::1", 80),
        pool_size=3,
        password_min_length=15,
        public_origin="https://roster.example",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql nonsense"),
        ("BIND", "8000"),
        ("BIND", ":8000"),
        ("BIND", "127.0.0.1:65536"),
        ("BIND", "127.0.0.1:http"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "101"),
        ("POOL_SIZE", "²"),
        ("PASSWORD_MIN_LENGTH", "7"),
        ("PASSWORD_MIN_LENGTH", "eight"),
        ("PUBLIC_ORIGIN", "roster.example"),
        ("PUBLIC_ORIGIN", "https://roster.example/page"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_its_text_and_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(BadSettingError) as caught:
        read_settings({name: value})
    assert re.fullmatch(rf"{name}={re.escape(repr(value))} is not allowed: write .+", str(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:s3cret@host/db",
        "postgresql://me:s3:cr/et@host/db",
        "host=x password=s3cret user=me",
        "host=x password='s3 cret' user=me",
        "postgresql://host/db?user=me&password=s3cret",
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
    settings = read_settings()
    assert (settings.pool_size, settings.password_min_length) == (5, 9)


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read_settings(example) == Settings()
    assert {name.lower() for name in example} == set(Settings.__dataclass_fields__)


def test_the_readme_explains_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in Settings.__dataclass_fields__:
        assert f"`{name.upper()}`" in readme
