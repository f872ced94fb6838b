import asyncio
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from math import ceil
from pathlib import Path
from unittest.mock import Mock

import httpx
import psutil
import psycopg
import pytest

from services.worker_processes import POLL_SECONDS, SILENCE_SECONDS, START_SECONDS, Worker
from tests.helpers import (
    FORM,
    Server,
    StartServer,
    add_users,
    is_alive,
    postmaster,
    register,
    start_process,
    stored_usernames,
    viewing,
    wait_until,
    workers,
)

STREAMS_PER_ADDRESS_5 = "import routes.event_stream; routes.event_stream.STREAMS_PER_ADDRESS = 5"


def ids(roster: Server) -> set[int]:
    return {process.pid for process in workers(roster)}


async def start(serve: StartServer, count: int, **settings: str) -> Server:
    """Start a Roster, and wait until its workers serve."""
    roster = serve(WORKERS=str(count), **settings)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        assert (await client.get("/healthz")).status_code == 200
    await wait_until(lambda: len(workers(roster)) == count)
    return roster


def listens(process: psutil.Process) -> bool:
    """Return whether the process still accepts connections."""
    return any(found.status == psutil.CONN_LISTEN for found in process.net_connections("tcp"))


async def wait_until_replaced(roster: Server, old: set[int]) -> None:
    """Wait until two workers run, and none of the old ones."""
    await wait_until(lambda: not old & ids(roster) and len(ids(roster)) == 2, 200)


async def request_all_the_time(url: str, is_over: asyncio.Event) -> list[int]:
    """Ask for pages and register, on new connections, until it is over; return the statuses."""
    statuses, number = [], 0
    async with httpx.AsyncClient(base_url=url, timeout=60, headers={"Connection": "close"}) as client:
        while not is_over.is_set():
            number += 1
            statuses.append((await client.get("/")).status_code)
            statuses.append((await client.get("/?q=x")).status_code)
            statuses.append((await register(client, f"user{number}x")).status_code)
    return statuses


async def test_workers_serve_one_list_and_stop_in_order(serve: StartServer, tmp_path: Path) -> None:
    roster = await start(serve, 3)
    assert len(workers(roster)) == 3
    server = postmaster(tmp_path / "data")
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(viewing(roster.url)) for _ in range(12)]
        async with httpx.AsyncClient(base_url=roster.url) as client:
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.post("/register", data=FORM)).status_code == 303
        for viewer in viewers:
            assert (await viewer.wait_for(1)).names == ["zoe"]
        serving = workers(roster)
        assert await asyncio.to_thread(roster.stop) == 0
        for viewer in viewers:
            with pytest.raises(EOFError):
                await viewer.next()
    assert roster.stderr() == ""
    assert not any(is_alive(process) for process in [*serving, server])


async def test_a_worker_that_dies_is_replaced_and_the_others_serve(
    serve: StartServer, database_url: str
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url)
    async with httpx.AsyncClient(base_url=roster.url, headers={"Connection": "close"}) as client:
        for number in range(2):
            [first, *_] = workers(roster)
            old = {first.pid}
            first.kill()
            await wait_until_replaced(roster, old)
            assert (await register(client, f"user{number}x")).status_code == 303
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr().count("A worker process ended with status -9") == 2


async def test_a_worker_that_hangs_is_replaced(serve: StartServer, database_url: str) -> None:
    tuning = "import services.worker_processes as w; w.SILENCE_SECONDS = 8"
    roster = await start(serve, 2, DATABASE_URL=database_url, tuning=tuning)
    [first, _] = workers(roster)
    first.suspend()
    await wait_until_replaced(roster, {first.pid})
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr().count("gave no sign of life") == 1


@pytest.mark.parametrize(("is_ready", "limit"), [(True, SILENCE_SECONDS), (False, START_SECONDS)])
def test_a_silent_worker_is_killed_once_and_not_for_a_pause_of_the_whole_program(
    monkeypatch: pytest.MonkeyPatch, *, is_ready: bool, limit: float
) -> None:
    now = 0.0
    monkeypatch.setattr("services.worker_processes.time.monotonic", lambda: now)
    process = Mock(spec=subprocess.Popen, poll=Mock(return_value=None))
    channel, theirs = socket.socketpair()
    channel.settimeout(0)
    with channel, theirs:
        worker = Worker(process, channel, 0)
        if is_ready:
            theirs.send(b".")
        assert worker.is_running()
        now += 10 * limit
        assert worker.is_running()
        process.kill.assert_not_called()
        for _ in range(2 * ceil(limit / POLL_SECONDS)):
            now += POLL_SECONDS
            worker.is_running()
        process.kill.assert_called_once_with()


