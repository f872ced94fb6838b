"""What tests share: constants, an HTTP client, HTML queries, people on the list, and running servers."""

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from bs4 import BeautifulSoup
from psycopg.conninfo import make_conninfo
from quart import Quart

from queries.roster import Roster
from queries.user_list import UserPage
from queries.users import User
from services import postgres_server
from services.live_list import Snapshot
from services.tokens import hash_token, new_token
from settings import Settings
from web.forms import FORM_TYPE
from web.http_server import HTTPServer
from web.request_context import get_services

ROOT = Path(__file__).parent.parent
PASSWORD = "violet-otter-lamp-39"
OTHER_PASSWORD = "amber-heron-kite-52"
FORM = {"username": "zoe", "password": PASSWORD}
HTMX = {"HX-Request": "true"}
# Neither the shell of whoever runs the tests nor a .env file changes them: an empty value counts as unset.
UNSET = dict.fromkeys((name.upper() for name in Settings.__dataclass_fields__), "")
FORM_HEADERS = {"Content-Type": FORM_TYPE}  # for a body that no browser would send


def http_client(app: Quart, *, htmx: bool = False, scheme: str = "http") -> httpx.AsyncClient:
    """Return a client of an application in this process, with a cookie jar of its own."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(cast("Any", app)),  # the same protocol, typed more strictly
        base_url=f"{scheme}://roster.test",
        headers=HTMX if htmx else {},
    )


def parse_html(response: httpx.Response | str) -> BeautifulSoup:
    """Return a page or a fragment, to be queried with `select` and `select_one`."""
    return BeautifulSoup(response if isinstance(response, str) else response.text, "html5lib")


def text_of(response: httpx.Response | str, selector: str) -> str:
    """Return the text of the one element, without spaces around it.

    In a fragment it may also be the `hx-partial` that replaces the element of that id.
    """
    soup = parse_html(response)
    [found] = soup.select(selector) or soup.select(f'hx-partial[hx-target="{selector}"]')
    return found.get_text().strip()


def names_in(response: httpx.Response | str) -> list[str]:
    """Return the user names on the list of a page or fragment, from its top."""
    return [name.get_text() for name in parse_html(response).select("li bdi")]


def account_message(response: httpx.Response | str) -> str:
    """Return what is said of the account: what was done, or by a field why it was not; "" for nothing."""
    found = parse_html(response).select(
        '#account-message, hx-partial[hx-target="#account-message"], #account-panel .error'
    )
    return " ".join(filter(None, (element.get_text().strip() for element in found)))


async def register(client: httpx.AsyncClient, username: str = "zoe") -> httpx.Response:
    return await client.post("/register", data={"username": username, "password": PASSWORD})


async def register_and_leave(client: httpx.AsyncClient, username: str = "zoe") -> None:
    """Register somebody; afterwards nobody is signed in, and the browser is not known."""
    await register(client, username)
    await client.post("/sign-out")
    client.cookies.clear()


async def become_organiser(client: httpx.AsyncClient, psql: psycopg.Connection) -> httpx.Response:
    """Make the client's browser an organiser's; return the answer to the link's button."""
    token = insert_link(psql)
    return await client.post(f"/organise/{token}", headers={"HX-Request": ""})


def insert_link(psql: psycopg.Connection, user_id: int | None = None, *, hours: int = 1) -> str:
    """Return the token of a new link, to become an organiser or to set a user's password."""
    token = new_token()
    psql.execute(
        "INSERT INTO one_time_links (token_hash, user_id, expires_at) VALUES (%s, %s, now() + %s)",
        [hash_token(token), user_id, timedelta(hours=hours)],
    )
    return token


async def sign_in(
    client: httpx.AsyncClient, username: str = "zoe", password: str = PASSWORD
) -> httpx.Response:
    return await client.post("/sign-in", data={"username": username, "password": password})


async def is_signed_in(client: httpx.AsyncClient) -> bool:
    page = await client.get("/", params={"q": ""}, headers={"HX-Request": ""})
    return bool(parse_html(page).select("#sign-out"))


@contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    name = f"roster_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE {template} STRATEGY file_copy")
        yield make_conninfo(server_url, dbname=name)
        # DROP would wait for 0.1 s for connections that are just ending.
        for _ in range(20):
            query = "SELECT FROM pg_stat_activity WHERE datname = %s"
            if not connection.execute(query, [name]).fetchone():
                break
            time.sleep(0.002)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def make_snapshot(version: int = 1, *names: str, away_since: datetime | None = None) -> Snapshot:
    now = datetime.now(UTC)
    users = [User(number, name, now) for number, name in enumerate(names, 1)]
    return Snapshot(UserPage(Roster(version, len(users)), users), not away_since, away_since)


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Let it be another time for what is written in a locale."""
    monkeypatch.setattr("web.i18n.datetime", SimpleNamespace(now=now.astimezone))


def add_users(psql: psycopg.Connection, count: int, prefix: str = "user") -> None:
    psql.execute(
        """
        INSERT INTO users (username, username_key, password_hash)
        SELECT name, name, 'no hash' FROM generate_series(1, %s) AS n, concat(%s::text, n) AS name
        ORDER BY n
        """,
        [count, prefix],
    )


def usernames(psql: psycopg.Connection) -> list[str]:
    """Return the names of all users, in the order in which they registered."""
    return [name for (name,) in psql.execute("SELECT username FROM users ORDER BY id")]


def stored_usernames(url: str) -> list[str]:
    with psycopg.connect(url) as psql:
        return usernames(psql)


def count_sessions(psql: psycopg.Connection) -> int:
    return psql.execute("SELECT FROM sessions").rowcount


def is_blocking(psql: psycopg.Connection) -> bool:
    """Return whether another connection waits for a lock that psql's transaction holds."""
    waiting = psql.execute(
        "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    )
    return bool(waiting.rowcount)


def terminate_others(psql: psycopg.Connection) -> None:
    """End every other connection to the database, as a restart would, and wait until they have ended."""
    psql.execute(
        """
        SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
    )


def waits_for_lock(psql: psycopg.Connection) -> bool:
    """Return whether a statement of another connection to the database waits for a lock."""
    psql.execute("SELECT pg_stat_clear_snapshot()")  # a transaction would see its first look again
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(psql.execute(waiting).rowcount)


async def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what another process or task brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def wait_for_list(client: httpx.AsyncClient, username: str) -> None:
    """Wait until the page shows somebody whom psql has inserted, for which it may take 0.1 s."""
    async with asyncio.timeout(30):
        while username not in names_in(await client.get("/")):
            await asyncio.sleep(0.02)


@dataclass
class Server:
    """A `serve.py` process that serves, and what it printed."""

    process: subprocess.Popen[str]
    url: str
    database: str

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def stderr(self) -> str:
        """Return what it has written, once it has ended."""
        assert self.process.stderr
        return self.process.stderr.read()


StartServer = Callable[..., Server]


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Server]:
    """Run `serve.py` as a process of its own, on a free port and with its data in `folder`."""
    process = start_process(folder, **settings)
    try:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        lines = dict(text.strip().split(": ", 1) for text in (line, process.stdout.readline()))
        yield Server(process, lines["Roster"], lines["Database"])
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def start_process(folder: Path, *, tuning: str = "", **settings: str) -> subprocess.Popen[str]:
    """Start `serve.py`; `tuning` is code that changes its constants first."""
    program = f"import serve; {tuning}; serve.main()"
    defaults = {"BIND": "127.0.0.1:0", "DATA_DIR": str(folder / "data"), "RATE_LIMITS": "off"}
    return subprocess.Popen(
        [sys.executable, *(["-c", program] if tuning else [str(ROOT / "serve.py")])],
        cwd=ROOT if tuning else folder,
        env=os.environ | UNSET | defaults | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def make_certificate(folder: Path, name: str = "roster", bits: int = 2048) -> dict[str, str]:
    """Make a certificate and its key with openssl; return the settings that name them."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return {"TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key)}


