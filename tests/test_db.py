import asyncio
import base64
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import db
from tests.conftest import add_users, terminate_others, until


def roster_row(database: psycopg.Connection) -> tuple[int, int]:
    row = database.execute("SELECT version, size FROM roster").fetchone()
    assert row
    return row


def test_processes_that_start_at_once_on_an_empty_database_all_come_up(empty_database_url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(db.migrate, [empty_database_url] * 8))
    with psycopg.connect(empty_database_url) as connection:
        assert roster_row(connection) == (0, 0)
        assert connection.execute("SELECT name FROM migrations").fetchall() == [
            (file.name,) for file in sorted(db.MIGRATIONS.iterdir())
        ]


def test_migrating_again_keeps_the_data(database_url: str, database: psycopg.Connection) -> None:
    add_users(database, 3)
    db.migrate(database_url)
    assert roster_row(database) == (1, 3)


def test_each_migration_keeps_the_people_of_the_one_before(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = sorted(db.MIGRATIONS.iterdir())
    monkeypatch.setattr(db, "MIGRATIONS", tmp_path)
    with psycopg.connect(empty_database_url, autocommit=True) as database:
        for number, file in enumerate(files, start=1):
            shutil.copy(file, tmp_path)
            db.migrate(empty_database_url)
            add_users(database, 2, f"user{number}x")
            assert roster_row(database) == (number, 2 * number)
        database.execute("DELETE FROM users WHERE username = 'user1x1'")
        assert roster_row(database)[1] == 2 * len(files) - 1


def test_a_database_in_another_encoding_is_refused(server_url: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE roster_latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(db.SchemaError, match="LATIN1"):
                db.migrate(psycopg.conninfo.make_conninfo(server_url, dbname="roster_latin"))
        finally:
            connection.execute("DROP DATABASE roster_latin")


def test_version_and_size_follow_every_change_of_the_list(database: psycopg.Connection) -> None:
    add_users(database, 5)
    assert roster_row(database) == (1, 5)
    database.execute("DELETE FROM users WHERE id <= 2")
    assert roster_row(database) == (2, 3)
    database.execute("TRUNCATE users")
    assert roster_row(database) == (3, 0)


def test_a_statement_that_changes_nobody_is_no_change(database: psycopg.Connection) -> None:
    add_users(database, 1)
    database.execute(
        """
        INSERT INTO users (username, username_key, password_hash) VALUES ('user1', 'user1', '-')
        ON CONFLICT DO NOTHING
        """,
    )
    database.execute("DELETE FROM users WHERE id = 999")
    database.execute("TRUNCATE users")
    database.execute("TRUNCATE users")
    assert roster_row(database) == (2, 0)


def test_every_change_is_notified_with_its_version(database_url: str, database: psycopg.Connection) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN roster")
        add_users(database, 2)
        database.execute("DELETE FROM users")
        assert [notify.payload for notify in listener.notifies(timeout=5, stop_after=2)] == ["1", "2"]


async def test_the_newest_page_comes_first_and_cursors_lead_through_all_pages(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    add_users(database, 120)
    first = await db.select_roster(pool)
    assert (first.size, first.after, len(first.users)) == (120, None, db.PAGE_SIZE)
    second = await db.select_roster(pool, before=first.before or "")
    third = await db.select_roster(pool, before=second.before or "")
    assert third.before is None
    names = [user.username for page in (first, second, third) for user in page.users]
    assert names == [f"user{n}" for n in range(120, 0, -1)]
    assert await db.select_roster(pool, after=third.after or "") == second
    assert await db.select_roster(pool, after=second.after or "") == first


async def test_exactly_one_full_page_has_no_older_one(pool: db.Pool, database: psycopg.Connection) -> None:
    add_users(database, db.PAGE_SIZE)
    assert (await db.select_roster(pool)).before is None


async def test_an_empty_list_is_a_page(pool: db.Pool) -> None:
    assert await db.select_roster(pool) == db.Roster(0, 0, [], "", None, None)


async def test_a_search_finds_by_prefix_in_alphabetical_order_and_pages_both_ways(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    add_users(database, 120, "ann")
    add_users(database, 3, "ana")
    add_users(database, 3, "bob")
    first = await db.select_roster(pool, prefix="an")
    second = await db.select_roster(pool, prefix="an", after=first.after or "")
    third = await db.select_roster(pool, prefix="an", after=second.after or "")
    names = [user.username for page in (first, second, third) for user in page.users]
    assert names == sorted([f"ann{n}" for n in range(1, 121)] + [f"ana{n}" for n in range(1, 4)])
    assert (first.before, third.after, first.size) == (None, None, 126)
    assert await db.select_roster(pool, prefix="an", before=third.before or "") == second
    assert await db.select_roster(pool, prefix="an", before=second.before or "") == first
    assert not first.is_newest


@pytest.mark.parametrize("prefix", ["%", "_", "\\", "a%", "'; --", "\ufffd", "\U0010ffff", "x" * 5000])
async def test_a_search_takes_its_text_as_it_is(
    pool: db.Pool, database: psycopg.Connection, prefix: str
) -> None:
    add_users(database, 3, "a")
    assert (await db.select_roster(pool, prefix=prefix)).users == []


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NO_CURSORS = [
    "x",
    "aWQ",
    "MTI!",
    "\x00",
    "é",
    "a" * 5000,
    cursor("[1]"),
    cursor("null"),
    cursor("true"),
    cursor("1.5"),
]
NO_NEWEST_CURSORS = [
    *NO_CURSORS,
    cursor('"user1"'),
    cursor("9" * 30),
    cursor("9" * 5000),
    cursor("-1"),
    cursor("1e400"),
]
NO_SEARCH_CURSORS = [*NO_CURSORS, cursor("12"), cursor('"\\u0000"'), cursor('"\\ud800"'), cursor("[" * 9000)]


@pytest.mark.parametrize(
    ("prefix", "cursor"),
    [("", cursor) for cursor in NO_NEWEST_CURSORS] + [("user", cursor) for cursor in NO_SEARCH_CURSORS],
)
async def test_a_cursor_that_is_none_of_ours_gives_the_first_page(
    pool: db.Pool, database: psycopg.Connection, prefix: str, cursor: str
) -> None:
    add_users(database, 40)
    first = await db.select_roster(pool, prefix=prefix)
    assert await db.select_roster(pool, prefix=prefix, before=cursor) == first
    assert await db.select_roster(pool, prefix=prefix, after=cursor) == first


async def test_a_page_whose_people_are_gone_gives_the_first_page(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    cursor = (await db.select_roster(pool)).before or ""
    database.execute("DELETE FROM users WHERE id <= 10")
    assert (await db.select_roster(pool, before=cursor)).is_newest
    database.execute("TRUNCATE users")
    assert (await db.select_roster(pool, before=cursor)).users == []


async def test_a_name_is_inserted_once(pool: db.Pool) -> None:
    assert await db.insert_user(pool, "Zoe", "zoe", "hash 1") == 1
    assert await db.insert_user(pool, "ZOE", "zoe", "hash 2") is None
    user = await db.select_account(pool, "zoe")
    assert user
    assert user.username == "Zoe"


async def test_a_read_survives_the_loss_of_every_connection(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await db.select_roster(pool)
    terminate_others(database)
    assert (await db.select_roster(pool)).size == 1


async def test_an_insert_that_had_committed_when_its_connection_broke_is_reported_as_done(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    # Waiting for a standby that does not exist holds the answer back after the commit.
    database.execute("SET synchronous_commit = local")
    database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    database.execute("SELECT pg_reload_conf()")
    try:
        inserting = asyncio.ensure_future(db.insert_user(pool, "Zoe", "zoe", "hash"))
        waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        await until(lambda: database.execute(waiting).fetchone() == (True,) or inserting.done())
        assert await inserting
    finally:
        database.execute("ALTER SYSTEM RESET synchronous_standby_names")
        database.execute("SELECT pg_reload_conf()")
    assert roster_row(database) == (1, 1)
    assert not await db.insert_user(pool, "Zoe", "zoe", "another hash")


async def test_an_insert_whose_connection_always_breaks_before_the_commit_stores_nothing(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    database.execute(
        """
        CREATE FUNCTION break_connection() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
        END $$;
        CREATE TRIGGER break_connection AFTER INSERT ON users EXECUTE FUNCTION break_connection();
        """,
    )
    with pytest.raises(psycopg.OperationalError):
        await db.insert_user(pool, "Zoe", "zoe", "hash")
    assert roster_row(database) == (0, 0)


async def spend_at_once(pool: db.Pool, times: int, key: str = "k") -> list[bool]:
    """Return whether each of so many at once was allowed, of 5 in an hour."""
    waits = await asyncio.gather(*(db.spend(pool, key, 5, 3600) for _ in range(times)))
    return [wait == 0 for wait in waits]


async def test_a_limit_holds_exactly_however_many_come_at_once(pool: db.Pool) -> None:
    assert sum(await spend_at_once(pool, 50)) == 5
    assert sum(await spend_at_once(pool, 50, "another key")) == 5


async def test_what_was_spent_comes_back_evenly(pool: db.Pool, database: psycopg.Connection) -> None:
    assert sum(await spend_at_once(pool, 5)) == 5
    assert 719 < await db.spend(pool, "k", 5, 3600) <= 720
    database.execute("UPDATE rate_limits SET full_at = full_at - interval '700 s'")
    assert 19 < await db.spend(pool, "k", 5, 3600) <= 20
    database.execute("UPDATE rate_limits SET full_at = full_at - interval '20 s'")
    assert sum(await spend_at_once(pool, 5)) == 1
    database.execute("UPDATE rate_limits SET full_at = full_at - interval '1 day'")
    assert sum(await spend_at_once(pool, 9)) == 5
    await db.give_back(pool, "k", 5, 3600)
    assert sum(await spend_at_once(pool, 9)) == 1


async def test_a_clock_that_was_set_back_locks_nobody_out(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    assert sum(await spend_at_once(pool, 9)) == 5
    database.execute("UPDATE rate_limits SET full_at = full_at + interval '1 day'")
    assert sum(await spend_at_once(pool, 9)) == 5


async def test_keys_that_are_whole_again_are_forgotten(pool: db.Pool, database: psycopg.Connection) -> None:
    database.execute(
        "INSERT INTO rate_limits SELECT n, now() - interval '1 s' FROM generate_series(1, 90) AS n"
    )
    await asyncio.gather(*(db.spend(pool, f"k{n % 3}", 1000, 60) for n in range(60)))
    assert database.execute("SELECT count(*) FROM rate_limits").fetchone() == (3,)


async def test_a_session_does_not_begin_once_the_password_is_another(pool: db.Pool) -> None:
    await db.insert_user(pool, "Zoe", "zoe", "hash 1")
    account = await db.select_account(pool, "zoe")
    assert account
    assert "hash 1" not in repr(account)
    token = b"x" * 32
    assert await db.update_password(pool, account, "hash 2")
    assert not await db.insert_session(pool, account, token, b"")
    assert not await db.update_password(pool, account, "hash 3", token)
    assert await db.select_session(pool, token) is None


async def test_a_sign_in_waits_for_a_password_change_under_way(
    pool: db.Pool, database: psycopg.Connection
) -> None:
    await db.insert_user(pool, "Zoe", "zoe", "hash 1")
    account = await db.select_account(pool, "zoe")
    assert account
    with database.transaction():
        database.execute("UPDATE users SET password_hash = 'hash 2'")
        beginning = asyncio.ensure_future(db.insert_session(pool, account, b"x" * 32, b""))
        waiting = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        await until(
            lambda: bool(
                database.execute("SELECT pg_stat_clear_snapshot()").rowcount
                and database.execute(waiting).rowcount
            )
        )
    assert not await beginning
    assert database.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


async def test_a_registration_that_waits_too_long_is_given_up_for_good(
    database_url: str, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "STATEMENT_SECONDS", 0.3)
    async with db.create_pool(database_url, 4) as pool:
        with database.transaction(force_rollback=True):
            add_users(database, 1, "another")
            with pytest.raises(psycopg.errors.QueryCanceled):
                await db.insert_user(pool, "Zoe", "zoe", "hash")
        assert await db.select_account(pool, "zoe") is None
        assert await db.insert_user(pool, "Zoe", "zoe", "hash") == 1


async def test_a_new_name_is_no_existing_one_even_while_others_are_deleted(
    pool: db.Pool, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:

        async def truncate() -> None:
            for _ in range(50):
                await other.execute("TRUNCATE users")

        async def register() -> list[int | None]:
            return [await db.insert_user(pool, f"user{n}", f"user{n}", "hash") for n in range(50)]

        _, versions = await asyncio.gather(truncate(), register())
        assert None not in versions
