"""A burst of 1,000 registrations within a second, with 1,000 viewers."""

import asyncio
import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from uuid import uuid4

import psycopg
import uvloop

from benchmarks.crowd import watching
from benchmarks.roster import INSERT, OURS, connect, fresh_roster, insert_person, roster_version, section
from queries.user_list import PAGE_SIZE
from tests.helpers import Server

COUNT = 1000
SECONDS = 1.0
VIEWERS = 1000
CONNECTIONS = 8


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        return uvloop.run(_measure(roster))


async def _measure(roster: Server) -> str:
    loop = asyncio.get_running_loop()
    with connect(roster) as connection, ProcessPoolExecutor(1, get_context("spawn")) as processes:
        await loop.run_in_executor(processes, insert, roster.database, CONNECTIONS, 0.0)  # makes the process
        async with watching(roster.url, VIEWERS) as crowd:
            await crowd.reach(insert_person(connection))
            for viewer in crowd.viewers:
                viewer.versions.clear()
            took = await loop.run_in_executor(processes, insert, roster.database, COUNT, SECONDS)
            await crowd.reach(roster_version(connection))
        [size] = connection.execute("SELECT size FROM roster").fetchone() or (0,)
        newest = connection.execute(
            "SELECT username FROM users ORDER BY id DESC LIMIT %s", [PAGE_SIZE]
        ).fetchall()
        [counted] = connection.execute("SELECT count(*) FROM users").fetchone() or (0,)
    expected = counted, [name for (name,) in newest]
    exact = sum(_shown(viewer.event) == expected for viewer in crowd.viewers) if size == counted else 0
    refreshes = len({version for viewer in crowd.viewers for version in viewer.versions})
    return section(
        f"A burst of {COUNT:,} registrations",
        f"""
{COUNT:,} people are inserted through {CONNECTIONS} connections of another process, each in a commit of its
own and evenly over {SECONDS:.0f} s if the machine can, while {VIEWERS:,} viewers watch.
""",
        ("what", "figure", "target"),
        [
            ("the inserts took", f"{took:.2f} s", f"about {SECONDS:.0f} s"),
            ("refreshes, first to last", str(refreshes), "at most 15"),
            ("the most that one viewer was sent", str(max(len(v.versions) for v in crowd.viewers)), ""),
            ("viewers that end with the exact list and number", f"{exact:,}", f"{VIEWERS:,}"),
        ],
    )


def insert(database: str, count: int, seconds: float) -> float:
    """Insert people evenly over some seconds through several connections; return how long it took."""
    return asyncio.run(_insert(database, count, seconds))


async def _insert(database: str, count: int, seconds: float) -> float:
    numbers = iter(range(count))
    ready = asyncio.Barrier(CONNECTIONS)
    started = 0.0

    async def insert_some() -> None:
        nonlocal started
        connecting = psycopg.AsyncConnection.connect(database, autocommit=True, application_name=OURS)
        async with await connecting as connection:
            await ready.wait()
            started = started or time.perf_counter()
            for number in numbers:
                due = started + number * seconds / count
                await asyncio.sleep(max(0, due - time.perf_counter()))
                await connection.execute(INSERT, {"name": uuid4().hex})

    await asyncio.gather(*(insert_some() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


def _shown(event: bytes) -> tuple[int, list[str]]:
    """Return the number of people and the names that a page shows after that event."""
    text = event.decode()
    [size] = re.findall('id="count">([0-9,]+)<', text)
    return int(size.replace(",", "")), re.findall("<bdi>(.*?)</bdi>", text)
