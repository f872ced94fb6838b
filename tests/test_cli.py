import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import cli
from accounts import parse_username
from tests.conftest import ROOT, Serve, add_users, viewing


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "cli.py", *arguments], cwd=folder, capture_output=True, text=True, check=False
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
