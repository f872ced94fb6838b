"""Two machines: a primary is killed under load, and its synchronous standby takes over."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import psycopg

from services.postgres_server import BINARIES, initdb, make_reachable, run_as, server_user
from tests.faults.helpers import Ledger
from tests.helpers import running, usernames, viewing, wait_until

PEOPLE = 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def postgres(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of its own on a port."""
    command = [str(BINARIES / "postgres"), "-D", str(folder), "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    process = subprocess.Popen(
        command, **run_as(server_user()), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def connect(port: int) -> psycopg.Connection:
    return psycopg.connect(f"host=127.0.0.1 port={port} user=postgres", autocommit=True)


def is_up(port: int) -> bool:
    try:
        connect(port).close()
    except psycopg.OperationalError:
        return False
    return True


@asynccontextmanager
async def primary_and_standby(tmp_path: Path) -> AsyncIterator[tuple[int, int, subprocess.Popen[bytes]]]:
    """Yield the ports of a primary and of its synchronous standby, and the primary's process."""
    first, second = free_port(), free_port()
    folders = tmp_path / "primary", tmp_path / "standby"
    for folder in folders:
        folder.mkdir(mode=0o700)
        make_reachable(folder, server_user())
    await initdb(folders[0], server_user())
    with postgres(folders[0], first) as primary:
        await wait_until(lambda: is_up(first))
        copy = [str(BINARIES / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(first), "-U", "postgres"]
        copy += ["-D", str(folders[1]), "-R", "-c", "fast"]
        options = run_as(server_user()) | {"cwd": "/", "check": True}
        await asyncio.to_thread(partial(subprocess.run, copy, **options))
        with postgres(folders[1], second), connect(first) as psql:
            psql.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            psql.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            await wait_until(lambda: psql.execute(synchronous).rowcount == 1)
            yield first, second, primary


async def test_a_standby_takes_over_and_nothing_that_was_confirmed_is_lost(tmp_path: Path) -> None:
    ledger, is_over = Ledger(), asyncio.Event()
    async with primary_and_standby(tmp_path) as (first, second, primary), AsyncExitStack() as stack:
        database_url = (
            f"host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres dbname=postgres"
            " target_session_attrs=read-write"
        )
        hosts = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            host = stack.enter_context(running(tmp_path / name, DATABASE_URL=database_url, WORKERS="2"))
            hosts.append(host)
        viewers = [await stack.enter_async_context(viewing(host.url)) for host in hosts for _ in range(2)]
        people = [
            asyncio.create_task(ledger.register_people(host.url, f"{name}{n}x", is_over))
            for host, name in zip(hosts, ("anna", "berta"), strict=True)
            for n in range(2)
        ]
        await wait_until(lambda: len(ledger.done) > PEOPLE)
        primary.kill()
        killed_at = time.monotonic()
        await wait_until(lambda: bool(ledger.not_done | ledger.unknown))  # the page says so by now
        psql = stack.enter_context(connect(second))
        psql.execute("SELECT pg_promote()")
        promoted_at = time.monotonic()
        await wait_until(lambda: ledger.last_done_at > promoted_at, 60)
        recovered_at, before = ledger.last_done_at, len(ledger.done)
        await wait_until(lambda: len(ledger.done) > before + PEOPLE, 60)
        is_over.set()
        await asyncio.gather(*people)
        async with httpx.AsyncClient(base_url=hosts[0].url, timeout=60) as client:
            await ledger.register(client, "zoe")
        for viewer in viewers:  # each goes on, on the same connection
            while not ((event := await viewer.next(60)) and "zoe" in event.names):
                pass
        stored = usernames(psql)
        assert [host.process.poll() for host in hosts] == [None, None]
    print(  # for whoever measures, with `pytest -s`
        f"promoted {promoted_at - killed_at:.1f} s after the kill; first confirmation"
        f" {recovered_at - promoted_at:.1f} s later; {len(ledger.done)} confirmed,"
        f" {len(ledger.not_done)} refused, {len(ledger.unknown)} unknown"
    )
    ledger.check(stored)
