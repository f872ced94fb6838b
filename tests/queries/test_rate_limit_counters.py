import asyncio

import psycopg
import pytest

from db import Database, pool_timeout
from queries.rate_limit_counters import consume, refund
from tests.helpers import wait_until, waits_for_lock

COUNT = 5
SECONDS = 36_000  # one comes back every two hours, so that no test is too slow
ONE = SECONDS / COUNT
SLACK = 600  # seconds that a test may take


async def consume_at_once(database: Database, times: int, key: str = "k") -> int:
    """Return how many of so many requests at once were allowed."""
    with pool_timeout(100):
        waits = await asyncio.gather(*(consume(database, key, COUNT, SECONDS) for _ in range(times)))
    assert all(wait == 0 or 0.001 <= wait <= SECONDS for wait in waits)
    return waits.count(0)


def let_pass(psql: psycopg.Connection, seconds: float) -> None:
    """Set the counters as they would be that much later."""
    psql.execute("UPDATE rate_limits SET full_at = full_at - make_interval(secs => %s)", [seconds])


def count_keys(psql: psycopg.Connection) -> int:
    return psql.execute("SELECT FROM rate_limits").rowcount


def insert_stale_keys(psql: psycopg.Connection, count: int) -> None:
    """Insert counters that are full again, the oldest with the highest number."""
    psql.execute(
        """
        INSERT INTO rate_limits SELECT concat('stale', n), now() - make_interval(days => n)
        FROM generate_series(1, %s) AS n
        """,
        [count],
    )


async def test_a_limit_holds_exactly_for_requests_at_once(database: Database) -> None:
    assert await consume_at_once(database, 50) == COUNT
    assert await consume_at_once(database, 50, "another key") == COUNT


async def test_what_was_consumed_comes_back_evenly(database: Database, psql: psycopg.Connection) -> None:
    assert await consume_at_once(database, COUNT) == COUNT
    assert ONE - SLACK < await consume(database, "k", COUNT, SECONDS) <= ONE
    let_pass(psql, ONE - 1000)
    assert 1000 - SLACK < await consume(database, "k", COUNT, SECONDS) <= 1000
    let_pass(psql, 1000)
    assert await consume_at_once(database, 9) == 1
    let_pass(psql, 2 * ONE)
    assert await consume_at_once(database, 9) == 2


async def test_no_more_than_the_limit_comes_back(database: Database, psql: psycopg.Connection) -> None:
    assert await consume_at_once(database, COUNT) == COUNT
    let_pass(psql, SECONDS + 2 * ONE)
    insert_stale_keys(psql, 50)  # older ones, which are forgotten first
    assert await consume_at_once(database, 9) == COUNT


async def test_a_refused_request_costs_nothing(database: Database, psql: psycopg.Connection) -> None:
    assert await consume_at_once(database, 50) == COUNT
    let_pass(psql, ONE)
    assert await consume_at_once(database, 9) == 1


async def test_a_refund_allows_one_more(database: Database) -> None:
    assert await consume_at_once(database, 9) == COUNT
    await refund(database, "another key", COUNT, SECONDS)
    assert await consume_at_once(database, 9) == 0
    await refund(database, "k", COUNT, SECONDS)
    assert await consume_at_once(database, 9) == 1


async def test_a_clock_that_was_set_back_locks_nobody_out(
    database: Database, psql: psycopg.Connection
) -> None:
    assert await consume_at_once(database, 9) == COUNT
    let_pass(psql, -10 * SECONDS)
    assert await consume_at_once(database, 9) == COUNT


async def test_a_request_that_loses_a_race_has_a_time_to_wait(
    database: Database, psql: psycopg.Connection
) -> None:
    with psql.transaction():
        psql.execute("INSERT INTO rate_limits VALUES ('k', now() + make_interval(secs => %s))", [SECONDS])
        consuming = asyncio.ensure_future(consume(database, "k", COUNT, SECONDS))
        await wait_until(lambda: consuming.done() or waits_for_lock(psql))
    assert await consuming > 0


async def test_each_call_forgets_the_four_oldest_of_the_stale_keys(
    database: Database, psql: psycopg.Connection
) -> None:
    insert_stale_keys(psql, 50)
    await consume(database, "k", COUNT, SECONDS)
    left = {key for (key,) in psql.execute("SELECT key FROM rate_limits")}
    assert left == {"k"} | {f"stale{n}" for n in range(1, 47)}


async def test_all_stale_keys_are_forgotten_in_time(database: Database, psql: psycopg.Connection) -> None:
    insert_stale_keys(psql, 90)
    for n in range(1, 24):
        await consume(database, "k", 1000, SECONDS)
        assert count_keys(psql) == max(90 - 4 * n, 0) + 1


async def test_calls_at_once_forget_stale_keys_too(database: Database, psql: psycopg.Connection) -> None:
    insert_stale_keys(psql, 90)
    with pool_timeout(100):
        await asyncio.gather(*(consume(database, f"k{n % 3}", 1000, SECONDS) for n in range(60)))
    assert count_keys(psql) == 3


async def test_a_stale_key_that_another_call_forgets_holds_nobody_up(
    database: Database, psql: psycopg.Connection
) -> None:
    insert_stale_keys(psql, 3)
    with psql.transaction():
        psql.execute("SELECT FROM rate_limits FOR UPDATE")
        consuming = asyncio.ensure_future(consume(database, "k", COUNT, SECONDS))
        await wait_until(lambda: consuming.done() or waits_for_lock(psql))
        assert consuming.done()
    assert await consuming == 0


@pytest.mark.parametrize("key", ["x" * 1000, "register 张三", ""])
async def test_any_key_can_be_counted(database: Database, key: str) -> None:
    assert await consume_at_once(database, 9, key) == COUNT
