"""Processes of Roster and of PostgreSQL are stopped (SIGSTOP), go on (SIGCONT), or are killed (kill -9)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg

from tests.faults.helpers import Ledger
from tests.helpers import (
    Server,
    StartServer,
    is_alive,
    names_in,
    postmaster,
    stored_usernames,
    viewing,
    wait_until,
    workers,
)

SHORT_DEADLINES = "import db; db.STATEMENT_SECONDS, db.RESPONSE_SECONDS = 0.5, 1"


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def send_request(roster: Server) -> socket.socket:
    """Ask for the page. The system takes the request also for a process that is stopped."""
    client = socket.create_connection(("127.0.0.1", int(roster.url.rpartition(":")[2])), 60)
    client.sendall(b"GET / HTTP/1.1\r\nHost: roster\r\nConnection: close\r\n\r\n")
    return client


def read_response(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


@asynccontextmanager
async def stopped_while_it_waits(psql: psycopg.Connection) -> AsyncIterator[None]:
    """Stop the backend that waits for psql's transaction, before its statement is cancelled."""
    async with asyncio.timeout(60):
        while True:
            await wait_until(lambda: bool(waiting_backends(psql)))
            for number in waiting_backends(psql):
                with stopped(psutil.Process(number)):
                    if number in waiting_backends(psql):
                        yield
                        return


def waiting_backends(psql: psycopg.Connection) -> list[int]:
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return [pid for (pid,) in psql.execute(waiting)]


def a_backend(psql: psycopg.Connection) -> psutil.Process:
    found = psql.execute(
        """
        SELECT pid FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND query NOT LIKE 'LISTEN%'
        """
    ).fetchone()
    assert found
    return psutil.Process(found[0])


async def test_workers_serve_while_their_parent_is_stopped_and_its_kill_loses_nobody(
    serve: StartServer, tmp_path: Path
) -> None:
    ledger, roster = Ledger(), serve(WORKERS="2")
    parent, serving, orphan = (
        psutil.Process(roster.process.pid),
        workers(roster),
        postmaster(tmp_path / "data"),
    )
    async with ledger.people_registering(roster.url, until_cut=True):
        with stopped(parent):
            await ledger.wait_for_more()
        with stopped(parent, *serving):
            waiting = send_request(roster)
        assert b" 200 " in await asyncio.to_thread(read_response, waiting)
        await ledger.wait_for_more()
        assert workers(roster) == serving
        parent.kill()
    await wait_until(lambda: not any(is_alive(process) for process in serving))
    assert is_alive(orphan)
    again = serve()
    assert not is_alive(orphan)
    ledger.check(stored_usernames(again.database))
    async with httpx.AsyncClient(base_url=again.url, timeout=60) as client:
        await ledger.register(client, "zoe")
    ledger.check(stored_usernames(again.database))
    assert "zoe" in ledger.done


async def test_a_stopped_serve_and_a_stopped_or_killed_backend_are_got_over(serve: StartServer) -> None:
    ledger, roster = Ledger(), serve(tuning=SHORT_DEADLINES)
    async with viewing(roster.url) as viewer, httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        async with ledger.people_registering(roster.url):
            await ledger.wait_for_more()
            with stopped(psutil.Process(roster.process.pid)):
                waiting = send_request(roster)
            assert b" 200 " in await asyncio.to_thread(read_response, waiting)
            await ledger.wait_for_more()
            with psycopg.connect(roster.database) as psql:
                psql.execute("SELECT FROM roster FOR UPDATE")
                async with stopped_while_it_waits(psql):
                    psql.rollback()
                    await wait_until(lambda: bool(ledger.unknown), 60)
                    await ledger.wait_for_more()
                    page = await client.get("/")
                    assert page.status_code == 200
                    assert ledger.done & set(names_in(page))
            await ledger.wait_for_more()
            with psycopg.connect(roster.database) as psql:
                backend = a_backend(psql)
            backend.kill()  # PostgreSQL ends all others then, too
            await ledger.wait_for_more()
        await wait_until(lambda: httpx.get(f"{roster.url}/readyz").status_code == 200)
        await ledger.register(client, "zoe")
        while not ((event := await viewer.next()) and "zoe" in event.names):
            pass
    ledger.check(stored_usernames(roster.database))
    assert await asyncio.to_thread(roster.stop) == 0
    assert "Traceback" not in roster.stderr()
