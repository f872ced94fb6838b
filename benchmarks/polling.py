"""Statements and CPU time of pages that are told of changes, beside pages that ask every 2 s."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psutil
import psycopg
import uvloop

from benchmarks.crowd import FILES, allow_files, watching
from benchmarks.peers import PEERS, create_tables, running_peer
from benchmarks.roster import (
    OURS,
    StatementLog,
    add_demo_people,
    connect,
    fresh_roster,
    insert_person,
    section,
)
from services import embedded_postgres

VIEWERS = 1000
POLL_SECONDS = 2.0
SECONDS = 10
PEOPLE = 1000
PROCESSES = 2
PEER = "FastAPI on uvicorn"


@dataclass(frozen=True)
class Figures:
    """What it costs in a second: statements, CPU seconds of the program and of PostgreSQL, requests."""

    statements: float
    program: float
    database: float
    requests: float = 0

    def row(self, name: str) -> list[str]:
        """Return its row of the table."""
        cells = f"{1000 * self.program:.0f} ms", f"{1000 * self.database:.0f} ms"
        return [name, f"{self.requests:.0f}", f"{self.statements:.1f}", *cells]


class PollingPage(asyncio.Protocol):
    """A page that asks for the list every 2 s on a connection of its own.

    `answers` are those that were 200.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count an answer at its first bytes."""
        self.answers += data.startswith(b"HTTP/1.1 200")

    def ask(self) -> None:
        """Ask now, and again every 2 s."""
        if not self._transport.is_closing():
            self._transport.write(self._request)
            asyncio.get_running_loop().call_later(POLL_SECONDS, self.ask)

    def close(self) -> None:
        """End it."""
        self._transport.abort()


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster(WORKERS=str(PROCESSES)) as roster:
        add_demo_people(roster, PEOPLE)
        with connect(roster) as connection:
            told = uvloop.run(_measure_roster(roster.url, connection))
    asking = uvloop.run(_measure_peer())
    return section(
        f"{VIEWERS:,} open pages, a change a second",
        f"""
Figures of a second, over {SECONDS} s. Roster: {VIEWERS:,} pages follow the list while a person is inserted
each second. Beside it as many pages of {PEER} ask for the list every {POLL_SECONDS:.0f} s, whether or not
it has changed. {PROCESSES} processes each. Statements are counted in the log of the database server.
""",
        ("a second", "requests", "statements", "CPU time, program", "CPU time, PostgreSQL"),
        [
            told.row("Roster"),
            asking.row(PEER),
            [
                "ratio",
                "",
                f"1/{asking.statements / told.statements:.0f} (target: under 1/100)",
                f"{told.program / asking.program:.2f}",
                f"{told.database / asking.database:.2f}",
            ],
        ],
    )


async def _measure_roster(url: str, connection: psycopg.Connection) -> Figures:
    async def change() -> None:
        insert_person(connection)

    async with watching(url, VIEWERS) as crowd:
        await crowd.reach(insert_person(connection))
        return await _count(StatementLog(connection), change)


async def _measure_peer() -> Figures:
    [peer] = [peer for peer in PEERS if peer.name == PEER]
    async with _empty_database() as database:
        create_tables(database, PEOPLE)
        with (
            psycopg.connect(database, autocommit=True, application_name=OURS) as connection,
            running_peer(peer, database, PROCESSES) as url,
        ):
            async with _polling(url) as pages:
                before = sum(page.answers for page in pages)
                figures = await _count(StatementLog(connection), _do_nothing)
                requests = (sum(page.answers for page in pages) - before) / SECONDS
    return Figures(figures.statements, figures.program, figures.database, requests)


@asynccontextmanager
async def _empty_database() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgres.run(Path(folder, "data")) as url:
            yield url


async def _do_nothing() -> None:
    pass


@asynccontextmanager
async def _polling(url: str) -> AsyncIterator[list[PollingPage]]:
    """Give pages that have begun to ask, evenly over 2 s."""
    allow_files(VIEWERS + FILES)
    place = urlsplit(url)
    request = f"GET /users HTTP/1.1\r\nHost: {place.netloc}\r\nHX-Request: true\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    pages = []
    try:
        for _ in range(VIEWERS):
            _, page = await loop.create_connection(
                lambda: PollingPage(request), place.hostname or "", place.port or 0
            )
            pages.append(page)
        for number, page in enumerate(pages):
            loop.call_later(POLL_SECONDS * number / VIEWERS, page.ask)
        await asyncio.sleep(2 * POLL_SECONDS)
        yield pages
    finally:
        for page in pages:
            page.close()


async def _count(statements: StatementLog, change: Callable[[], Awaitable[None]]) -> Figures:
    """Return what some seconds cost, each with a change."""
    statements.count()
    program, database = _cpu_seconds()
    started = time.monotonic()
    for second in range(1, SECONDS + 1):
        await change()
        await asyncio.sleep(started + second - time.monotonic())
    program_after, database_after = _cpu_seconds()
    return Figures(
        statements.count() / SECONDS,
        (program_after - program) / SECONDS,
        (database_after - database) / SECONDS,
    )


def _cpu_seconds() -> tuple[float, float]:
    """Return the CPU seconds of the processes that this one has started: the program's, and PostgreSQL's."""
    program = database = 0.0
    for process in psutil.Process().children(recursive=True):
        times = process.cpu_times()
        if process.name() == "postgres":
            database += times.user + times.system
        else:
            program += times.user + times.system
    return program, database
