import itertools
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import httpx
import psycopg
import pytest

from services import demo_people
from services.demo_people import DemoError, add_demo_people
from services.login_import import import_login
from services.usernames import parse_username
from settings import VERSION
from tests.helpers import (
    ROOT,
    UNSET,
    StartServer,
    add_users,
    names_in,
    parse_html,
    processes_of,
    register,
    run_cli,
    usernames,
    viewing,
    wait_until,
)

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def names_and_keys(psql: psycopg.Connection) -> list[tuple[str, str]]:
    return psql.execute("SELECT username, username_key FROM users ORDER BY id").fetchall()


def create_login_table(url: str, rows: list[tuple[str | None, str | None]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE login (username varchar(100), password varchar(400))")
        cursor.executemany("INSERT INTO login VALUES (%s, %s)", rows)


def start_demo(folder: Path, database_url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", "demo", "3"],
        cwd=folder,
        env=os.environ | UNSET | {"DATABASE_URL": database_url},
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_made_up_people_have_valid_names_and_cannot_sign_in(
    database_url: str, psql: psycopg.Connection
) -> None:
    await add_demo_people(database_url, 12_345, among_real_people=False)
    await add_demo_people(database_url, 5, among_real_people=False)
    found = names_and_keys(psql)
    assert len({key for _, key in found}) == 12_350
    for shown, key in found[::50]:
        name = parse_username(shown)
        assert (name.shown, name.key) == (shown, key)
    assert psql.execute("SELECT DISTINCT password_hash FROM users").fetchall() == [
        (demo_people.PASSWORD_HASH,)
    ]
    assert psql.execute("SELECT version, size FROM roster").fetchone() == (2, 12_350)


async def test_further_made_up_people_have_further_numbers(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_people, "NAMES", (("Mia", ".", "Rossi"),))
    for _ in range(2):
        await add_demo_people(database_url, 2, among_real_people=False)
    assert usernames(psql) == [f"Mia.Rossi{number}" for number in (4, 3, 2, 1)]


async def test_made_up_people_of_an_older_version_keep_their_names(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ids were not negative."""
    monkeypatch.setattr(demo_people, "NAMES", (("Mia", ".", "Rossi"),))
    psql.execute(
        """
        INSERT INTO users (username, username_key, password_hash)
        SELECT 'Mia.Rossi' || n, 'mia.rossi' || n, 'demo' FROM generate_series(1, 3) AS n
        """
    )
    await add_demo_people(database_url, 2, among_real_people=False)
    assert usernames(psql) == [f"Mia.Rossi{number}" for number in (5, 4, 1, 2, 3)]


async def test_made_up_people_registered_within_the_last_days(
    database_url: str, psql: psycopg.Connection
) -> None:
    before = datetime.now(UTC)
    await add_demo_people(database_url, 1000, among_real_people=False)
    times = [time for (time,) in psql.execute("SELECT registered_at FROM users ORDER BY id")]
    assert times == sorted(times)
    assert times[-1] <= datetime.now(UTC)
    assert times[0] == pytest.approx(before - timedelta(days=demo_people.DAYS), abs=timedelta(days=1))


async def test_real_people_are_left_alone_unless_told_otherwise(
    database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    with pytest.raises(DemoError, match="Real people"):
        await add_demo_people(database_url, 10, among_real_people=False)
    assert len(usernames(psql)) == 1
    await add_demo_people(database_url, 10, among_real_people=True)
    assert len(usernames(psql)) == 11


async def test_made_up_people_are_older_than_all_others_and_stand_below_them(
    client: httpx.AsyncClient, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 2)
    psql.execute("UPDATE users SET registered_at = '2026-03-04 23:30Z' WHERE username = 'user2'")
    psql.execute("DELETE FROM users WHERE username = 'user1'")
    for count in (3, 4):
        before = psql.execute("SELECT min(id), min(registered_at) FROM users").fetchone()
        await add_demo_people(database_url, count, among_real_people=True)
        older = "SELECT FROM users WHERE id < %s AND registered_at < %s"
        assert before
        assert psql.execute(older, before).rowcount == count
    await register(client, "newcomer")
    listed = names_in(await client.get("/?q="))
    assert (listed[:2], len(listed)) == (["newcomer", "user2"], 9)
    in_time = psql.execute("SELECT username FROM users ORDER BY registered_at DESC").fetchall()
    assert listed == [name for (name,) in in_time]


async def test_real_and_made_up_people_are_paged_through(
    client: httpx.AsyncClient, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 30)
    await add_demo_people(database_url, 120, among_real_people=True)
    expected, path = list(reversed(usernames(psql))), "/?before=x"
    for shown in (expected[:50], expected[50:100], expected[100:]):
        page = await client.get(path)
        assert names_in(page) == shown
        path = "".join(str(link["href"]) for link in parse_html(page).select("nav a[rel=next]"))
    for shown in (expected[50:100], expected[:50]):
        [link] = parse_html(page).select("nav a[rel=prev]")
        page = await client.get(str(link["href"]))
        assert names_in(page) == shown


async def test_only_made_up_people_are_removed_in_one_change(
    tmp_path: Path, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 2)
    for count, line in (
        (0, "0 made-up people removed.\n"),
        (1, "1 made-up person removed.\n"),
        (120, "120 made-up people removed.\n"),
    ):
        if count:
            await add_demo_people(database_url, count, among_real_people=True)
        before = psql.execute("SELECT version, size FROM roster").fetchone()
        done = run_cli(tmp_path, "demo", "--remove", DATABASE_URL=database_url)
        assert (done.returncode, done.stdout, done.stderr) == (0, line, "")
        assert usernames(psql) == ["user1", "user2"]
        assert before
        after = psql.execute("SELECT version, size FROM roster").fetchone()
        assert after == (before[0] + (count > 0), 2)


async def test_a_name_that_somebody_has_adds_nobody(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_people, "NAMES", (("user", "", "x"),))
    psql.execute("INSERT INTO users (username, username_key, password_hash) VALUES ('Userx3', 'userx3', '-')")
    with pytest.raises(DemoError, match="try again"):
        await add_demo_people(database_url, 10, among_real_people=True)
    assert len(usernames(psql)) == 1


async def test_viewers_of_a_running_roster_see_one_change(serve: StartServer, tmp_path: Path) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer:
        await viewer.wait_for(0)
        done = run_cli(tmp_path, "demo", "1000")
        assert (done.returncode, done.stdout) == (0, "")
        assert "1.00k/1.00k" in done.stderr
        event = await viewer.next()
        assert event
        assert (event.id, event.total) == ("1", 1000)


def test_it_works_without_a_running_roster(tmp_path: Path) -> None:
    assert run_cli(tmp_path, "demo", "3").returncode == 0
    assert processes_of(tmp_path) == []
    (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    refused = run_cli(tmp_path, "demo", "3")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "PostgreSQL 17" in refused.stderr


def test_it_brings_the_schema_up_to_date(tmp_path: Path, empty_database_url: str) -> None:
    assert run_cli(tmp_path, "demo", "3", DATABASE_URL=empty_database_url).returncode == 0
    with psycopg.connect(empty_database_url) as psql:
        assert len(usernames(psql)) == 3


def test_people_are_added_among_real_people_when_told_so(
    tmp_path: Path, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    refused = run_cli(tmp_path, "demo", "3", DATABASE_URL=database_url)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--among-real-people" in refused.stderr
    added = run_cli(tmp_path, "demo", "3", "--among-real-people", DATABASE_URL=database_url)
    assert added.returncode == 0
    assert len(usernames(psql)) == 4


@pytest.mark.parametrize("count", ["0", "-1", "many", "²", "9" * 5000, "100000001"])
def test_a_count_that_is_not_allowed_is_a_usage_error(tmp_path: Path, count: str) -> None:
    refused = run_cli(tmp_path, "demo", count)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--version"], 0, VERSION),
        (["--help"], 0, "import-login"),
        (["nonsense"], 2, "No such command"),
        (["demo"], 2, "Give either COUNT or --remove."),
        (["demo", "3", "--remove"], 2, "Give either COUNT or --remove."),
        (["demo", "3", "--nonsense"], 2, "No such option"),
        (["import-login"], 2, "Missing option"),
    ],
)
def test_the_command_line_is_checked(tmp_path: Path, arguments: list[str], status: int, text: str) -> None:
    done = run_cli(tmp_path, *arguments)
    assert done.returncode == status
    assert text in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    refused = run_cli(tmp_path, "demo", "3", POOL_SIZE="many")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "POOL_SIZE='many'" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_a_command_and_nobody_is_added(
    tmp_path: Path, database_url: str, psql: psycopg.Connection, number: signal.Signals
) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE users")
        with start_demo(tmp_path, database_url) as process:
            await wait_until(lambda: psql.execute(WAITING).rowcount > 0)
            process.send_signal(number)
            try:
                _, errors = process.communicate(timeout=60)
            finally:
                process.kill()
    assert (process.returncode, errors) == (130, "Stopped.\n")
    assert usernames(psql) == []


def test_made_up_names_leave_room_for_their_number() -> None:
    longest = max(
        len(given + separator + family)
        for givens, separator, families in demo_people.NAMES
        for given, family in product(givens.split(), families.split())
    )
    assert longest + len(str(10**9)) <= 32


def test_people_of_the_login_table_come_along_and_can_sign_in(
    tmp_path: Path,
    serve: StartServer,
    database_url: str,
    psql: psycopg.Connection,
    empty_database_url: str,
) -> None:
    create_login_table(
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
    add_users(psql, 1, "kept")
    psql.execute("UPDATE users SET username = 'Kept', username_key = 'kept'")
    roster = serve(DATABASE_URL=database_url)
    for summary in ("122 imported, 2 existed already", "0 imported, 124 existed already"):
        done = run_cli(tmp_path, "import-login", "--from", empty_database_url, DATABASE_URL=database_url)
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
    assert psql.execute("SELECT password_hash FROM users WHERE username = 'Kept'").fetchone() == ("no hash",)
    for username, password in (("zoe", "abc"), ("张三", "123456")):
        form = {"username": username, "password": password}
        assert httpx.post(f"{roster.url}/sign-in", data=form).status_code == 303


async def test_an_import_waits_for_the_password_hasher_as_long_as_it_takes(
    database_url: str,
    psql: psycopg.Connection,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count(step=3600)  # an hour between any two looks at it
    monkeypatch.setattr("services.passwords.time", SimpleNamespace(monotonic=lambda: next(clock)))
    create_login_table(empty_database_url, [("zoe", "abc"), ("eve", "abc")])
    await import_login(database_url, empty_database_url)
    assert usernames(psql) == ["zoe", "eve"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("postgresql://me:s3cret@127.0.0.1:1/x", "The table login cannot be imported: "),
        ("postgresql://me:x@s3cret@127.0.0.1/x", "--from 'postgresql://me:***@127.0.0.1/x' is not allowed: "),
        ("nonsense", "--from 'nonsense' is not allowed: "),
        ("", "The table login cannot be imported: "),
        (None, "The table login cannot be imported: "),
    ],
)
def test_a_login_table_that_cannot_be_read_is_one_line(
    tmp_path: Path, database_url: str, source: str | None, message: str
) -> None:
    """None stands for a database without that table."""
    dsn = database_url if source is None else source
    refused = run_cli(tmp_path, "import-login", "--from", dsn, DATABASE_URL=database_url, PGHOST="/nowhere")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(message)
    assert "s3cret" not in refused.stderr
