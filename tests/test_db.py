import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import psycopg
import psycopg_pool
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import db
from db import Database, OutcomeUnknownError, ResponseTimeoutError, pool_timeout
from queries.registration import NewUser, insert_user
from queries.roster import select_version
from queries.users import select_account
from tests.helpers import add_users, terminate_others, usernames, wait_until

LONG = 600.0  # seconds; a test that waited as long would fail


@asynccontextmanager
async def open_database(conninfo: str, pool_size: int = 4) -> AsyncIterator[Database]:
    database = Database(conninfo, pool_size)
    await database.open()
    yield database
    await database.close()


@asynccontextmanager
async def all_connections(database: Database) -> AsyncIterator[list[db.Connection]]:
    """Take every connection that the pool may have."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(database.pool.connection(30))
            for _ in range(database.pool.max_size)
        ]


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Yield a connection string of a server that accepts connections and never says a word."""
    ended = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"host=127.0.0.1 port={port} dbname=x sslmode=disable gssencmode=disable"
        ended.set()


async def is_refused(database: Database) -> bool:
    """Return whether a query finds no free connection in time."""
    try:
        async with asyncio.timeout(30):
            await select_version(database)
    except psycopg_pool.PoolTimeout:
        return True
    return False


async def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    await asyncio.gather(*(db.migrate(empty_database_url) for _ in range(8)))
    with psycopg.connect(empty_database_url) as psql:
        assert psql.execute("SELECT name FROM migrations ORDER BY name").fetchall() == [
            (file.name,) for file in sorted(db.MIGRATIONS.iterdir())
        ]
        assert psql.execute("SELECT version, size FROM roster").fetchall() == [(0, 0)]


async def test_migrating_again_keeps_the_users(database_url: str, psql: psycopg.Connection) -> None:
    add_users(psql, 3)
    await db.migrate(database_url)
    assert usernames(psql) == ["user1", "user2", "user3"]


