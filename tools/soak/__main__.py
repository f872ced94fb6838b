"""`make soak`: load, viewers and faults for half an hour.

Prints a row for each fault, what grew and what is wrong, and draws docs/soak.svg. The exit status is 1 if
anything was lost, doubled or said wrongly, if a fault was not recovered from, or if something grew.
"""

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil
import uvloop

from benchmarks.crowd import allow_files
from tests.helpers import ROOT, processes_of
from tools.soak.chart import write_chart
from tools.soak.faults import Target
from tools.soak.ledger import Account
from tools.soak.report import EXPLANATION, HEAD, describe_visits, find_problems
from tools.soak.run import VIEWERS, Run, started
from tools.soak.samples import WORKERS, find_growth
from tools.soak.viewers import Crowd

FILES = 800  # open files that are not viewers
END_SECONDS = 10.0  # for the last processes to end
CHART = ROOT / "docs" / "soak.svg"


@click.command(help="Run Roster under load for MINUTES, with a fault a minute.")
@click.argument("minutes", type=click.FloatRange(1, 24 * 60), default=30)
def main(minutes: float) -> None:
    """Print what was found; exit with status 1 if anything is wrong."""
    allow_files(VIEWERS + FILES)
    log: list[str] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            with started(folder, log, DATABASE_URL="", WORKERS=str(WORKERS)) as target:
                print(f"{target.url}\n\n{HEAD}", flush=True)
                run, account = uvloop.run(_run(target, folder, minutes))
            problems = run.problems + _end_left(folder)
            if target.process.returncode:
                problems.append(f"exit status {target.process.returncode}")
        except BaseException:
            sys.stderr.writelines(log)
            raise
    growths = find_growth(run.samples)
    problems += find_problems(run.reports, account, growths, log)
    write_chart(CHART, run.samples, run.faults)
    print(EXPLANATION)
    print(describe_visits(run.ledger.visits, run.crowd.statuses))
    print("\nlast two thirds, first and last quarter:", *growths, sep="\n")
    if problems:
        sys.stderr.writelines(log)
    print("", *problems, f"{len(problems)} problems", sep="\n")
    sys.exit(bool(problems))


async def _run(target: Target, folder: Path, minutes: float) -> tuple[Run, Account]:
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    run = Run(target, folder / "tasks", minutes, Crowd(target.url))
    return run, await run.run()


def _end_left(folder: Path) -> list[str]:
    """End what Roster has left running; return a line for each."""
    deadline = time.monotonic() + END_SECONDS
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return [f"left running: {process}" for process in left]


if __name__ == "__main__":
    main()
