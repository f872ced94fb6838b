"""Starts serve.py COUNT times and stops each start at a random moment: no PostgreSQL may be left running."""

import asyncio
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from services import embedded_postgres
from services.stop_signal import STOP_SIGNALS
from tests.helpers import processes_of, start_process

AT_ONCE = 3
BUSY_LOOPS = 4
MAX_MILLISECONDS = 2000  # from a start to its first signal
END_SECONDS = 30


@click.command(help="Start serve.py COUNT times, stop each start at a random moment, and look what is left.")
@click.argument("count", type=click.IntRange(1), default=500)
def main(count: int) -> None:
    """Print what was found in a line; exit with status 1 if anything was left or went wrong."""
    with tempfile.TemporaryDirectory() as folder, _load():
        problems = asyncio.run(_stop_starts(Path(folder), count))
    for problem in problems:
        click.echo(problem)
    left = sum("left running" in problem for problem in problems)
    click.echo(f"{count} starts stopped: {left} left something running, {len(problems) - left} ended wrongly")
    sys.exit(bool(problems))


@contextmanager
def _load() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY_LOOPS)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


async def _stop_starts(folder: Path, count: int) -> list[str]:
    numbers = iter(range(count))
    workers = [_work(folder / f"worker{worker}", numbers) for worker in range(AT_ONCE)]
    return [problem for problems in await asyncio.gather(*workers) for problem in problems]


async def _work(folder: Path, numbers: Iterator[int]) -> list[str]:
    """Take turns with a data folder that is new and one that holds a database."""
    used = folder / "used"
    async with embedded_postgres.run(used / "data"):
        pass
    problems = []
    for number in numbers:
        if number % 2:
            problems += await _stop_start(used)
            continue
        new = folder / f"new{number}"
        new.mkdir()
        problems += await _stop_start(new)
        shutil.rmtree(new, ignore_errors=True)
    return problems


async def _stop_start(folder: Path) -> list[str]:
    """Start with the data in `folder`, stop, and return what is wrong after that."""
    before = _last_used(folder / "data")
    process = start_process(folder, DATABASE_URL="")
    sent = []
    for _ in range(1 + secrets.randbelow(2)):
        await asyncio.sleep(secrets.randbelow(MAX_MILLISECONDS) / 1000)
        sent.append(secrets.choice(STOP_SIGNALS))
        process.send_signal(sent[-1])
    problems = []
    try:
        _, errors = await asyncio.to_thread(process.communicate, timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        problems.append(f"had not ended after {END_SECONDS} s")
        process.kill()
        _, errors = await asyncio.to_thread(process.communicate)
    if left := processes_of(folder):
        problems.append(f"left running {left}")
    # A signal while Python itself starts has its default effect; Python may report SIGINT with status 1.
    is_default = -process.returncode in sent or "KeyboardInterrupt" in errors
    was_too_early = is_default and _last_used(folder / "data") == before
    if not was_too_early and (process.returncode or errors):
        problems.append(f"exit status {process.returncode}: {errors}")
    names = " and ".join(number.name for number in sent)
    return [f"{folder.name}, {names}: {problem}" for problem in problems]


def _last_used(data: Path) -> int:
    """Return when a start last made the data folder or the log of its PostgreSQL, 0 for never."""
    files = data, data / "postgres" / "log" / "start.log"
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


if __name__ == "__main__":
    main()