async def test_migrations_are_applied_all_or_none(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(db, "MIGRATIONS", tmp_path)
    (tmp_path / "001_good.sql").write_text("CREATE TABLE good ();")
    (tmp_path / "002_bad.sql").write_text("CREATE TABLE bad ();\nnonsense;")
    with pytest.raises(db.SchemaError, match='syntax error at or near "nonsense"') as caught:
        await db.migrate(empty_database_url)
    assert "\n" not in str(caught.value)
    with psycopg.connect(empty_database_url) as psql:
        assert psql.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").rowcount == 0


async def test_migrations_are_applied_in_the_order_of_their_names(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(db, "MIGRATIONS", tmp_path)
    for number in (5, 3, 1, 4, 2):
        create = "CREATE TABLE t1 ();" if number == 1 else f"ALTER TABLE t{number - 1} RENAME TO t{number};"
        (tmp_path / f"00{number}.sql").write_text(create)
    await db.migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as psql:
        assert psql.execute("SELECT FROM t5").rowcount == 0


async def test_an_up_to_date_database_needs_no_right_to_create_tables(
    database_url: str, psql: psycopg.Connection
) -> None:
    role = f"roster_test_{uuid4().hex}"
    psql.execute(f"CREATE ROLE {role}")
    try:
        psql.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        psql.execute(f"GRANT SELECT ON migrations TO {role}")
        await db.migrate(make_conninfo(database_url, options=f"-c role={role}"))
    finally:
        psql.execute(f"DROP OWNED BY {role}")
        psql.execute(f"DROP ROLE {role}")


async def test_a_database_in_another_encoding_is_refused(server_url: str) -> None:
    name = f"roster_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as psql:
        psql.execute(f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(db.SchemaError, match="LATIN1"):
                await db.migrate(make_conninfo(server_url, dbname=name))
        finally:
            psql.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_migrating_an_unreachable_database_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(db.SchemaError) as caught:
        await db.migrate(f"host={tmp_path} dbname=x")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
async def test_a_host_that_cannot_be_one_is_a_clear_error(host: str) -> None:
    with pytest.raises(db.SchemaError):
        await db.migrate(f"postgresql://{host}/x")


async def test_migrating_does_not_wait_for_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "CONNECT_SECONDS", "2")  # the least that psycopg allows
    async with silent_server() as conninfo, asyncio.timeout(60):
        with pytest.raises(db.SchemaError):
            await db.migrate(conninfo)


def test_a_connection_string_gets_a_timeout_unless_it_sets_its_own() -> None:
    assert conninfo_to_dict(db.with_connect_timeout("host=x")) == {"host": "x", "connect_timeout": "5"}
    for own in ("host=x connect_timeout=9", "postgresql://x?connect_timeout=9"):
        assert conninfo_to_dict(db.with_connect_timeout(own)) == {"host": "x", "connect_timeout": "9"}


async def test_pooled_connections_have_a_connect_timeout(database: Database) -> None:
    async with all_connections(database) as connections:
        for connection in connections:
            assert connection.info.get_parameters()["connect_timeout"] == "5"


async def test_statements_are_prepared_only_where_they_are_kept(
    database: Database,
) -> None:
    for can_prepare in (False, True):
        database.can_prepare = can_prepare
        for _ in range(50):
            await select_version(database)
        prepared = 0
        async with all_connections(database) as connections:
            for connection in connections:
                found = await connection.execute("SELECT FROM pg_prepared_statements", prepare=False)
                prepared += found.rowcount
        assert (prepared > 0) is can_prepare


async def test_the_pool_never_pauses_long_before_it_connects_again(database: Database) -> None:
    assert database.pool.reconnect_timeout <= 5  # by default its pauses grow to five minutes


async def test_the_database_may_come_after_the_start(server_url: str, psql: psycopg.Connection) -> None:
    name = psql.info.dbname
    with psycopg.connect(server_url, autocommit=True) as operator:
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        async with open_database(make_conninfo(server_url, dbname=name)) as database:
            with pool_timeout(0.05):
                assert await is_refused(database)
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            with pool_timeout(LONG):
                assert not await is_refused(database)


async def test_a_query_succeeds_after_every_pooled_connection_broke_at_once(
    database: Database, psql: psycopg.Connection
) -> None:
    async with all_connections(database) as connections:
        pids = {connection.info.backend_pid for connection in connections}
    assert len(pids) == database.pool.max_size == 4
    terminate_others(psql)
    assert await select_version(database) == 0


async def test_queries_at_once_succeed_after_every_pooled_connection_broke(
    database: Database, psql: psycopg.Connection
) -> None:
    async with all_connections(database):
        pass
    terminate_others(psql)
    with pool_timeout(60):
        assert await asyncio.gather(*(select_version(database) for _ in range(20))) == [0] * 20


@pytest.mark.parametrize(("is_change", "error"), [(False, ResponseTimeoutError), (True, OutcomeUnknownError)])
async def test_a_query_whose_connections_all_break_fails_and_a_change_may_be_made(
    database: Database, error: type[Exception], *, is_change: bool
) -> None:
    calls = 0

    async def break_connection(connection: db.Connection) -> None:
        nonlocal calls
        calls += 1
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pool_timeout(60), pytest.raises(error, match="every connection"):
        await database.run(break_connection, is_change=is_change)
    assert calls == database.pool.max_size + 1


async def test_an_error_on_a_sound_connection_is_not_tried_again(database: Database) -> None:
    calls = 0

    async def cancel(connection: db.Connection) -> None:
        nonlocal calls
        calls += 1
        await connection.execute("SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(600)")

    with pytest.raises(psycopg.errors.QueryCanceled):
        await database.run(cancel)
    assert calls == 1


async def test_a_statement_that_takes_too_long_is_cancelled_for_good(
    database: Database, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "STATEMENT_SECONDS", 0.3)
    monkeypatch.setattr(db, "RESPONSE_SECONDS", LONG)
    with psql.transaction(force_rollback=True):
        add_users(psql, 1, "another")
        with pytest.raises(psycopg.errors.QueryCanceled):
            await insert_user(database, NewUser("Zoe", "zoe", "hash"))
    assert usernames(psql) == []


async def test_a_statement_that_cannot_be_cancelled_is_given_up(
    database: Database, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "STATEMENT_SECONDS", 0.1)
    monkeypatch.setattr(db, "RESPONSE_SECONDS", 0.5)
    monkeypatch.setattr(db.Connection, "cancel_safe", Mock(side_effect=psycopg.errors.CancellationTimeout))
    with psql.transaction(force_rollback=True):
        add_users(psql, 1, "another")
        with pytest.raises(OutcomeUnknownError):
            await insert_user(database, NewUser("Zoe", "zoe", "hash"))


async def test_a_late_cancel_does_not_reach_the_next_statement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_cancelling = asyncio.Event()
    cancel_safe = db.Connection.cancel_safe

    async def cancel_late(connection: db.Connection, **options: float) -> None:
        is_cancelling.set()
        await asyncio.sleep(0.1)
        await cancel_safe(connection, **options)

    async def end_while_cancelling(_: db.Connection) -> None:
        await is_cancelling.wait()

    monkeypatch.setattr(db, "STATEMENT_SECONDS", 0)
    monkeypatch.setattr(db.Connection, "cancel_safe", cancel_late)
    async with open_database(database_url, pool_size=1) as database:
        await database.run(end_while_cancelling)
        async with database.pool.connection(LONG) as connection:
            await connection.execute("SELECT pg_sleep(0.5)")


async def test_a_connection_without_a_response_is_aborted_and_its_query_not_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    async def sleep(connection: db.Connection) -> None:
        calls.append(connection)
        await connection.execute("SELECT pg_sleep(600)")

    monkeypatch.setattr(db, "RESPONSE_SECONDS", 0.2)
    with pytest.raises(ResponseTimeoutError, match="respond in time"):
        await database.run(sleep)
    monkeypatch.undo()
    [connection] = calls
    assert connection.closed
    assert await select_version(database) == 0


async def test_a_response_deadline_ends_with_its_block(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "RESPONSE_SECONDS", 0.2)
    async with database.pool.connection() as connection:
        async with database.response_deadline(connection):
            pass
        await connection.execute("SELECT pg_sleep(0.5)")
        database.abort_pending()
        await connection.execute("SELECT 1")


async def test_a_shutdown_aborts_every_query_that_waits_for_a_response(
    database: Database, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "RESPONSE_SECONDS", LONG)

    async def sleep(connection: db.Connection) -> None:
        await connection.execute("SELECT pg_sleep(600)")

    sleeping = asyncio.gather(*(database.run(sleep) for _ in range(3)), return_exceptions=True)
    await wait_until(
        lambda: psql.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'").rowcount == 3
    )
    database.abort_pending()
    async with asyncio.timeout(60):
        assert [type(error) for error in await sleeping] == [ResponseTimeoutError] * 3


async def test_a_query_waits_for_a_free_connection_only_so_long(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "POOL_SECONDS", 0.05)
    async with open_database(database_url) as database:
        async with all_connections(database):
            assert await is_refused(database)
        with pool_timeout(60):
            assert not await is_refused(database)


async def test_a_block_can_shorten_the_wait_for_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "POOL_SECONDS", LONG)
    async with open_database(database_url) as database, all_connections(database):
        with pool_timeout(0.05):
            assert await is_refused(database)


async def test_after_the_block_the_wait_for_a_connection_is_as_usual(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "POOL_SECONDS", 0.05)
    async with open_database(database_url) as database, all_connections(database):
        with pool_timeout(LONG), pool_timeout(None):
            assert await is_refused(database)
        with pool_timeout(LONG):
            pass
        assert await is_refused(database)


async def test_only_so_many_requests_wait_for_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "MAX_WAITING", 2)
    async with open_database(database_url) as database:
        async with all_connections(database):
            with pool_timeout(LONG):
                waiting = [asyncio.ensure_future(select_version(database)) for _ in range(2)]
                await wait_until(lambda: database.pool.get_stats()["requests_waiting"] == 2)
                with pytest.raises(psycopg_pool.TooManyRequests):
                    await select_version(database)
        assert await asyncio.gather(*waiting) == [0, 0]


