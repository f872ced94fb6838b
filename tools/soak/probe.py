"""A probe inside the program: each process tells its tasks.

The number of asyncio's tasks cannot be seen from outside. So each event loop of `serve.py` writes
it to a file of its own, every few seconds. Nothing else of the program is changed.
"""

import asyncio
import os
from pathlib import Path

import serve

PERIOD_SECONDS = 2.0


def install(folder: Path) -> None:
    """Let every event loop of this process write the number of its tasks into `folder`."""
    new_event_loop = serve._new_event_loop  # noqa: SLF001 (there is no other way in)

    def new_reporting_loop() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()

        def report() -> None:
            (folder / str(os.getpid())).write_text(str(len(asyncio.all_tasks(loop))))
            loop.call_later(PERIOD_SECONDS, report)

        loop.call_soon(report)
        return loop

    serve._new_event_loop = new_reporting_loop  # noqa: SLF001


def tuning(folder: Path) -> str:
    """Return the code that does so in a `serve.py` process, see `start_process`."""
    return f"import pathlib, tools.soak.probe as probe; probe.install(pathlib.Path({str(folder)!r}))"


def read_tasks(folder: Path, pids: list[int]) -> int:
    """Return the number of tasks of these processes together."""
    files = [folder / str(pid) for pid in pids]
    return sum(int(file.read_text() or 0) for file in files if file.exists())
