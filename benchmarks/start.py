"""How long a start takes, and how much memory an idle process holds."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import psutil

from benchmarks.roster import milliseconds, section
from tests.helpers import ROOT, UNSET

STARTS = 5
MEMORY = {"rss": "resident (RSS)", "pss": "its share of what is shared (PSS)", "uss": "its own (USS)"}


@dataclass(frozen=True)
class Start:
    """A start: seconds until `/` has answered, and bytes of memory a moment later."""

    seconds: float
    memory: dict[str, int]


def measure() -> str:
    """Return the section of the results."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "roster")
        _copy_tracked_files(copy)
        first = _start(copy)  # it makes .venv and the database
        starts = [_start(copy) for _ in range(STARTS)]
        imports = [_time_imports(copy) for _ in range(STARTS)]
    count = imports[0][0]
    memory = {name: median(start.memory[name] for start in starts) / 1e6 for name in MEMORY}
    return section(
        "Start and memory",
        f"""
`make run` in a copy of the tracked files, until `/` has answered 200. The first one, which installs
everything, took {first.seconds:.0f} s; the figures are of the {STARTS} after it. Memory is that of the one
process that serves, idle after that one page, without PostgreSQL. A MB is 1,000,000 bytes.
""",
        ("what", "figure", "target"),
        [
            ("start to the first page, median", milliseconds(start.seconds for start in starts), "600 ms"),
            ("of it, `import serve`", milliseconds(seconds for _, seconds in imports), ""),
            ("modules that this imports", str(count), ""),
            *(
                (f"memory, {meaning}", f"{memory[name]:.1f} MB", "70 MB" if name == "rss" else "")
                for name, meaning in MEMORY.items()
            ),
        ],
    )


def _copy_tracked_files(copy: Path) -> None:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(lambda name: name and (ROOT / name).exists(), names.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)


def _start(folder: Path) -> Start:
    """Start it, ask for the page once, look at its memory, and stop it."""
    with httpx.Client() as client:  # made before: it takes a moment itself
        started = time.perf_counter()
        with _running(folder) as (make, url):
            client.get(url).raise_for_status()
            seconds = time.perf_counter() - started
            time.sleep(1)  # until it is idle
            [program] = make.children()
            return Start(seconds, {name: getattr(program.memory_full_info(), name) for name in MEMORY})


@contextmanager
def _running(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    environment = os.environ | UNSET | {"BIND": "127.0.0.1:0"}
    make = subprocess.Popen(
        ["make", "run", f"PYTHON={sys.executable}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a signal reaches what it starts, as Ctrl-C does
    )
    try:
        found = next((line for line in make.stdout or () if line.startswith("Roster: ")), None)
        if found is None:
            raise SystemExit("make run did not start")
        yield psutil.Process(make.pid), found.split()[1]
    finally:
        os.killpg(make.pid, signal.SIGTERM)
        make.communicate()


def _time_imports(folder: Path) -> tuple[int, float]:
    """Return how many modules `import serve` imports, and its seconds, which the timing makes longer."""
    command = [str(folder / ".venv/bin/python"), "-X", "importtime", "-c", "import serve"]
    lines = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stderr.splitlines()
    # What Python itself imports comes before; a module's line follows those of what it imports.
    first = next(n for n, line in enumerate(lines) if re.search(r"\| site$", line)) + 1
    [cumulative] = re.findall(r"\| +([0-9]+) \| serve$", lines[-1])
    return len(lines) - first, int(cumulative) / 1e6
