"""What a registration costs, step by step: py-spy's samples while people register."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks import wrk
from benchmarks.roster import fresh_roster, section
from tests.helpers import ROOT

SECONDS = 20
CONNECTIONS = 16
SAMPLES = 100  # a second, of each thread
# A sample belongs to the first step whose function is in its stack.
STEPS = {
    "Argon2id": "hash_secret",
    "scoring the password (zxcvbn)": "_score",
    "normalizing user name and password (PRECIS)": "Profile.enforce",
    "the statement: psycopg and its pool": "insert_user",
    "reading the list again, at most 10 times a second": "LiveList._listen_while_connected",
    "HTTP/1.1, reading: Hypercorn and h11": "Connection._read",
    "HTTP/1.1, writing: Hypercorn and h11": "HTTPStream.app_send",
    "the route itself": "register",
    "the framework around it: Quart and Werkzeug": "Quart.asgi_app",
    "the framework's tasks": "ASGIHTTPConnection.handle_request",
    "the threads that hash, beside that": "_worker",
    "the event loop, and whatever else": "",
}
WAITING = re.compile(r"_worker \(concurrent/futures/thread\.py:\d+\)$")  # for something to hash


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster, tempfile.NamedTemporaryFile() as file:
        wrk.run(wrk.register(roster.url), 1, CONNECTIONS)
        wrk.settle()
        command = [
            *(
                str(ROOT / ".venv/bin/py-spy"),
                "record",
                "--nonblocking",
                "--format=raw",
                f"--output={file.name}",
            ),
            *(f"--rate={SAMPLES}", f"--duration={SECONDS - 1}", f"--pid={roster.process.pid}"),
        ]
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        rate = wrk.run(wrk.register(roster.url), SECONDS, CONNECTIONS).rate
        _, error = spy.communicate()
        if spy.returncode:
            raise SystemExit(f"py-spy, which may have to run as root: {error}")
        samples = _count_samples(Path(file.name).read_text().splitlines())
    each = {step: 1000 * count / SAMPLES / (SECONDS - 1) / rate for step, count in samples.items()}
    return section(
        "What a registration costs in Roster's process",
        f"""
py-spy looks at every thread that runs, {SAMPLES} times a second, while wrk registers people over
{CONNECTIONS} connections without HTMX, {rate:.0f} a second (the looking itself slows it down). PostgreSQL and
wrk share the cores and are not in it. A step has the time of what it calls, unless that is a step of its own.
""",
        ("step", "ms for each"),
        [(step, f"{each.get(step, 0):.2f}") for step in STEPS],
    )


def _count_samples(lines: Iterable[str]) -> Counter[str]:
    """Return the samples of each step, of lines such as "outer (file:1);inner (file:2) 12"."""
    samples: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if not WAITING.search(stack):
            functions = {frame.partition(" ")[0] for frame in stack.split(";")} | {""}
            samples[next(step for step, name in STEPS.items() if name in functions)] += int(count)
    return samples
