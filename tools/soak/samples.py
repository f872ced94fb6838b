"""What is measured every few seconds, and whether it grows."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import psycopg

from settings import Settings
from tools.soak.faults import PROGRAM, Target
from tools.soak.ledger import Ledger
from tools.soak.probe import read_tasks
from tools.soak.viewers import Crowd

PERIOD_SECONDS = 5.0
CONNECT_SECONDS = 2.0  # for the count of connections; while PostgreSQL is away there is none
WARM_SECONDS = 120.0  # of a worker, in which caches and threads come
MIN_LIFE_SECONDS = 300.0  # of a worker, after these, to judge its memory
MB = 1e6
WORKERS = 2
CONNECTIONS = WORKERS * (Settings().pool_size + 1)  # at most: the pools, and one each to listen


@dataclass(frozen=True)
class Usage:
    """What the processes use; memory in MB."""

    workers: dict[int, float]  # the memory of each, by its process number
    roster_memory: float  # resident; of the workers and their parent
    postgres_memory: float  # proportional: what its processes share counts once
    descriptors: int
    threads: int
    tasks: int


@dataclass(frozen=True)
class Sample:
    """One moment: `at` in seconds since the start, None for what could not be read."""

    at: float
    usage: Usage
    connections: int | None
    viewers: int
    registrations: float  # confirmed in a second, since the last sample

    @property
    def other_descriptors(self) -> int:
        """The descriptors that are not those of viewers."""
        return max(0, self.usage.descriptors - self.viewers)  # a killed worker's viewers do not know yet

    @property
    def excess_connections(self) -> int | None:
        """The connections that are more than the pools and the listeners may have."""
        return self.connections and max(0, self.connections - CONNECTIONS)


async def take_samples(
    target: Target, tasks_folder: Path, ledger: Ledger, crowd: Crowd, samples: list[Sample]
) -> None:
    """Add a sample every few seconds, for ever."""
    started_at = last_at = time.monotonic()
    last_count = 0
    while True:
        await asyncio.sleep(last_at + PERIOD_SECONDS - time.monotonic())
        now, count = time.monotonic(), len(ledger.confirmed)
        rate = (count - last_count) / (now - last_at)
        last_at, last_count = now, count
        connections, viewers = await _count_connections(target), crowd.connected
        with suppress(psutil.Error, OSError, ValueError):  # PostgreSQL or a worker just ends
            usage = await asyncio.to_thread(_measure, target, tasks_folder)
            samples.append(Sample(now - started_at, usage, connections, viewers, rate))


async def _count_connections(target: Target) -> int | None:
    with suppress(psycopg.Error, TimeoutError):
        async with (
            asyncio.timeout(CONNECT_SECONDS),
            await target.connect_at_once() as psql,
        ):
            return (await psql.execute(f"SELECT {PROGRAM}")).rowcount
    return None


def _measure(target: Target, tasks_folder: Path) -> Usage:
    parent, workers = psutil.Process(target.process.pid), target.workers()
    memory = {worker.pid: worker.memory_info().rss / MB for worker in workers}
    postgres = 0.0
    for process in target.postgres():
        with suppress(psutil.Error):  # a backend comes and goes
            info = process.memory_full_info()
            postgres += getattr(info, "pss", info.uss) / MB  # macOS has no PSS
    return Usage(
        workers=memory,
        roster_memory=sum(memory.values()) + parent.memory_info().rss / MB,
        postgres_memory=postgres,
        descriptors=sum(process.num_fds() for process in [parent, *workers]),
        threads=sum(process.num_threads() for process in [parent, *workers]),
        tasks=read_tasks(tasks_folder, [worker.pid for worker in workers]),
    )


@dataclass(frozen=True)
class Growth:
    """A figure at the beginning and at the end of the last two thirds of the run."""

    what: str
    before: float
    after: float
    allowed: float

    @property
    def is_too_much(self) -> bool:
        """Whether it grew by more than noise."""
        return self.after - self.before > self.allowed

    def __str__(self) -> str:
        """Return a line of the report."""
        return f"{self.what}: {self.before:.1f}, then {self.after:.1f} (at most {self.allowed:.1f} more)"


# For each figure, the growth that is noise: a share of it, and a number. The people themselves need
# 1 MB a thousand, at most. The pools hold more or fewer connections, and PostgreSQL 2 MB for each.
FIGURES: dict[str, tuple[Callable[[Sample], float | None], float, float]] = {
    "memory of Roster, MB": (lambda sample: sample.usage.roster_memory, 0.1, 10),
    "memory of PostgreSQL, MB": (lambda sample: sample.usage.postgres_memory, 0.1, 20),
    "descriptors beside the viewers'": (lambda sample: sample.other_descriptors, 0.1, 10),
    "threads": (lambda sample: sample.usage.threads, 0.1, 4),
    "tasks": (lambda sample: sample.usage.tasks, 0.1, 20),
    "connections to PostgreSQL that no pool has": (lambda sample: sample.excess_connections, 0, 0),
}


def find_growth(samples: Sequence[Sample]) -> list[Growth]:
    """Compare the first and the last quarter of the last two thirds; then the same for each worker."""
    window = samples[len(samples) // 3 :]
    growths = [
        _compare(what, [value for value in map(read, window) if value is not None], share, number)
        for what, (read, share, number) in FIGURES.items()
    ]
    lives: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        for pid, memory in sample.usage.workers.items():
            lives[pid].append((sample.at, memory))
    for pid, life in lives.items():
        warm = [(at, memory) for at, memory in life if at >= life[0][0] + WARM_SECONDS]
        if warm and (seconds := warm[-1][0] - warm[0][0]) >= MIN_LIFE_SECONDS:
            what = f"memory of worker {pid} in {seconds / 60:.0f} minutes, MB"
            growths.append(_compare(what, [memory for _, memory in warm], 0.1, 5))
    return growths


def _compare(what: str, values: list[float], share: float, number: float) -> Growth:
    quarter = max(len(values) // 4, 1)
    before, after = median(values[:quarter] or [0]), median(values[-quarter:] or [0])
    return Growth(what, before, after, share * before + number)
