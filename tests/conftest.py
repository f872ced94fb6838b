import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg.conninfo import make_conninfo
from quart import Quart
from quart.testing import QuartClient

import db
import embedded
from app import create_app
from settings import Settings

ROOT = Path(__file__).parent.parent
PASSWORD = "violet-otter-lamp-39"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL: TEST_DATABASE_URL, or an embedded one for this run."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
    else:
        with embedded.running(tmp_path_factory.mktemp("postgres") / "data") as url:
            yield url


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    name = f"roster_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0")
        yield make_conninfo(server_url, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    db.migrate(empty_database_url)
    return empty_database_url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """What psql would be: a connection of one's own, beside the program's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with db.create_pool(database_url, 4) as pool:
        yield pool


@pytest_asyncio.fixture
async def app(database_url: str) -> AsyncIterator[Quart]:
    app = create_app(Settings(), database_url)
    async with app.test_app():
        yield app


@pytest.fixture
def client(app: Quart) -> QuartClient:
    return QuartClient(app)


def add_users(database: psycopg.Connection, count: int, prefix: str = "user") -> None:
    database.execute(
        """
        INSERT INTO users (username, username_key, password_hash)
        SELECT name, name, 'no hash' FROM generate_series(1, %s) AS n, concat(%s::text, n) AS name
        ORDER BY n
        """,
        [count, prefix],
    )


@dataclass
class Running:
    """A `serve.py` process that serves, and what it printed."""

    process: subprocess.Popen[str]
    url: str
    database: str

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(5)


Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start `serve.py` as a process of its own on a free port; what still runs at the end is ended."""
    with contextlib.ExitStack() as stack:

        def start(**settings: str) -> Running:
            process = start_process(tmp_path, **settings)
            stack.callback(_end, process)
            assert process.stdout
            assert process.stderr
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines = dict(text.strip().split(": ", 1) for text in (line, process.stdout.readline()))
            return Running(process, lines["Roster"], lines["Database"])

        yield start


def start_process(folder: Path, **settings: str) -> subprocess.Popen[str]:
    defaults = {"BIND": "127.0.0.1:0", "DATA_DIR": str(folder / "data")}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "serve.py")],
        cwd=folder,
        env=os.environ | defaults | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    process.communicate()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition that another process brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
