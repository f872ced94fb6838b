"""What the benchmarks share: a Roster to measure, what its database was asked, a section of the results."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from uuid import uuid4

import psycopg

from tests.helpers import ROOT, Server, running

LOG_SECONDS = 5  # for a line to reach the log of the database
OURS = "benchmark"  # application_name of the connections that are not the program's
INSERT = "INSERT INTO users (username, username_key, password_hash) VALUES (%(name)s, %(name)s, 'benchmark')"


@contextmanager
def fresh_roster(**settings: str) -> Iterator[Server]:
    """Run the program as an operator would, on an empty embedded PostgreSQL unless `settings` name one."""
    settings = {"DATABASE_URL": "", "LISTEN_DATABASE_URL": ""} | settings
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **settings) as roster:
        yield roster


def connect(roster: Server) -> psycopg.Connection:
    """Return a connection of our own to the program's database, as psql would make it."""
    return psycopg.connect(roster.database, autocommit=True, application_name=OURS)


def add_demo_people(roster: Server, count: int) -> float:
    """Fill the database with made-up people; return the seconds that the whole command took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, ROOT / "cli.py", "demo", str(count)],
        env=os.environ | {"DATABASE_URL": roster.database},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def insert_person(connection: psycopg.Connection) -> int:
    """Insert a person with a random name in a commit of its own; return the roster's version."""
    connection.execute(INSERT, {"name": uuid4().hex})
    return roster_version(connection)


def roster_version(connection: psycopg.Connection) -> int:
    """Return the version of the roster."""
    [version] = connection.execute("SELECT version FROM roster").fetchone() or (0,)
    return int(version)


class StatementLog:
    """Counts the statements that the program sends, in the log of its database server."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        for setting in "log_statement = 'all'", "log_line_prefix = '<%a>'":
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        self._read()
        self._seen = 0

    def count(self) -> int:
        """Return the number of statements since the last call, our own left out."""
        found = re.findall(r"^<(.*?)>LOG:  (?:statement|execute .*?):", self._read(), re.MULTILINE)
        others = [name for name in found if name != OURS]
        news, self._seen = len(others) - self._seen, len(others)
        return news

    def _read(self) -> str:
        """Return the log, which is complete once a statement of our own stands in it."""
        mark = uuid4().hex
        deadline = time.monotonic() + LOG_SECONDS
        while time.monotonic() < deadline:
            self._connection.execute(f"SELECT '{mark}'".encode())
            [text] = self._connection.execute("SELECT pg_read_file(pg_current_logfile())").fetchone() or ("",)
            if mark in text:
                return str(text)
            time.sleep(0.05)
        raise SystemExit("the database does not log its statements")


def section(title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a section of the results in Markdown: a title, what was done, and a table of figures."""
    return f"## {title}\n\n{text.strip()}\n\n{table(columns, rows)}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def milliseconds(seconds: Iterable[float]) -> str:
    """Return the median and the largest of some times, for a table."""
    times = sorted(seconds)
    return f"{1000 * median(times):.1f} ms (largest {1000 * times[-1]:.1f} ms)"
