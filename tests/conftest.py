import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import hypercorn.asyncio
import psycopg
import pytest
import pytest_asyncio
from hypercorn.config import Config
from jinja2 import FileSystemBytecodeCache
from psycopg.conninfo import conninfo_to_dict, make_conninfo
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
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the run
                connection.execute("SELECT pg_reload_conf()")
            yield url


@contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    name = f"roster_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE {template} STRATEGY file_copy")
        yield make_conninfo(server_url, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    with new_database(server_url) as url:
        yield url


@pytest.fixture(scope="session")
def migrated(server_url: str) -> Iterator[str]:
    """The name of a database to copy."""
    with new_database(server_url) as url:
        db.migrate(url)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def database_url(server_url: str, migrated: str) -> Iterator[str]:
    with new_database(server_url, migrated) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """What psql would be: a connection of one's own, beside the program's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with db.create_pool(database_url, 4) as pool:
        yield pool


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """The templates, compiled once for the applications of all tests."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest_asyncio.fixture
async def app(database_url: str, compiled: FileSystemBytecodeCache) -> AsyncIterator[Quart]:
    app = create_app(Settings(database_url=database_url, rate_limits=False))
    app.jinja_env.bytecode_cache = compiled
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
        yield lambda **settings: stack.enter_context(running(tmp_path, **settings))


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Running]:
    """Run `serve.py` as a process of its own, on a free port and with its data in `folder`."""
    process = start_process(folder, **settings)
    try:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        lines = dict(text.strip().split(": ", 1) for text in (line, process.stdout.readline()))
        yield Running(process, lines["Roster"], lines["Database"])
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def start_process(folder: Path, *, tuning: str = "", **settings: str) -> subprocess.Popen[str]:
    """Start `serve.py`; `tuning` is code that changes its constants first."""
    program = f"import live, serve, sys; {tuning}; sys.exit(serve.main())"
    defaults = {"BIND": "127.0.0.1:0", "DATA_DIR": str(folder / "data"), "RATE_LIMITS": "off"}
    return subprocess.Popen(
        [sys.executable, *(["-c", program] if tuning else [str(ROOT / "serve.py")])],
        cwd=ROOT if tuning else folder,
        env=os.environ | defaults | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition that another process brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Event:
    """A Server-Sent Event."""

    id: str
    data: str

    @property
    def names(self) -> list[str]:
        return re.findall("<bdi>(.*?)</bdi>", self.data)

    @property
    def size(self) -> int:
        [number] = re.findall('hx-target="#count"[^>]*>([0-9,]+)<', self.data)
        return int(number.replace(",", ""))


class Viewer:
    """An open page: follows `/live` of a running Roster."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, seconds: float = 10) -> Event | None:
        """Return the next event, None for a comment."""
        async with asyncio.timeout(seconds):
            found, data = None, []
            async for line in self._lines:
                if line == ":":
                    return None
                if not line and found is not None:
                    return Event(found, "\n".join(data))
                name, _, value = line.partition(": ")
                if name == "data":
                    data.append(value)
                elif name == "id":
                    found = value
        message = "the stream ended"
        raise EOFError(message)

    async def until(self, size: int) -> Event:
        """Return the first event with that number of people."""
        while not ((event := await self.next()) and event.size == size):
            pass
        return event


@asynccontextmanager
async def serving(app: Quart) -> AsyncIterator[str]:
    """Serve an application in this process over real connections; give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    stop = asyncio.Event()

    async def asked_to_stop() -> None:
        await stop.wait()
        app.extensions["live"].end()

    server = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=asked_to_stop))
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await server


@asynccontextmanager
async def viewing(url: str, last_event_id: str | None = None) -> AsyncIterator[Viewer]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with (
        httpx.AsyncClient(timeout=None) as client,  # noqa: S113 (a stream has no end)
        client.stream("GET", f"{url}/live", headers=headers) as response,
    ):
        assert response.status_code == 200
        viewer = Viewer(response.aiter_lines())
        assert await viewer.next() is None
        yield viewer


def terminate_others(database: psycopg.Connection) -> None:
    """End every other connection to the database, as a restart would."""
    database.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
    )
