import csv
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from services import csv_file, people
from services.csv_file import CsvFileError, export_csv
from services.people import list_people
from services.tokens import hash_token
from tests.helpers import (
    OTHER_PASSWORD,
    PASSWORD,
    ROOT,
    UNSET,
    StartServer,
    add_users,
    register_and_leave,
    run_cli,
    usernames,
    viewing,
    wait_until,
)

RunCommand = Callable[..., subprocess.CompletedProcess[str]]

HOSTILE = ["=1+1", "\x1b[31mred", "a\nb", "张三", 'a"b', "\u202eabc"]


@pytest.fixture
def run(tmp_path: Path, database_url: str) -> RunCommand:
    """Run a command on the database of the test."""

    def run(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        return run_cli(tmp_path, *arguments, **{"DATABASE_URL": database_url} | options)

    return run


def start_cli(folder: Path, database_url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", *arguments],
        cwd=folder,
        env=os.environ | UNSET | {"DATABASE_URL": database_url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def names_of_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that worked has printed."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that failed."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr.rstrip("\n")


def count_links(psql: psycopg.Connection) -> int:
    return psql.execute("SELECT FROM one_time_links").rowcount


def is_stored(psql: psycopg.Connection, url: str, *, username: str | None = None) -> bool:
    """Return whether the link works within an hour, for that user or for an organiser."""
    found = psql.execute(
        """
        SELECT FROM one_time_links LEFT JOIN users ON users.id = user_id
        WHERE token_hash = %s AND username IS NOT DISTINCT FROM %s
          AND expires_at BETWEEN now() + interval '50 minutes' AND now() + interval '1 hour'
        """,
        [hash_token(url.rpartition("/")[2]), username],
    )
    return bool(found.rowcount)


def add_organisers(psql: psycopg.Connection, count: int) -> None:
    psql.execute(
        """
        INSERT INTO organisers (token_hash, expires_at)
        SELECT sha256(n::text::bytea), now() + interval '1 day' FROM generate_series(1, %s) AS n
        """,
        [count],
    )


def add_hostile_users(psql: psycopg.Connection) -> None:
    for name in HOSTILE:
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [name, name]
        )


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_an_organiser_gets_a_link_with_its_qr_code(run: RunCommand, psql: psycopg.Connection) -> None:
    url, advice, *code = output_of(run("organiser")).splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/organise/[\w-]{43}", url)
    assert "works once, within an hour" in advice
    assert re.search("[▀▄█]{5}", "".join(code))
    assert is_stored(psql, url)


def test_each_organiser_gets_a_link_of_their_own(run: RunCommand, psql: psycopg.Connection) -> None:
    urls = [output_of(run("organiser")).splitlines()[0] for _ in range(2)]
    assert [is_stored(psql, url) for url in urls] == [True, True]


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({"PUBLIC_ORIGIN": "https://roster.example"}, "https://roster.example"),
        ({"PUBLIC_ORIGIN": "https://roster.example", "BIND": "127.0.0.1:0"}, "https://roster.example"),
        ({"BIND": "[::1]:9000"}, "http://[::1]:9000"),
        ({"TLS_CERTIFICATE": "a", "TLS_KEY": "b", "BIND": "192.0.2.7:8443"}, "https://192.0.2.7:8443"),
    ],
)
def test_a_link_has_the_address_of_the_settings(
    run: RunCommand, settings: dict[str, str], origin: str
) -> None:
    assert output_of(run("organiser", **settings)).startswith(f"{origin}/organise/")


@pytest.mark.parametrize("command", [["organiser"], ["reset", "user1"]])
def test_a_port_that_the_system_chooses_gives_no_link(
    run: RunCommand, psql: psycopg.Connection, command: list[str]
) -> None:
    add_users(psql, 1)
    assert error_of(run(*command, BIND="127.0.0.1:0")).startswith("BIND=127.0.0.1:0 ")
    assert count_links(psql) == 0


async def test_the_link_makes_a_browser_the_organisers(
    serve: StartServer, run: RunCommand, database_url: str
) -> None:
    roster = serve(DATABASE_URL=database_url)
    url = output_of(run("organiser", PUBLIC_ORIGIN=roster.url)).splitlines()[0]
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.post(url)).status_code == 303
        assert (await client.get(f"{roster.url}/organiser/export.csv")).status_code == 200
        assert output_of(run("organiser", "--revoke", "--yes")).startswith("1 browser was ")
        assert (await client.get(f"{roster.url}/organiser/export.csv")).status_code == 403


