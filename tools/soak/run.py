"""A run: a Roster under load, a fault a minute, and its ledger."""

import asyncio
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from tests.helpers import start_process
from tools.soak.faults import FAULTS, Target
from tools.soak.ledger import Account, Ledger, compare
from tools.soak.probe import tuning
from tools.soak.report import FaultReport, report_fault
from tools.soak.samples import Sample, take_samples
from tools.soak.viewers import Crowd
from tools.soak.visitors import visit_until

VIEWERS = 1000
FAULT_SECONDS = 60.0
MIN_FAULT_SECONDS = 20.0  # in a short run, which makes fewer faults
RECOVERY_SECONDS = 10.0  # at least, after a fault that lasted for longer than planned
STOP_SECONDS = 30.0


@contextmanager
def started(folder: Path, log: list[str], **settings: str) -> Iterator[Target]:
    """Run `serve.py` with its data in `folder`; `log` gets the lines of its log."""
    (folder / "tasks").mkdir()
    process = start_process(folder, tuning=tuning(folder / "tasks"), **settings)
    reading = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reading.start()
    try:
        lines = dict(line.strip().split(": ", 1) for line in itertools.islice(process.stdout or (), 2))
        if "Database" not in lines:
            raise SystemExit("Roster does not start")
        yield Target(process, lines["Roster"], lines["Database"], folder / "data")
    finally:
        _stop(process)
        reading.join(STOP_SECONDS)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class Run:
    """What happens in `minutes`, and what was found."""

    target: Target
    tasks_folder: Path
    minutes: float
    crowd: Crowd
    ledger: Ledger = field(default_factory=Ledger)
    samples: list[Sample] = field(default_factory=list)
    faults: list[tuple[float, int]] = field(default_factory=list)  # the second, the place in FAULTS
    reports: list[FaultReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def run(self) -> Account:
        """Return the ledger beside the database, at the end."""
        is_over = asyncio.Event()
        async with self.crowd.following(VIEWERS):
            visiting = asyncio.create_task(visit_until(is_over, self.target.url, self.ledger))
            sampling = asyncio.create_task(
                take_samples(self.target, self.tasks_folder, self.ledger, self.crowd, self.samples)
            )
            try:
                await self._make_faults()
            finally:
                is_over.set()
                await visiting
                sampling.cancel()
                await asyncio.wait([sampling])
        if not sampling.cancelled():
            sampling.result()  # raises what went wrong
        return await self._compare()

    async def _make_faults(self) -> None:
        started_at = time.monotonic()
        ends_at = started_at + 60 * self.minutes
        period = min(FAULT_SECONDS, max(MIN_FAULT_SECONDS, 60 * self.minutes / len(FAULTS)))
        await asyncio.sleep(period)
        for number in itertools.count():
            now = time.monotonic()
            if now > ends_at - period / 2:  # too late to recover
                break
            place = number % len(FAULTS)
            self.faults.append((now - started_at, place))
            next_at = max(started_at + (number + 2) * period, now + period / 2)
            await self._make_fault(place, min(next_at, ends_at))
        await asyncio.sleep(max(0, ends_at - time.monotonic()))

    async def _make_fault(self, place: int, until: float) -> None:
        fault, cut = FAULTS[place], self.crowd.cut
        began_at = time.monotonic()
        try:
            async with fault.make(self.target):
                began_at = time.monotonic()
                await asyncio.sleep(fault.seconds)
        except (psycopg.Error, psutil.Error, OSError) as error:  # a timeout is an OSError, too
            self.problems.append(f"{fault.name}: could not be made or mended: {error!r}")
        await asyncio.sleep(max(RECOVERY_SECONDS, until - time.monotonic()))
        report = report_fault(
            (place + 1, fault.name, began_at),
            self.ledger,
            self.crowd,
            self.crowd.cut - cut,
            await self._read_usernames(),
        )
        self.reports.append(report)
        print(report, flush=True)

    async def _read_usernames(self) -> list[str]:
        async with await self.target.connect() as psql:
            rows = await psql.execute("SELECT username FROM users ORDER BY id")
            return [name async for (name,) in rows]

    async def _compare(self) -> Account:
        stored = await self._read_usernames()
        async with await self.target.connect() as psql:
            size = await (await psql.execute("SELECT size FROM roster")).fetchone()
        if size != (len(stored),):
            self.problems.append(f"the list counts {size}, and {len(stored)} people are in the database")
        return compare(self.ledger.visits, stored)
