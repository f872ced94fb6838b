"""Fixtures: a real PostgreSQL, databases in it, and the application."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from jinja2 import FileSystemBytecodeCache
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from quart import Quart

import db
from app import create_app
from db import Database
from services import embedded_postgres
from settings import Settings
from tests.helpers import ROOT, StartServer, http_client, new_database, register_and_leave, running


def memory_folder() -> str | None:
    """Return a folder in memory, where there is one with room, from which programs may run.

    A database has 300 files, which some disks are slow to create.
    """
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return None
    return str(memory) if shutil.disk_usage(memory).free > 2**31 else None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each run temporary files of its own, which also the user of PostgreSQL can reach.

    Runs that start later would close the folder that pytest shares between runs to that user.
    """
    if config.option.basetemp is None:
        folder = tempfile.TemporaryDirectory(
            prefix="roster-tests-", dir=memory_folder(), ignore_cleanup_errors=True
        )
        config.add_cleanup(folder.cleanup)
        config.option.basetemp = f"{folder.name}/run"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/engines unless it is named: only `make browsers` installs what it needs."""
    is_named = any("engines" in argument for argument in config.args)
    return True if collection_path == ROOT / "tests" / "engines" and not is_named else None


@pytest.fixture(scope="session", autouse=True)
def handle_signals() -> None:
    """Reset ignored signals: programs that a test starts would ignore them, too.

    A shell ignores Ctrl-C for what it runs in the background, and nohup the hang-up.
    """
    for number in signal.SIGINT, signal.SIGQUIT, signal.SIGHUP:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest_asyncio.fixture(scope="session")
async def server_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real PostgreSQL: TEST_DATABASE_URL, or an embedded one for this run."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    async with embedded_postgres.run(tmp_path_factory.mktemp("postgres") / "data") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the run
            connection.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    with new_database(server_url) as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def migrated_template(server_url: str) -> AsyncIterator[str]:
    """The name of a database with the schema, to copy."""
    with new_database(server_url) as url:
        await db.migrate(url)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def database_url(server_url: str, migrated_template: str) -> Iterator[str]:
    with new_database(server_url, migrated_template) as url:
        yield url


@pytest.fixture
def psql(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own, beside the program's, as an operator has with psql."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role_url(database_url: str, psql: psycopg.Connection) -> Iterator[str]:
    """The database under a new role that has the documented grants, and no others."""
    [may_create_roles] = psql.execute(
        "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if not may_create_roles[0]:
        pytest.skip("the user of TEST_DATABASE_URL may not create roles")
    role = f"roster_app_{uuid4().hex}"
    manual = (ROOT / "docs" / "operating.md").read_text()
    [statements] = re.findall(r"```sql\n(.*?)```", manual, re.DOTALL)
    psql.execute(statements.replace("roster_app", role))
    yield make_conninfo(database_url, user=role, password="choose-one")
    psql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=4)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """The templates, compiled once for the applications of all tests."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest_asyncio.fixture
async def app(database_url: str, compiled_templates: FileSystemBytecodeCache) -> AsyncIterator[Quart]:
    app = create_app(Settings(database_url=database_url, rate_limits=False))
    app.jinja_env.bytecode_cache = compiled_templates
    async with app.test_app():
        yield app


@pytest_asyncio.fixture
async def proxied_app(database_url: str, compiled_templates: FileSystemBytecodeCache) -> AsyncIterator[Quart]:
    """The application with rate limits, behind a proxy, whose headers it reads."""
    app = create_app(Settings(database_url=database_url, trusted_proxy_hops=1))
    app.jinja_env.bytecode_cache = compiled_templates
    async with app.test_app():
        yield app


@pytest.fixture
def live_app(database_url: str) -> Quart:
    """The application with its rate limits, which does not run yet."""
    return create_app(Settings(database_url=database_url))


@pytest.fixture
def client(app: Quart) -> httpx.AsyncClient:
    """A browser without HTMX."""
    return http_client(app)


@pytest_asyncio.fixture
async def visitor(app: Quart) -> httpx.AsyncClient:
    """A browser with HTMX, of somebody who has registered as Zoe and left."""
    visitor = http_client(app, htmx=True)
    await register_and_leave(visitor, "Zoe")
    return visitor


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[StartServer]:
    """Start `serve.py` as a process of its own on a free port; what still runs at the end is ended."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(tmp_path, **settings))