def test_revoking_ends_all_organisers_and_their_links(run: RunCommand, psql: psycopg.Connection) -> None:
    add_organisers(psql, 2)
    output_of(run("organiser"))
    done = run("organiser", "--revoke", answer="y\n")
    assert (done.returncode, done.stdout) == (0, "2 browsers were an organiser's. Now none is.\n")
    assert psql.execute("SELECT FROM organisers").rowcount == 0
    assert count_links(psql) == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_destroyed(
    run: RunCommand, psql: psycopg.Connection, tmp_path: Path, answer: str
) -> None:
    """An empty answer stands for a command whose input is closed."""
    add_users(psql, 1)
    add_organisers(psql, 1)
    file = tmp_path / "list.csv"
    file.write_text("mine")
    for command in (["organiser", "--revoke"], ["remove", "user1"], ["export", str(file)]):
        done = run(*command, answer=answer)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("Aborted!\n")
    assert psql.execute("SELECT FROM organisers").rowcount == 1
    assert usernames(psql) == ["user1"]
    assert file.read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_question(
    tmp_path: Path, database_url: str, psql: psycopg.Connection, number: signal.Signals
) -> None:
    add_users(psql, 1)
    with start_cli(tmp_path, database_url, "remove", "user1") as process:
        try:
            assert process.stderr
            assert process.stderr.read(len("Remove user1?")) == b"Remove user1?"
            waiting = psutil.Process(process.pid)
            await wait_until(lambda: waiting.status() == psutil.STATUS_SLEEPING)
            process.send_signal(number)
            assert process.wait(60) == 1
            assert process.stderr.read().endswith(b"Aborted!\n")
        finally:
            process.kill()
    assert usernames(psql) == ["user1"]


def test_without_options_the_present_choices_are_printed(run: RunCommand) -> None:
    assert output_of(run("configure")) == (
        "title: \ndescription: \nregistration: open\ncapacity: none\ninvitation: none\n"
    )


async def test_choices_are_changed_at_once_and_printed(
    serve: StartServer, run: RunCommand, database_url: str
) -> None:
    roster = serve(DATABASE_URL=database_url)
    async with viewing(roster.url) as viewer:
        await viewer.wait_for(0)
        options = ["--title", " Summer  party ", "--description", "Bring\n茶", "--capacity", "３0"]
        printed = output_of(run("configure", *options, "--closed", "--invitation", "new"))
        event = await viewer.next()
        assert event
        assert event.id == "1"
    *lines, invitation = printed.splitlines()
    assert lines == [
        "title: Summer party",
        r"description: Bring\n茶",
        "registration: closed",
        "capacity: 30",
    ]
    assert re.fullmatch("invitation: [B-Z3479]{8}", invitation)
    assert output_of(run("configure")) == printed


def test_what_no_option_names_stays(run: RunCommand) -> None:
    output_of(run("configure", "--title", "Party", "--capacity", "3", "--invitation", "new", "--closed"))
    printed = output_of(run("configure", "--open", "--capacity", "none", "--invitation", "off"))
    assert printed == "title: Party\ndescription: \nregistration: open\ncapacity: none\ninvitation: none\n"
    assert output_of(run("configure", "--title", "")).startswith("title: \n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--title", "x" * 101], "Write a shorter text: at most 100 characters."),
        (["--description", "x" * 501], "Write a shorter text: at most 500 characters."),
        (["--title", "a\x1bb"], "This text holds an invisible character: type it by hand."),
        (["--title", "a\udcffb"], "This text holds an invisible character: type it by hand."),
        (["--capacity", "0"], "Write a whole number from 1 to 1,000,000, or nothing for no limit."),
        (["--capacity", "many"], "Write a whole number from 1 to 1,000,000, or nothing for no limit."),
        (["--capacity", "9" * 5000], "Write a whole number from 1 to 1,000,000, or nothing for no limit."),
    ],
)
def test_a_choice_that_is_not_allowed_changes_nothing(
    run: RunCommand, psql: psycopg.Connection, options: list[str], message: str
) -> None:
    assert error_of(run("configure", "--closed", *options)) == message
    assert psql.execute("SELECT open, version FROM roster").fetchone() == (True, 0)