async def test_an_insert_that_committed_before_its_connection_broke_is_done(
    database: Database, psql: psycopg.Connection
) -> None:
    # Waiting for a standby that does not exist holds the response back after the commit.
    psql.execute("SET synchronous_commit = local")
    psql.execute(f"ALTER DATABASE {psql.info.dbname} SET synchronous_commit = local")
    async with all_connections(database) as connections:
        for connection in connections:
            await connection.execute("SET synchronous_commit = on")
    psql.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    psql.execute("SELECT pg_reload_conf()")
    try:
        inserting = asyncio.ensure_future(insert_user(database, NewUser("Zoe", "zoe", "hash")))
        end = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep' AND datname = current_database()
        """
        await wait_until(lambda: psql.execute(end).fetchone() == (True,) or inserting.done())
        assert await inserting
    finally:
        psql.execute("ALTER SYSTEM RESET synchronous_standby_names")
        psql.execute("SELECT pg_reload_conf()")
    assert usernames(psql) == ["Zoe"]
    assert not (await insert_user(database, NewUser("Zoe", "zoe", "another hash"))).account


async def test_an_insert_whose_connection_always_breaks_stores_nothing(
    database: Database, psql: psycopg.Connection
) -> None:
    psql.execute(
        """
        CREATE FUNCTION break_connection() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
        END $$;
        CREATE TRIGGER break_connection AFTER INSERT ON users EXECUTE FUNCTION break_connection();
        """
    )
    with pool_timeout(60), pytest.raises(OutcomeUnknownError):
        await insert_user(database, NewUser("Zoe", "zoe", "hash"))
    assert usernames(psql) == []


async def test_a_query_runs_on_a_connection_of_the_callers_too(
    database: Database, psql: psycopg.Connection
) -> None:
    async with database.pool.connection() as connection:
        async with connection.transaction(force_rollback=True):
            await insert_user(connection, NewUser("Zoe", "zoe", "hash"))
            assert await select_account(connection, "zoe")
            assert usernames(psql) == []
        assert await select_account(connection, "zoe") is None