def run_cli(
    folder: Path, *arguments: str, answer: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `cli.py`; `answer` is what it reads where it asks."""
    return subprocess.run(
        [sys.executable, ROOT / "cli.py", *arguments],
        cwd=folder,
        env=os.environ | UNSET | {"DATA_DIR": str(folder / "data")} | settings,
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def replace_binaries(folder: Path, **scripts: str) -> Path:
    """Return a folder in which shell scripts stand for binaries of the embedded PostgreSQL.

    The scripts run in `folder`, may write there, and reach the real binary as "$real".
    """
    folder.mkdir()
    folder.chmod(0o777)
    for name in ("initdb", "postgres"):
        script = folder / name
        real = postgres_server.BINARIES / name
        text = scripts.get(name, 'exec "$real" "$@"')
        script.write_text(
            f"#!/bin/sh\nreal={shlex.quote(str(real))}\ncd {shlex.quote(str(folder))}\n{text}\n"
        )
        script.chmod(0o755)
    return folder


def use_binaries(folder: Path) -> str:
    """Return the tuning with which a `serve.py` process takes binaries from there."""
    name = "services.postgres_server"
    return f"import pathlib, {name}; {name}.BINARIES = pathlib.Path({str(folder)!r})"


def postmaster(folder: Path) -> psutil.Process:
    """Return the embedded PostgreSQL whose data is in `folder`."""
    return psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))


def is_alive(process: psutil.Process) -> bool:
    """Return whether it runs; where nobody reaps orphans an ended one stays as a zombie."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return what runs in a folder or has it on its command line: all of PostgreSQL on that data."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            arguments = process.cmdline()
            if any(str(folder) in each for each in arguments) or Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return [process for process in found if is_alive(process)]


def workers(roster: Server) -> list[psutil.Process]:
    """Return the processes that serve."""
    found = []
    for process in psutil.Process(roster.process.pid).children():
        with suppress(psutil.Error):  # it may end at any moment
            if is_alive(process) and "--worker" in process.cmdline():
                found.append(process)
    return found


@asynccontextmanager
async def serving(app: Quart) -> AsyncIterator[str]:
    """Serve an application in this process over real connections; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    port = listener.getsockname()[1]
    stop = asyncio.Event()

    async def wait_for_stop() -> float:
        await stop.wait()
        get_services(app).live_list.close()
        return 2

    server = asyncio.create_task(HTTPServer(app, listener).serve(wait_for_stop))
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await server


async def exchange(port: int, *parts: bytes) -> bytes:
    """Send the parts one after the other; return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(30):
        received = await reader.read()
    writer.close()
    return received


@dataclass(frozen=True)
class Event:
    """A Server-Sent Event."""

    id: str
    data: str

    @property
    def names(self) -> list[str]:
        return names_in(self.data)

    @property
    def total(self) -> int:
        return int(text_of(self.data, "#count").replace(",", ""))


class Viewer:
    """An open page: follows `/live` of a running Roster."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, seconds: float = 30) -> Event | None:
        """Return the next event, None for a comment."""
        async with asyncio.timeout(seconds):
            event_id, data = None, []
            async for line in self._lines:
                if line == ":":
                    return None
                if not line and event_id is not None:
                    return Event(event_id, "\n".join(data))
                name, _, value = line.partition(": ")
                if name == "data":
                    data.append(value)
                elif name == "id":
                    event_id = value
        message = "the stream ended"
        raise EOFError(message)

    async def next_event(self) -> Event:
        """Return the next event, whatever comments come before."""
        while (event := await self.next()) is None:
            pass
        return event

    async def wait_for(self, total: int) -> Event:
        """Return the first event with that number of people."""
        while (event := await self.next_event()).total != total:
            pass
        return event


@asynccontextmanager
async def viewing(
    url: str, last_event_id: str | None = None, organiser: httpx.AsyncClient | None = None
) -> AsyncIterator[Viewer]:
    """Follow the list, as the page of that organiser if there is one."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    cookies, path = (organiser.cookies, "/live?organiser=1") if organiser else (None, "/live")
    async with (
        httpx.AsyncClient(timeout=None, cookies=cookies) as client,  # noqa: S113 (a stream has no end)
        client.stream("GET", f"{url}{path}", headers=headers) as response,
    ):
        assert response.status_code == 200
        viewer = Viewer(response.aiter_lines())
        assert await viewer.next() is None
        yield viewer
