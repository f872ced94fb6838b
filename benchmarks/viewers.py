"""Viewers on two workers: how soon they are connected and served, and what one costs; nchan beside them."""

import re
import time
from dataclasses import dataclass
from statistics import median

import httpx
import psutil
import uvloop

from benchmarks.crowd import Crowd, following, watching
from benchmarks.nchan import running_nchan
from benchmarks.roster import INSERT, add_demo_people, connect, fresh_roster, roster_version, section
from tests.helpers import Server, workers

COUNTS = 1000, 5000, 10_000
WORKERS = 2
CHANGES = 5
PEOPLE = 1000  # so that the page, and with it each event, is a full one
FIRST_ONES = 50  # viewers that have each worker load what all need, once


@dataclass(frozen=True)
class Figures:
    """What one number of viewers took: seconds, and bytes for each of them."""

    connecting: float
    changes: list[float]
    memory: float
    crowd_seconds: float  # of CPU time for each change, in the viewers themselves
    event: bytes

    @property
    def median(self) -> float:
        """The seconds from a change to the last viewer, typically."""
        return median(self.changes)

    def cells(self) -> list[str]:
        """Return its cells of the table."""
        change = f"{self.median:.2f} s (slowest {max(self.changes):.2f} s)"
        return [f"{self.connecting:.1f} s", change, f"{self.memory / 1000:.1f} KB"]


def measure() -> str:
    """Return the section of the results."""
    rows, size, cost = [], 0, 0.0
    for count in COUNTS:
        roster = _measure_roster(count)
        nchan = uvloop.run(_measure_nchan(count, roster.event))
        ratio = roster.median / nchan.median
        rows.append([f"{count:,}", *roster.cells(), *nchan.cells(), f"{ratio:.1f}"])
        size, cost = len(roster.event), roster.crowd_seconds
    target = [f"target, {COUNTS[-1]:,}", "", "1 s", "30 KB", "", "", "", "3"]
    return section(
        f"Viewers on {WORKERS} workers, beside nginx with nchan",
        f"""
All connect at once, from a process that shares the cores. Then {CHANGES} people are inserted, one when all
viewers have the one before; the time runs from the start of the commit until the last viewer has the event,
of {size / 1000:.1f} KB. Of that time, reading the events takes the viewers themselves {cost:.2f} s of
CPU time for {COUNTS[-1]:,} of them. Memory is the growth, for each viewer, of the resident sets of all
processes, PostgreSQL left out. nginx has as many workers, and the same bytes are published; its time runs
from the start of that request, and its memory counts what its processes share once (PSS). The ratio is that
of the medians.
""",
        (
            "viewers",
            *("all connected", "change to last viewer", "memory each"),
            *("nchan: connected", "publish to last viewer", "memory each"),
            "ratio",
        ),
        [*rows, target],
    )


def _measure_roster(count: int) -> Figures:
    settings = {"WORKERS": str(WORKERS), "MAX_VIEWERS": str(count + FIRST_ONES)}
    with fresh_roster(**settings) as roster:
        add_demo_people(roster, PEOPLE)
        return uvloop.run(_watch_roster(roster, count))


async def _watch_roster(roster: Server, count: int) -> Figures:
    processes = [psutil.Process(roster.process.pid), *workers(roster)]

    def memory() -> int:
        return sum(process.memory_info().rss for process in processes)

    with connect(roster) as connection:
        async with watching(roster.url, FIRST_ONES):
            pass
        before = memory()
        async with watching(roster.url, count) as crowd:
            cpu_started = time.process_time()
            changes: list[float] = []
            for _ in range(CHANGES):
                with connection.transaction():
                    connection.execute(INSERT, {"name": f"viewer{len(changes)}"})
                    started = time.perf_counter()
                changes.append(await crowd.reach(roster_version(connection)) - started)
            return _figures(crowd, changes, memory() - before, time.process_time() - cpu_started)


async def _measure_nchan(count: int, event: bytes) -> Figures:
    """Publish the data of an event of Roster's; nchan writes the rest of the event."""
    data = b"\n".join(re.findall(rb"^data: (.*)$", event, re.MULTILINE))
    with running_nchan(WORKERS, count + FIRST_ONES) as nchan:
        async with httpx.AsyncClient(base_url=nchan.url, timeout=60) as publisher:
            async with following(nchan.url, "/live", FIRST_ONES) as crowd:
                (await publisher.post("/publish", content=data)).raise_for_status()
                await crowd.receive(1)
            (await publisher.delete("/publish")).raise_for_status()  # newcomers would be sent the message
            before = nchan.memory()
            async with following(nchan.url, "/live", count) as crowd:
                cpu_started = time.process_time()
                changes = []
                for number in range(CHANGES):
                    started = time.perf_counter()
                    (await publisher.post("/publish", content=data)).raise_for_status()
                    changes.append(await crowd.receive(number + 1) - started)
                return _figures(crowd, changes, nchan.memory() - before, time.process_time() - cpu_started)


def _figures(crowd: Crowd, changes: list[float], grown: int, cpu_seconds: float) -> Figures:
    return Figures(
        crowd.connected_at - crowd.started_at,
        changes,
        grown / len(crowd.viewers),
        cpu_seconds / len(changes),
        crowd.viewers[0].event,
    )
