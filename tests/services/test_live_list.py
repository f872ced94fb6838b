import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db import Connection, Database
from queries.user_list import UserPage, select_user_page
from services.live_list import LiveList, Snapshot
from tests.helpers import add_users, make_snapshot, terminate_others, wait_until

HOUR = 3600.0
SECONDS = 30  # more than any of this may take


@pytest.fixture
def live_list(database: Database, database_url: str) -> LiveList:
    """A live list that is not running: it shows what the test says."""
    return LiveList(database, database_url)


@pytest.fixture(autouse=True)
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing happen because of a clock, unless a test sets another pause."""
    for name in "WAIT_SECONDS", "CHECK_SECONDS":
        monkeypatch.setattr(f"services.live_list.{name}", HOUR)


@pytest.fixture
def short_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests of a database that is away not wait for it."""
    monkeypatch.setattr("services.live_list.FALLBACK_SECONDS", 0.01)


def replace_sleep(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Let the live list sleep in another way."""
    monkeypatch.setattr("services.live_list.asyncio", SimpleNamespace(**(vars(asyncio) | {"sleep": sleep})))


@asynccontextmanager
async def deny_connections(psql: psycopg.Connection, server_url: str) -> AsyncIterator[None]:
    """End all other connections to the database, and let nobody connect to it."""
    name = psql.info.dbname
    with psycopg.connect(server_url, autocommit=True) as operator:
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        terminate_others(psql)
        yield
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the live list logged. The pool, which ends other tests' connections, logs as well."""
    return [record for record in caplog.records if record.name == "services.live_list"]


async def next_snapshot(live_list: LiveList, sent: Snapshot | None = None) -> Snapshot:
    """Return the next snapshot; it must come."""
    async with asyncio.timeout(SECONDS):
        snapshot = await live_list.next_snapshot(sent)
    assert snapshot
    return snapshot


@pytest.mark.parametrize("present", [3, 4])
async def test_a_version_that_is_there_already_is_returned_at_once(live_list: LiveList, present: int) -> None:
    live_list.snapshot, live_list.is_live = make_snapshot(present), True
    async with asyncio.timeout(SECONDS):
        assert await live_list.wait_for(3) is live_list.snapshot


async def test_a_version_is_returned_as_soon_as_it_is_there(
    live_list: LiveList, psql: psycopg.Connection
) -> None:
    async with live_list.run():
        waiting = [asyncio.create_task(live_list.wait_for(version)) for version in (1, 2)]
        await asyncio.sleep(0)
        add_users(psql, 1)
        async with asyncio.timeout(SECONDS):
            first = await waiting[0]
        add_users(psql, 1, "more")
        async with asyncio.timeout(SECONDS):
            second = await waiting[1]
    assert first
    assert second
    assert (first.user_page.roster.version, second.user_page.roster.version) == (1, 2)


async def test_the_wait_for_a_version_ends_without_it(
    live_list: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live_list.WAIT_SECONDS", 0.01)
    live_list.snapshot, live_list.is_live = make_snapshot(3), True
    async with asyncio.timeout(SECONDS):
        assert await live_list.wait_for(4) is None


async def test_nobody_waits_for_a_list_that_is_not_fresh(live_list: LiveList) -> None:
    live_list.snapshot = make_snapshot(3)
    async with asyncio.timeout(SECONDS):
        assert await live_list.wait_for(3) is None
        assert await live_list.wait_for(4) is None


async def test_the_snapshot_that_is_there_is_returned_at_once(live_list: LiveList) -> None:
    live_list.snapshot = make_snapshot(3)
    assert await next_snapshot(live_list) is live_list.snapshot
    assert await next_snapshot(live_list, make_snapshot(3)) is live_list.snapshot


async def test_a_slow_viewer_gets_only_the_newest_snapshot(live_list: LiveList) -> None:
    live_list.snapshot = first = make_snapshot(1)
    live_list.snapshot = make_snapshot(2)
    live_list.snapshot = make_snapshot(3)
    assert await next_snapshot(live_list, first) is live_list.snapshot


async def test_closing_ends_the_wait_for_a_snapshot(live_list: LiveList) -> None:
    waiting = asyncio.create_task(live_list.next_snapshot(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    live_list.close()
    async with asyncio.timeout(SECONDS):
        assert await waiting is None
        live_list.snapshot = make_snapshot(1)
        assert await live_list.next_snapshot(None) is None


async def test_it_starts_with_the_first_list(live_list: LiveList, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    async with live_list.run():
        assert live_list.snapshot
        assert [user.username for user in live_list.snapshot.user_page.users] == ["user2", "user1"]
        assert live_list.snapshot.event_id == "1"
        await wait_until(lambda: live_list.is_live)


async def test_it_starts_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.live_list.WAIT_SECONDS", 0.01)
    conninfo = f"host={tmp_path} dbname=x"
    live_list = LiveList(Database(conninfo, pool_size=1), conninfo)
    async with asyncio.timeout(SECONDS), live_list.run():
        assert live_list.snapshot is None
        assert not live_list.is_live


async def test_its_end_ends_the_waits_and_the_connection(
    database: Database, database_url: str, psql: psycopg.Connection
) -> None:
    live_list = LiveList(database, make_conninfo(database_url, application_name="listener"))

    def listeners() -> int:
        found = psql.execute("SELECT FROM pg_stat_activity WHERE application_name = 'listener'")
        return found.rowcount

    async with asyncio.timeout(SECONDS), live_list.run():
        sent = await next_snapshot(live_list)
        assert listeners() == 1
        waiting = asyncio.create_task(live_list.next_snapshot(sent))
        await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        assert await waiting is None
    await wait_until(lambda: listeners() == 0)


async def test_a_burst_of_changes_is_one_further_list(
    live_list: LiveList, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: asyncio.Queue[float] = asyncio.Queue()
    is_over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await is_over.wait()

    replace_sleep(monkeypatch, sleep)
    async with asyncio.timeout(SECONDS), live_list.run():
        first = await next_snapshot(live_list)
        assert first.event_id == "0"
        assert await pauses.get() == pytest.approx(0.1)
        for number in range(300):
            add_users(psql, 1, f"user{number}x")
        is_over.set()
        page = (await next_snapshot(live_list, first)).user_page
    assert (page.roster.version, page.roster.size) == (300, 300)
    assert [user.username for user in page.users] == [f"user{number}x1" for number in range(299, 249, -1)]


async def test_an_unchanged_list_is_read_again_but_not_sent_again(
    live_list: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live_list.CHECK_SECONDS", 0.01)
    reads: list[UserPage] = []

    async def read(connection: Connection) -> UserPage:
        reads.append(await select_user_page(connection))
        return reads[-1]

    monkeypatch.setattr("services.live_list.select_user_page", read)
    async with live_list.run():
        first = live_list.snapshot
        await wait_until(lambda: len(reads) >= 3)
        assert first
        assert live_list.snapshot is first


async def test_a_change_without_a_notification_is_found(
    live_list: LiveList, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live_list.CHECK_SECONDS", 0.01)
    async with live_list.run():
        first = await next_snapshot(live_list)
        psql.execute("UPDATE roster SET version = 7")
        second = await next_snapshot(live_list, first)
    assert (first.event_id, second.event_id) == ("0", "7")


async def test_changes_made_while_the_listener_was_cut_off_arrive(
    live_list: LiveList, psql: psycopg.Connection
) -> None:
    async with live_list.run():
        snapshot = await next_snapshot(live_list)
        for number in range(1, 4):
            await wait_until(lambda: live_list.is_live)
            terminate_others(psql)
            add_users(psql, 1, f"user{number}x")
            while snapshot.user_page.roster.size != number:
                snapshot = await next_snapshot(live_list, snapshot)


@pytest.mark.usefixtures("short_fallback")
async def test_while_the_database_is_away_the_last_list_says_since_when(
    live_list: LiveList, psql: psycopg.Connection, server_url: str
) -> None:
    add_users(psql, 1)
    async with live_list.run():
        present = await next_snapshot(live_list)
        read_at = live_list.read_at
        async with deny_connections(psql, server_url):
            away = await next_snapshot(live_list, present)
            assert (away.user_page, away.away_since) == (present.user_page, read_at)
            assert (live_list.read_at, live_list.is_live) == (read_at, False)
        back = await next_snapshot(live_list, away)
        assert (back.user_page, back.away_since, back.event_id) == (present.user_page, None, "1")
        assert live_list.read_at != read_at


async def test_a_broken_connection_alone_is_not_reported_to_viewers(
    live_list: LiveList, psql: psycopg.Connection
) -> None:
    async with live_list.run():
        first = await next_snapshot(live_list)
        await wait_until(lambda: live_list.is_live)
        terminate_others(psql)
        add_users(psql, 1)
        following = await next_snapshot(live_list, first)
        assert (following.event_id, following.away_since) == ("1", None)


@pytest.mark.parametrize("is_pool_silent", [False, True])
async def test_a_connection_that_goes_silent_is_reported_and_replaced(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, *, is_pool_silent: bool
) -> None:
    monkeypatch.setattr("services.live_list.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("services.live_list.NOTIFICATION_SECONDS", 0.5)
    monkeypatch.setattr("db.RESPONSE_SECONDS", 0.5)
    async with proxy(database_url) as (proxy_url, freeze):
        database = Database(proxy_url if is_pool_silent else database_url, pool_size=1)
        await database.open()
        live_list = LiveList(database, proxy_url)
        async with live_list.run():
            present = await next_snapshot(live_list)
            freeze()
            snapshot = await next_snapshot(live_list, present)
            assert (snapshot.is_live, bool(snapshot.away_since)) == (False, is_pool_silent)
            add_users(psql, 1)
            while not (snapshot.is_live and snapshot.user_page.roster.size == 1):
                snapshot = await next_snapshot(live_list, snapshot)
        await database.close()


async def test_a_listener_that_is_refused_alone_is_not_live_but_the_list_is_shown(
    database: Database, tmp_path: Path, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live_list.MAX_RECONNECT_SECONDS", 0.1)
    live_list = LiveList(database, f"host={tmp_path} dbname=x")
    async with live_list.run():
        snapshot = await next_snapshot(live_list)
        assert (snapshot.event_id, snapshot.away_since) == ("0-not-live", None)
        add_users(psql, 1)
        snapshot = await next_snapshot(live_list, snapshot)
        assert (snapshot.is_live, snapshot.user_page.roster.size) == (False, 1)


async def test_a_listener_of_another_database_is_not_live_but_the_list_is_shown(
    database: Database,
    empty_database_url: str,
    psql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in "NOTIFICATION_SECONDS", "MAX_RECONNECT_SECONDS":
        monkeypatch.setattr(f"services.live_list.{name}", 0.1)
    live_list = LiveList(database, empty_database_url)
    async with live_list.run():
        snapshot = await next_snapshot(live_list)
        assert (snapshot.is_live, live_list.is_live, snapshot.event_id) == (False, False, "0-not-live")
        add_users(psql, 1)
        snapshot = await next_snapshot(live_list, snapshot)
        assert (snapshot.is_live, snapshot.user_page.roster.size) == (False, 1)
    [record] = own_records(caplog)
    assert record.message.startswith("The list is not live: no notification arrives. LISTEN_DATABASE_URL")
    assert not record.exc_info


@pytest.mark.parametrize(("jitter", "share"), [(max, 1.0), (min, 0.5)])
async def test_pauses_between_connections_double_up_to_a_maximum(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jitter: Callable[[float, float], float],
    share: float,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("services.live_list.WAIT_SECONDS", 0.01)
    monkeypatch.setattr(random, "uniform", jitter)
    replace_sleep(monkeypatch, sleep)
    async with LiveList(database, f"host={tmp_path} dbname=x").run():
        await wait_until(lambda: len(pauses) >= 9)
    expected = (0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1, 1)
    assert pauses[:9] == pytest.approx([share * pause for pause in expected])


@pytest.mark.usefixtures("short_fallback")
async def test_after_a_connection_the_pauses_begin_again(
    live_list: LiveList, psql: psycopg.Connection, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, pauses = 0.0625, []

    async def sleep(seconds: float) -> None:
        if seconds != refresh:
            pauses.append(seconds)
        await asyncio.sleep(0.01)

    monkeypatch.setattr("services.live_list.REFRESH_SECONDS", refresh)
    monkeypatch.setattr(random, "uniform", max)
    replace_sleep(monkeypatch, sleep)
    async with live_list.run():
        await wait_until(lambda: live_list.is_live)
        async with deny_connections(psql, server_url):
            await wait_until(lambda: len(pauses) >= 3)
        await wait_until(lambda: live_list.is_live)
        before = len(pauses)
        terminate_others(psql)
        await wait_until(lambda: len(pauses) > before)
    assert pauses[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert pauses[before] == pytest.approx(0.1)


@pytest.mark.usefixtures("short_fallback")
async def test_each_outage_is_logged_once(
    live_list: LiveList,
    psql: psycopg.Connection,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("services.live_list.MAX_RECONNECT_SECONDS", 0.01)
    pauses: list[float] = []

    def jitter(low: float, high: float) -> float:
        pauses.append(high)
        return low

    async def fail_and_recover() -> None:
        await wait_until(lambda: live_list.is_live)
        pauses.clear()
        async with deny_connections(psql, server_url):
            await wait_until(lambda: len(pauses) >= 4)
        await wait_until(lambda: live_list.is_live)

    monkeypatch.setattr(random, "uniform", jitter)
    async with live_list.run():
        for outage in (1, 2):
            await fail_and_recover()
            records = own_records(caplog)
            said = ["The list is not live:", "The list is live agai"]
            assert [record.message[:21] for record in records] == said * outage
            assert not any(record.exc_info for record in records)


async def test_a_listener_that_never_connects_is_logged(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.live_list.WAIT_SECONDS", 0.01)
    async with LiveList(database, f"host={tmp_path} dbname=x").run():
        await wait_until(lambda: bool(own_records(caplog)))
    [record] = own_records(caplog)
    assert "The list is not live" in record.message
    assert "\n" not in record.message


async def test_a_bug_is_logged_with_its_traceback_and_the_list_comes_back(
    live_list: LiveList,
    psql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [ValueError("a bug")]

    async def read(connection: Connection) -> UserPage:
        page = await select_user_page(connection)
        if page.roster.version and errors:
            raise errors.pop()
        return page

    monkeypatch.setattr("services.live_list.select_user_page", read)
    caplog.set_level(logging.WARNING)
    async with live_list.run():
        first = await next_snapshot(live_list)
        add_users(psql, 1)
        assert (await next_snapshot(live_list, first)).event_id == "1"
    lost, back = own_records(caplog)
    assert lost.exc_info
    assert back.message == "The list is live again"


@asynccontextmanager
async def proxy(database_url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Yield the address of a proxy to the database, and what makes its present connections go silent."""
    target = conninfo_to_dict(database_url)
    host, port = str(target["host"]), target.get("port", 5432)
    is_frozen = [asyncio.Event()]
    connections = set()

    async def copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_frozen: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if not is_frozen.is_set():
                writer.write(data)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        there_reader, there_writer = (
            await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host.startswith("/")
            else await asyncio.open_connection(host, port)
        )
        frozen = is_frozen[-1]
        with closing(writer), closing(there_writer), suppress(asyncio.CancelledError):
            await asyncio.gather(copy(reader, there_writer, frozen), copy(there_reader, writer, frozen))

    def freeze() -> None:
        is_frozen[-1].set()
        is_frozen.append(asyncio.Event())

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        yield make_conninfo(database_url, host="127.0.0.1", port=server.sockets[0].getsockname()[1]), freeze
    for connection in connections:
        if connection:
            connection.cancel()
    await asyncio.gather(*filter(None, connections))
