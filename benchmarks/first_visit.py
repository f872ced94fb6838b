"""First visits, which the program answers from its snapshot without asking the database."""

import asyncio
import time
from urllib.parse import urlsplit

import uvloop

from benchmarks.crowd import watching
from benchmarks.roster import StatementLog, add_demo_people, connect, fresh_roster, insert_person, section
from tests.helpers import Server

COUNT = 5000
CONNECTIONS = 16
PEOPLE = 1000  # so that the page is a full one
HEAD_END = b"\r\n\r\n"


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        add_demo_people(roster, PEOPLE)
        statements, rate = uvloop.run(_measure(roster))
    return section(
        "First visits from the snapshot",
        f"""
{COUNT:,} times `GET /`, compressed, over {CONNECTIONS} connections, from a process that shares the cores;
statements counted in the log of the database server (`log_statement = all`).
""",
        ("what", "figure", "target"),
        [
            ("statements sent to the database", str(statements), "0"),
            ("visits a second, one process", f"{rate:,.0f}", ""),
        ],
    )


async def _measure(roster: Server) -> tuple[int, float]:
    with connect(roster) as connection:
        log = StatementLog(connection)
        async with watching(roster.url, 1) as crowd:
            await crowd.reach(insert_person(connection))  # now it does not look by itself for 8 s
        log.count()
        rate = await visit(roster.url)
        return log.count(), rate


async def visit(url: str) -> float:
    """Visit the page many times over some connections; return how many times a second."""
    place = urlsplit(url)
    request = f"GET / HTTP/1.1\r\nHost: {place.netloc}\r\nAccept-Encoding: gzip, br\r\n\r\n".encode()
    turns = iter(range(COUNT))

    async def visit_some() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for _ in turns:
            writer.write(request)
            head = (await reader.readuntil(HEAD_END)).lower()
            if not head.startswith(b"http/1.1 200"):
                raise SystemExit(f"the page answered {head.split()[1].decode()}")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(visit_some() for _ in range(CONNECTIONS)))
    return COUNT / (time.perf_counter() - started)
