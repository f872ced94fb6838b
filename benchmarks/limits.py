"""What nobody can beat on this machine: the server, the files, the hashing and the insert alone."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from argon2 import PasswordHasher

from queries.registration import INSERT_USER_AND_SESSION
from services.postgres_server import BINARIES
from tests.helpers import PASSWORD
from tools.benchmark_programs import find_program

START_SECONDS = 30.0
NGINX = """
user root;
daemon off;
worker_processes {processes};
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    index page.html;
    default_type text/html;
    charset utf-8;
  }}
}}
"""
NEW_PERSON = {
    "username": "concat('pgbench', :n::bigint)",
    "username_key": "concat('pgbench', :n::bigint)",
    "password_hash": "'benchmark'",
    "invitation": "''",
    "session": "sha256(concat('session', :n::bigint)::bytea)",
    "device": "sha256(concat('device', :n::bigint)::bytea)",
    "old_session": "''::bytea",
    "old_device": "''::bytea",
    "session_lifetime": "interval '30 days'",
    "device_lifetime": "interval '365 days'",
    "other_devices": "19",
}


@contextmanager
def bare_asgi(page: httpx.Response, processes: int = 1) -> Iterator[str]:
    """Run bare ASGI functions that answer with a page and its headers; yield their URL.

    At EMPTY they answer 304 with the same headers. Hypercorn adds the date.
    """
    headers = [(name, value) for name, value in page.headers.items() if name != "date"]
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listener,
    ):
        file = Path(folder) / "answer.json"
        file.write_text(json.dumps({"headers": headers, "body": page.text}))
        number = listener.fileno()
        command = [sys.executable, "-m", "benchmarks.bare_asgi", str(number), str(file)]
        started = [subprocess.Popen(command, pass_fds=[number]) for _ in range(processes)]
        with _ended(started):
            yield _wait(f"http://127.0.0.1:{listener.getsockname()[1]}")


@contextmanager
def nginx(page: httpx.Response, processes: int = 1) -> Iterator[str]:
    """Run nginx with a page as a file; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        (Path(folder) / "page.html").write_bytes(page.content)
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, port=port, processes=processes))
        command = [find_program("nginx"), "-e", "stderr", "-p", folder, "-c", str(configuration)]
        with _ended([subprocess.Popen(command)]):
            yield _wait(f"http://127.0.0.1:{port}")


def bare_hashing(seconds: float) -> float:
    """Return the hashes a second of Argon2id alone, on all cores."""
    hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    started = time.perf_counter()

    def hash_some(_: int) -> int:
        count = 0
        while time.perf_counter() - started < seconds:
            hasher.hash(PASSWORD)
            count += 1
        return count

    threads_count = os.cpu_count() or 1
    with ThreadPoolExecutor(threads_count) as threads:
        count = sum(threads.map(hash_some, range(threads_count)))
    return count / (time.perf_counter() - started)


def bare_inserts(database: str, seconds: int, connections: int) -> float:
    """Return the inserts a second of pgbench, with the program's statement for a registration."""
    statement = INSERT_USER_AND_SESSION
    for name, value in NEW_PERSON.items():
        statement = statement.replace(f"%({name})s", value)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(f"\\set n random(1, {10**18})\n{' '.join(statement.split())};\n")
        command = [
            *(str(BINARIES / "pgbench"), "--no-vacuum", f"--file={script}", "--protocol=prepared"),
            *(f"--client={connections}", f"--time={seconds}", database),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise SystemExit(f"pgbench: {done.stdout}{done.stderr}")
    return float(found[1])


def _wait(url: str) -> str:
    """Return the URL once it answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            httpx.get(url).raise_for_status()
            return url
        time.sleep(0.02)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def _ended(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End the processes afterwards."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(START_SECONDS)
