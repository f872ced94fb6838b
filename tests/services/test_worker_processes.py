import asyncio
import signal
import socket
import subprocess
from contextlib import AsyncExitStack
from math import ceil
from pathlib import Path
from unittest.mock import Mock

import httpx
import psycopg
import pytest

from services.worker_processes import POLL_SECONDS, SILENCE_SECONDS, Worker
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


def ids(roster: Server) -> set[int]:
    return {process.pid for process in workers(roster)}


async def start(serve: StartServer, count: int, **settings: str) -> Server:
    """Start a Roster, and wait until its workers serve."""
    roster = serve(WORKERS=str(count), **settings)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        assert (await client.get("/healthz")).status_code == 200
    await wait_until(lambda: len(workers(roster)) == count)
    return roster


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
    assert "gave no sign of life" in roster.stderr()


def test_after_a_pause_of_the_whole_program_a_worker_is_not_taken_for_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("services.worker_processes.time.monotonic", lambda: now)
    process = Mock(spec=subprocess.Popen, poll=Mock(return_value=None))
    channel, theirs = socket.socketpair()
    channel.settimeout(0)
    with channel, theirs:
        worker = Worker(process, channel, 0)
        theirs.send(b".")
        assert worker.is_running()
        now += 10 * SILENCE_SECONDS
        assert worker.is_running()
        process.kill.assert_not_called()
        for _ in range(ceil(SILENCE_SECONDS / POLL_SECONDS)):
            now += POLL_SECONDS
            worker.is_running()
        assert process.kill.called


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


async def test_the_bound_of_viewers_holds_for_all_workers_together(
    serve: StartServer, database_url: str
) -> None:
    roster = await start(serve, 2, DATABASE_URL=database_url, MAX_VIEWERS="5")
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(viewing(roster.url))
        async with httpx.AsyncClient(base_url=roster.url, headers={"Connection": "close"}) as client:
            assert [(await client.get("/live")).status_code for _ in range(8)] == [503] * 8
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


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path, database_url: str) -> None:
    tuning = "import sys; '--worker' in sys.argv and sys.exit(3)"
    process = start_process(tmp_path, DATABASE_URL=database_url, WORKERS="2", tuning=tuning)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "Roster cannot start: a worker process does not start (exit status 3)\n"


async def test_a_rolling_restart_that_fails_leaves_the_old_workers(
    serve: StartServer, database_url: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    tuning = f"import pathlib, sys; pathlib.Path({str(broken)!r}).exists() and sys.exit(3)"
    roster = await start(serve, 2, DATABASE_URL=database_url, tuning=tuning)
    old = ids(roster)
    broken.touch()
    roster.process.send_signal(signal.SIGHUP)
    assert roster.process.stderr
    line = await asyncio.to_thread(roster.process.stderr.readline)
    assert "A new worker process does not start; the old ones go on" in line
    assert ids(roster) == old
    async with httpx.AsyncClient(base_url=roster.url) as client:
        assert (await register(client)).status_code == 303
    assert stored_usernames(database_url) == ["zoe"]
