"""5,000 viewers on one process: how soon they are connected and served, and what one costs."""

import time
from statistics import median

import psutil
import uvloop

from benchmarks.crowd import watching
from benchmarks.roster import add_demo_people, connect, fresh_roster, insert_person, section
from tests.helpers import Server

COUNT = 5000
CHANGES = 5
PEOPLE = 1000  # so that the page, and with it each event, is a full one


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        add_demo_people(roster, PEOPLE)
        return uvloop.run(_measure(roster))


async def _measure(roster: Server) -> str:
    program = psutil.Process(roster.process.pid)
    with connect(roster) as connection:
        async with watching(roster.url, 1):
            pass  # the first one has the templates loaded, once
        before = program.memory_info().rss
        async with watching(roster.url, COUNT) as crowd:
            connecting = crowd.connected_at - crowd.started_at
            connected = program.memory_info().rss
            times = []
            for _ in range(CHANGES):
                started = time.perf_counter()
                version = insert_person(connection)
                times.append(await crowd.reach(version) - started)
                if len(times) == 1:
                    served = program.memory_info().rss
            size = len(crowd.viewers[0].event)
    return section(
        f"{COUNT:,} viewers on one process",
        f"""
All connect at once, from a process that shares the cores. Then {CHANGES} people are inserted, one when all
viewers have the one before. An event is {size / 1000:.1f} KB. Memory is the growth of the program's resident
set.
""",
        ("what", "figure", "target"),
        [
            ("all connected, each with its first bytes", f"{connecting:.1f} s", "10 s"),
            ("a change, insert to the last viewer, median", f"{median(times):.2f} s", "1 s"),
            ("the same, slowest", f"{max(times):.2f} s", ""),
            ("memory a viewer, when connected", _kilobytes(connected - before), "35 KB"),
            ("memory a viewer, after the first change", _kilobytes(served - before), "35 KB"),
        ],
    )


def _kilobytes(grown: int) -> str:
    return f"{grown / COUNT / 1000:.1f} KB"
