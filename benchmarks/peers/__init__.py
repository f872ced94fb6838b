"""Peers of Roster: the same page and the same registration in other frameworks, each on a usual server.

This module starts them. It imports neither their frameworks nor our program, since each peer loads it too.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from psycopg.conninfo import make_conninfo

ROOT = Path(__file__).parent.parent.parent
DATABASE = "peers"  # a database of their own, beside Roster's on the same server
START_SECONDS = 30
STOP_SECONDS = 10

GUNICORN = (
    "gunicorn --worker-class gthread --workers {processes} --threads 8 --backlog 4096 --log-level warning"
)
UVICORN = "uvicorn --loop uvloop --http httptools --workers {processes} --backlog 4096 --log-level warning"
GRANIAN = "granian --interface asgi --loop uvloop --workers {processes} --backlog 4096 --log-level warning"


@dataclass(frozen=True)
class Peer:
    """A program to compare with, and the command that serves it.

    Without accounts it has only `/` and `/regist`.
    """

    name: str
    command: str  # a Python module and its arguments
    has_accounts: bool = True


PEERS = [
    Peer(
        "The lesson's Flask program",
        "flask --app benchmarks.peers.lesson run --port {port}",
        has_accounts=False,
    ),
    Peer("Flask on gunicorn", f"{GUNICORN} --bind 127.0.0.1:{{port}} benchmarks.peers.flask_app:app"),
    Peer("FastAPI on uvicorn", f"{UVICORN} --no-access-log --port {{port}} benchmarks.peers.fastapi_app:app"),
    Peer(
        "Litestar on granian", f"{GRANIAN} --no-access-log --port {{port}} benchmarks.peers.litestar_app:app"
    ),
    Peer(
        "Django on gunicorn",
        f"{GUNICORN} --bind 127.0.0.1:{{port}} --env DJANGO_SETTINGS_MODULE=benchmarks.peers.django_settings"
        " django.core.wsgi:get_wsgi_application()",
    ),
]


def create_tables(database_url: str, people: int) -> None:
    """Create the peers' database anew, each with the same made-up people.

    `database_url` may name any database of the server.
    """
    run_module(f"benchmarks.peers.tables {people}", database_url)


@contextmanager
def running_peer(peer: Peer, database_url: str, processes: int) -> Iterator[str]:
    """Run a peer on a free port, in as many processes; yield its URL.

    `database_url` may name any database of the server. The lesson's program has one process.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = peer.command.format(port=port, processes=processes)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=ROOT,
            env=_environment(database_url),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if not _answers(process, port):
                log.seek(0)
                raise SystemExit(f"{peer.name} does not start: {log.read()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def run_module(command: str, database_url: str) -> None:
    """Run a Python module with its arguments until it ends, on the peers' database."""
    subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, env=_environment(database_url), check=True
    )


def _environment(database_url: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": make_conninfo(database_url, dbname=DATABASE),
        "SECRET_KEY": secrets.token_hex(16),  # signs the cookies, for all processes
    }


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether the server answers 200, once it answers or has ended."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/")
            return connection.getresponse().status == HTTPStatus.OK
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):  # none is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