def test_everybody_is_listed_in_order_of_registration(run: RunCommand, psql: psycopg.Connection) -> None:
    assert output_of(run("list")) == ""
    add_users(psql, 2500)
    psql.execute("UPDATE users SET registered_at = '2026-03-05 00:30+01:00'")
    lines = [f"2026-03-04T23:30:00Z user{number}" for number in range(1, 2501)]
    assert output_of(run("list")).splitlines() == lines


def test_a_prefix_lists_those_whose_name_begins_with_it(run: RunCommand, psql: psycopg.Connection) -> None:
    for name, key in (("Zoë", "zoë"), ("ZO", "zo"), ("zp", "zp"), ("Zoe", "zoe"), ("张三", "张三")):
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [name, key]
        )
    for prefix, names in (
        ("ｚo", ["ZO", "Zoe", "Zoë"]),
        ("张", ["张三"]),
        ("x", []),
        ("%", []),
        ("\udcff", []),
        ("", ["Zoë", "ZO", "zp", "Zoe", "张三"]),
    ):
        listed = output_of(run("list", prefix)).splitlines()
        assert [line.split(" ", 1)[1] for line in listed] == names


async def test_a_prefix_finds_people_over_several_queries(
    database_url: str,
    psql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(people, "BLOCK", 3)
    add_users(psql, 9)
    add_users(psql, 3, "other")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await list_people(connection, "user")
    listed = [line.split(" ")[1] for line in capsys.readouterr().out.splitlines()]
    assert listed == [f"user{number}" for number in range(1, 10)]


def test_no_name_on_the_list_reaches_the_terminal_as_a_command(
    run: RunCommand, psql: psycopg.Connection
) -> None:
    add_hostile_users(psql)
    listed = [line.split(" ", 1) for line in output_of(run("list")).splitlines()]
    assert [name for _, name in listed] == [
        "=1+1",
        r"\x1b[31mred",
        r"a\nb",
        "张三",
        'a"b',
        r"\u202eabc",
    ]
    assert all(datetime.fromisoformat(time).tzinfo for time, _ in listed)


def test_a_reader_that_has_seen_enough_ends_the_list(
    tmp_path: Path, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 10_000)
    with start_cli(tmp_path, database_url, "list") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().endswith(b" user1\n")
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("command", ["list", "export"])
def test_a_full_disk_is_one_line(
    tmp_path: Path, database_url: str, psql: psycopg.Connection, command: str
) -> None:
    add_users(psql, 1)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "cli.py", command],
            cwd=tmp_path,
            env=os.environ | UNSET | {"DATABASE_URL": database_url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_the_list_is_exported_to_stdout(
    run: RunCommand, psql: psycopg.Connection, arguments: list[str]
) -> None:
    add_hostile_users(psql)
    done = run("export", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("\ufeffname,")
    assert [row[0] for row in read_csv(done.stdout)[1:]] == ["'=1+1", *HOSTILE[1:]]


def test_the_list_is_exported_to_a_file(run: RunCommand, psql: psycopg.Connection, tmp_path: Path) -> None:
    add_users(psql, 2500)
    folder = tmp_path / "exports"
    folder.mkdir()
    file = folder / "list.csv"
    assert output_of(run("export", str(file))) == ""
    assert [row[0] for row in read_csv(file.read_bytes().decode())[1:]] == usernames(psql)
    assert names_of_files(folder) == ["list.csv"]


@pytest.mark.parametrize(("options", "answer"), [(["--yes"], ""), ([], "y\n")])
def test_an_existing_file_is_overwritten_on_demand(
    run: RunCommand, tmp_path: Path, options: list[str], answer: str
) -> None:
    file, link = tmp_path / "list.csv", tmp_path / "link.csv"
    file.write_text("old")
    file.chmod(0o600)
    link.symlink_to(file)
    assert run("export", str(link), *options, answer=answer).returncode == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbfname,")
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "no/list.csv", "file/list.csv", "x" * 300])
def test_a_file_that_cannot_be_written_is_one_line(run: RunCommand, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    file = tmp_path / name
    assert error_of(run("export", str(file))).startswith(f"{file} cannot be written: ")
    assert names_of_files(tmp_path) == ["file"]


def test_what_is_no_file_is_not_replaced(run: RunCommand) -> None:
    assert output_of(run("export", os.devnull)) == ""
    assert Path(os.devnull).is_char_device()


async def test_a_failure_leaves_the_file_as_it_was(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise psycopg.OperationalError

    file = tmp_path / "list.csv"
    file.write_text("old")
    monkeypatch.setattr(csv_file, "select_roster", fail)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.OperationalError):
            await export_csv(connection, str(file))
        with pytest.raises(CsvFileError):
            await export_csv(connection, f"{file}\0")
    assert names_of_files(tmp_path) == ["list.csv"]
    assert file.read_text() == "old"


def test_people_are_removed_in_one_change(run: RunCommand, psql: psycopg.Connection) -> None:
    add_users(psql, 3)
    [before] = psql.execute("SELECT version FROM roster").fetchone() or ()
    done = run("remove", "USER1", "user3", "ｕser1", answer="y\n")
    assert (done.returncode, done.stdout) == (0, "2 people removed.\n")
    assert done.stderr.startswith("Remove user1, user3?")
    assert usernames(psql) == ["user2"]
    assert psql.execute("SELECT version, size FROM roster").fetchone() == (before + 1, 1)
    assert output_of(run("remove", "user2", "--yes")) == "1 person removed.\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("eve", "eve"), ("two words", "two words"), ("\udcff", r"\udcff"), ("", ""), ("x" * 999, "x" * 999)],
)
def test_a_name_that_nobody_has_removes_nobody(
    run: RunCommand, psql: psycopg.Connection, name: str, shown: str
) -> None:
    add_users(psql, 2)
    assert error_of(run("remove", "user1", name, "user2", "--yes")) == f"Not on the list: {shown}".rstrip()
    assert usernames(psql) == ["user1", "user2"]
    assert error_of(run("reset", name)) == f"Not on the list: {shown}".rstrip()


