import shutil
from pathlib import Path

import psycopg
import pytest

import db
from tests.helpers import add_users, usernames


def version_and_size(psql: psycopg.Connection) -> tuple[int, int]:
    [row] = psql.execute("SELECT version, size FROM roster")
    return row


def insert(psql: psycopg.Connection, username: str, key: str) -> None:
    psql.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [username, key]
    )


async def test_each_migration_keeps_the_users_of_the_one_before(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = sorted(db.MIGRATIONS.iterdir())
    monkeypatch.setattr(db, "MIGRATIONS", tmp_path)
    with psycopg.connect(empty_database_url, autocommit=True) as psql:
        for number, file in enumerate(files, start=1):
            shutil.copy(file, tmp_path)
            await db.migrate(empty_database_url)
            add_users(psql, 2, f"user{number}x")
            assert version_and_size(psql) == (number, 2 * number)
        psql.execute("DELETE FROM users WHERE username = 'user1x1'")
        assert version_and_size(psql)[1] == 2 * len(files) - 1


def test_version_and_size_follow_every_change_of_the_list(psql: psycopg.Connection) -> None:
    add_users(psql, 5)
    assert version_and_size(psql) == (1, 5)
    psql.execute("DELETE FROM users WHERE username IN ('user1', 'user2')")
    assert version_and_size(psql) == (2, 3)
    psql.execute("TRUNCATE users")
    assert version_and_size(psql) == (3, 0)


def test_a_statement_that_changes_nobody_is_no_change(psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    psql.execute(
        """
        INSERT INTO users (username, username_key, password_hash) VALUES ('user1', 'user1', '-')
        ON CONFLICT DO NOTHING
        """
    )
    psql.execute("DELETE FROM users WHERE username = 'nobody'")
    psql.execute("TRUNCATE users")
    psql.execute("TRUNCATE users")
    assert version_and_size(psql) == (2, 0)


def test_every_change_is_notified_with_its_version(database_url: str, psql: psycopg.Connection) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN roster")
        add_users(psql, 2)
        psql.execute("DELETE FROM users")
        notifications = listener.notifies(timeout=30, stop_after=2)
        assert [notification.payload for notification in notifications] == ["1", "2"]


def test_the_roster_has_one_row(psql: psycopg.Connection) -> None:
    for only_row in (True, False):
        with pytest.raises(psycopg.IntegrityError):
            psql.execute("INSERT INTO roster (only_row) VALUES (%s)", [only_row])


@pytest.mark.parametrize("username", ["a", "a" * 32, "张" * 32, "🦦" * 32])
def test_a_user_name_has_up_to_32_characters(psql: psycopg.Connection, username: str) -> None:
    insert(psql, username, "key")
    assert usernames(psql) == [username]


@pytest.mark.parametrize("username", ["", "a" * 33, "张" * 33])
def test_a_user_name_of_another_length_is_refused(psql: psycopg.Connection, username: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(psql, username, "key")


def test_a_key_is_stored_once(psql: psycopg.Connection) -> None:
    insert(psql, "Zoe", "zoe")
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(psql, "ZOE", "zoe")


def test_keys_are_ordered_by_code_point_whatever_the_locale(psql: psycopg.Connection) -> None:
    insert(psql, "Zoe", "zoe")  # the range of a prefix search relies on it
    assert psql.execute("SELECT pg_collation_for(username_key) FROM users").fetchall() == [('"C"',)]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_the_sha256_of_a_token_can_be_stored(psql: psycopg.Connection, length: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        psql.execute("INSERT INTO sessions VALUES (%s, 1, now(), now())", [b"x" * length])


@pytest.mark.parametrize("statement", ["DELETE FROM users WHERE username = 'user1'", "TRUNCATE users"])
def test_the_sessions_of_users_who_are_gone_end(psql: psycopg.Connection, statement: str) -> None:
    add_users(psql, 2)
    psql.execute("INSERT INTO sessions SELECT sha256(username::bytea), id, now(), now() FROM users")
    psql.execute(statement)
    left = psql.execute("SELECT username FROM sessions LEFT JOIN users ON id = user_id").fetchall()
    assert left == ([("user2",)] if "DELETE" in statement else [])