async def test_sighup_replaces_every_worker_and_no_request_fails(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url)
    is_over = asyncio.Event()
    requesting = asyncio.create_task(request_all_the_time(roster.url, is_over))
    for _ in range(2):
        old = ids(roster)
        roster.process.send_signal(signal.SIGHUP)
        await wait_until_replaced(roster, old)
    is_over.set()
    assert set(await requesting) == {200, 303}
    async with viewing(roster.url) as viewer:
        add_users(psql, 1)
        event = await viewer.next()
        assert event
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr() == ""


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"MAX_VIEWERS": "5"}, 503),
        ({"RATE_LIMITS": "on", "tuning": STREAMS_PER_ADDRESS_5}, 429),
    ],
    ids=["viewers", "streams of one address"],
)
async def test_the_bounds_of_streams_hold_for_all_workers_together(
    serve: StartServer, database_url: str, settings: dict[str, str], status: int
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url, **settings)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(viewing(roster.url))
        async with httpx.AsyncClient(base_url=roster.url, headers={"Connection": "close"}) as client:
            assert [(await client.get("/live")).status_code for _ in range(8)] == [status] * 8
        for process in workers(roster):
            process.kill()
        await wait_until(lambda: len(workers(roster)) == 2)
    async with asyncio.timeout(60):
        while True:  # the places of the killed workers are free again
            try:
                async with AsyncExitStack() as stack:
                    for _ in range(5):
                        await stack.enter_async_context(viewing(roster.url))
                break
            except (AssertionError, httpx.TransportError):
                await asyncio.sleep(0.1)


async def test_while_no_process_can_be_started_the_others_serve(
    serve: StartServer, database_url: str, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    tuning = f"import sys; sys.executable = {str(python)!r}"
    tuning += "; import services.worker_processes; services.worker_processes.MAX_REPLACE_SECONDS = 0.2"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    roster = await start(serve, 2, DATABASE_URL=database_url, tuning=tuning)
    assert roster.process.stderr
    hidden = python.rename(tmp_path / "hidden")
    old = ids(roster)
    roster.process.send_signal(signal.SIGHUP)
    lines = [await asyncio.to_thread(roster.process.stderr.readline) for _ in range(2)]
    assert "a worker process cannot be started" in lines[0]
    assert "the old ones go on" in lines[1]
    assert ids(roster) == old
    [first, _] = workers(roster)
    first.kill()
    async with httpx.AsyncClient(base_url=roster.url, headers={"Connection": "close"}) as client:
        await wait_until(lambda: len(ids(roster)) == 1)
        assert (await register(client)).status_code == 303
    hidden.rename(python)
    await wait_until(lambda: len(ids(roster)) == 2)
    assert await asyncio.to_thread(roster.stop) == 0


async def test_a_stop_in_the_middle_of_a_rolling_restart_ends_every_worker(
    serve: StartServer, database_url: str
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url)
    old = workers(roster)
    port = int(roster.url.rpartition(":")[2])
    head = f"POST /register HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\nuser".encode()
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    for _, writer in clients:
        writer.write(head)  # a response in progress, for which the old worker would wait
    roster.process.send_signal(signal.SIGHUP)
    await wait_until(lambda: any(is_alive(process) and not listens(process) for process in old))
    assert await asyncio.to_thread(roster.stop) == 0
    assert not any(is_alive(process) for process in old)
    for _, writer in clients:
        writer.close()


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path, database_url: str) -> None:
    tuning = "import sys; '--worker' in sys.argv and sys.exit(3)"
    process = start_process(tmp_path, DATABASE_URL=database_url, WORKERS="2", tuning=tuning)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "Roster cannot start: a worker process does not start (exit status 3)\n"


async def test_a_rolling_restart_that_fails_leaves_the_old_workers(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url)
    old = ids(roster)
    psql.execute("DELETE FROM migrations WHERE name = '004_devices.sql'")  # as if the new code had one more
    roster.process.send_signal(signal.SIGHUP)
    assert roster.process.stderr
    lines = [await asyncio.to_thread(roster.process.stderr.readline) for _ in range(2)]
    assert "the schema lacks 004_devices.sql: run `python cli.py migrate`" in lines[0]
    assert "A new worker process does not start; the old ones go on" in lines[1]
    assert ids(roster) == old
    async with httpx.AsyncClient(base_url=roster.url) as client:
        assert (await register(client)).status_code == 303
    assert stored_usernames(database_url) == ["zoe"]