async def test_a_link_sets_a_new_password(
    serve: StartServer, run: RunCommand, psql: psycopg.Connection, database_url: str
) -> None:
    roster = serve(DATABASE_URL=database_url)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        await register_and_leave(client, "Zoe")
        url, advice, *code = output_of(run("reset", "zoe", PUBLIC_ORIGIN=roster.url)).splitlines()
        assert url.startswith(f"{roster.url}/reset/")
        assert is_stored(psql, url, username="Zoe")
        assert advice == "With it Zoe sets a new password. It works once, within an hour."
        assert re.search("[▀▄█]{5}", "".join(code))
        assert (await client.post(url, data={"new_password": OTHER_PASSWORD})).status_code == 303
        for password, status in ((OTHER_PASSWORD, 303), (PASSWORD, 401)):
            form = {"username": "zoe", "password": password}
            assert (await client.post("/sign-in", data=form)).status_code == status


@pytest.mark.parametrize(
    "command",
    [
        ["organiser"],
        ["organiser", "--revoke", "--yes"],
        ["configure", "--closed"],
        ["remove", "user1", "--yes"],
        ["reset", "user1"],
    ],
)
def test_a_database_that_is_read_only_is_one_line(
    run: RunCommand, psql: psycopg.Connection, database_url: str, command: list[str]
) -> None:
    add_users(psql, 1)
    url = make_conninfo(database_url, options="-cdefault_transaction_read_only=on")
    assert "read-only transaction" in error_of(run(*command, DATABASE_URL=url))
    assert output_of(run("list", DATABASE_URL=url)).endswith(" user1\n")


@pytest.mark.parametrize(
    "command", ["organiser", "configure", "list", "export", "remove x", "reset x", "organiser --revoke --yes"]
)
def test_a_database_that_is_away_is_one_line(run: RunCommand, command: str) -> None:
    assert error_of(run(*command.split(), DATABASE_URL="postgresql://me:s3cret@127.0.0.1:1/x"))


@pytest.mark.parametrize(
    "command", ["organiser x", "configure --invitation maybe", "remove", "reset", "list a b", "export a b"]
)
def test_the_command_line_is_checked(run: RunCommand, command: str) -> None:
    done = run(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
