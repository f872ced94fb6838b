import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

import cli
from accounts import parse_username
from tests.conftest import ROOT, Serve, add_users, viewing


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "cli.py", *arguments],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def names(database: psycopg.Connection) -> list[tuple[str, str]]:
    return database.execute("SELECT username, username_key FROM users ORDER BY id").fetchall()


def test_made_up_people_have_allowed_names_of_their_own_and_cannot_sign_in(
    database_url: str, database: psycopg.Connection
) -> None:
    cli.add_demo_people(database_url, 12_345, among_real_people=False)
    cli.add_demo_people(database_url, 5, among_real_people=False)
    found = names(database)
    assert len({key for _, key in found}) == 12_350
    for shown, key in found[::50]:
        name = parse_username(shown)
        assert (name.shown, name.key) == (shown, key)
    assert database.execute("SELECT DISTINCT password_hash FROM users").fetchall() == [(cli.NO_PASSWORD,)]
    assert database.execute("SELECT version, size FROM roster").fetchone() == (2, 12_350)


def test_real_people_are_left_alone_unless_told_otherwise(
    database_url: str, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    with pytest.raises(cli.DemoError, match="Real people"):
        cli.add_demo_people(database_url, 10, among_real_people=False)
    assert len(names(database)) == 1
    cli.add_demo_people(database_url, 10, among_real_people=True)
    assert len(names(database)) == 11


def test_a_name_that_somebody_has_adds_nobody(
    database_url: str, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "NAMES", (("user", "", "x"),))
    database.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES ('Userx3', 'userx3', '-')"
    )
    with pytest.raises(cli.DemoError, match="try again"):
        cli.add_demo_people(database_url, 10, among_real_people=True)
    assert len(names(database)) == 1


async def test_it_works_beside_a_running_roster_whose_viewers_see_one_change(
    serve: Serve, tmp_path: Path
) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer:
        await viewer.until(0)
        done = run(tmp_path, "demo", "1000")
        assert (done.returncode, done.stdout) == (0, "")
        assert "1.00k/1.00k" in done.stderr
        event = await viewer.next()
        assert event
        assert (event.id, event.size) == ("1", 1000)


def test_it_works_without_a_running_roster(tmp_path: Path) -> None:
    assert run(tmp_path, "demo", "3").returncode == 0
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    refused = run(tmp_path, "demo", "3")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "PostgreSQL 17" in refused.stderr


@pytest.mark.parametrize("count", ["0", "-1", "many", "²", "9" * 5000, "100000001"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    refused = run(tmp_path, "demo", count)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_made_up_names_leave_room_for_their_number() -> None:
    longest = max(
        len(given) + len(joint) + len(family)
        for givens, joint, families in cli.NAMES
        for given in givens.split()
        for family in families.split()
    )
    assert longest + len(str(10**9)) <= 32


def make_login(url: str, rows: list[tuple[str | None, str | None]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE login (username varchar(100), password varchar(400))")
        cursor.executemany("INSERT INTO login VALUES (%s, %s)", rows)


def test_the_people_of_the_lesson_come_along_and_can_sign_in(
    tmp_path: Path, serve: Serve, database_url: str, database: psycopg.Connection, empty_database_url: str
) -> None:
    make_login(
        empty_database_url,
        [
            ("Zoe", "abc"),
            ("zoe", "another"),
            ("张三", "123456"),
            ("two words", "s3cret-1"),
            ("admin", "s3cret-2"),
            ("kept", "s3cret-3"),
            (None, "s3cret-4"),
            ("nopassword", None),
            ("emptypassword", ""),
            ("a\x1b[31mb", "s3cret-5"),
            ("longpassword", "s3cret-6" * 40),
            *[(f"user{n}", "s3cret-7") for n in range(120)],
        ],
    )
    add_users(database, 1, "kept")
    database.execute("UPDATE users SET username = 'Kept', username_key = 'kept'")
    roster = serve(DATABASE_URL=database_url)
    for summary in ("122 brought along, 2 existed already", "0 brought along, 124 existed already"):
        done = run(tmp_path, "import-login", "--from", empty_database_url, DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        assert f"{summary}, 7 refused." in done.stdout
        for line in (
            "Refused two words: A user name has no spaces",
            "Refused admin: The user name admin is reserved",
            "Refused None: Enter a user name.",
            "Refused nopassword: Enter a password.",
            "Refused emptypassword: Enter a password.",
            "Refused 'a\\x1b[31mb': ",
            "Refused longpassword: Choose a shorter password",
        ):
            assert line in done.stdout
        assert "131/131" in done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        assert "\x1b[31m" not in done.stdout
    assert database.execute("SELECT password_hash FROM users WHERE username = 'Kept'").fetchone() == (
        "no hash",
    )
    for username, password in (("zoe", "abc"), ("张三", "123456")):
        answer = httpx.post(f"{roster.url}/sign-in", data={"username": username, "password": password})
        assert answer.status_code == 303


@pytest.mark.parametrize(
    "source", ["postgresql://me:s3cret@127.0.0.1:1/x", "postgresql://me:x@s3cret@127.0.0.1/x", "nonsense", ""]
)
def test_a_login_table_that_cannot_be_read_is_one_line(
    tmp_path: Path, database_url: str, source: str
) -> None:
    for dsn in (source, database_url):
        refused = run(tmp_path, "import-login", "--from", dsn, DATABASE_URL=database_url, PGHOST="/nowhere")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert re.match(
            "The table login cannot be brought along: |--from .* is not allowed: ", refused.stderr
        )
        assert "s3cret" not in refused.stderr
