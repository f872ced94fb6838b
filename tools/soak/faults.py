"""The faults: each is made in a block, and mended after it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.helpers import is_alive, postmaster, wait_until

OURS = "soak"  # application_name of the connections that are not the program's
CONNECT_SECONDS = 30.0  # for PostgreSQL to be there again
REPLACE_SECONDS = 50.0  # for a worker that hangs to be replaced: it is killed after 20 s of silence
FLOOD = 2000
FLOOD_AT_ONCE = 200
PROGRAM = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'soak'"


@dataclass(frozen=True)
class Target:
    """A running Roster with its embedded PostgreSQL."""

    process: Popen[str]
    url: str
    database: str
    folder: Path  # the DATA_DIR

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes, the oldest first."""
        workers = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "--worker" in child.cmdline():
                    workers.append(child)
        return sorted(workers, key=lambda worker: (worker.create_time(), worker.pid))

    def postgres(self) -> list[psutil.Process]:
        """Return the processes of PostgreSQL, the server first."""
        server = postmaster(self.folder)
        return [server, *server.children()]

    async def connect(self, seconds: float = CONNECT_SECONDS) -> psycopg.AsyncConnection:
        """Return a connection of our own, as psql would make it; wait for PostgreSQL."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(psycopg.OperationalError):
                    return await self.connect_at_once()
                await asyncio.sleep(0.1)

    async def connect_at_once(self) -> psycopg.AsyncConnection:
        """Return a connection of our own; raise OperationalError where PostgreSQL has none."""
        return await psycopg.AsyncConnection.connect(
            self.database,
            autocommit=True,
            application_name=OURS,
            options="-c default_transaction_read_only=off",
        )


@asynccontextmanager
async def kill_postgres(target: Target) -> AsyncIterator[None]:
    """Kill the server with SIGKILL, as the system may do for its memory."""
    target.postgres()[0].kill()
    yield


@asynccontextmanager
async def stop_postgres(target: Target) -> AsyncIterator[None]:
    """Stop all of PostgreSQL, as a disk or a network that hangs would do."""
    async with _stopped(target.postgres()):
        yield


@asynccontextmanager
async def terminate_backends(target: Target) -> AsyncIterator[None]:
    """End every connection of the program with pg_terminate_backend."""
    async with await target.connect() as psql:
        await psql.execute(f"SELECT pg_terminate_backend(pid) {PROGRAM}")
        yield


@asynccontextmanager
async def kill_backend(target: Target) -> AsyncIterator[None]:
    """Kill one backend with SIGKILL: the server then ends all others, and recovers."""
    async with await target.connect() as psql:
        found = await (await psql.execute(f"SELECT pid {PROGRAM} LIMIT 1")).fetchone()
        if not found:
            raise psycopg.OperationalError("the program has no connection")
        os.kill(found[0], signal.SIGKILL)
        yield


@asynccontextmanager
async def kill_worker(target: Target) -> AsyncIterator[None]:
    """Kill the youngest worker with SIGKILL; the oldest one lives on, to show how it grows."""
    target.workers()[-1].kill()
    yield


@asynccontextmanager
async def stop_worker(target: Target) -> AsyncIterator[None]:
    """Stop the youngest worker for a while."""
    async with _stopped(target.workers()[-1:]):
        yield


@asynccontextmanager
async def hang_worker(target: Target) -> AsyncIterator[None]:
    """Stop the youngest worker until it was killed and replaced."""
    worker = target.workers()[-1]
    async with _stopped([worker]):
        yield
        await wait_until(lambda: not worker.is_running() or not is_alive(worker), REPLACE_SECONDS)


@asynccontextmanager
async def restart_workers(target: Target) -> AsyncIterator[None]:
    """Ask for a rolling restart with SIGHUP."""
    target.process.send_signal(signal.SIGHUP)
    yield


@asynccontextmanager
async def lock_users(target: Target) -> AsyncIterator[None]:
    """Hold the strongest lock on the table of users."""
    async with await target.connect() as psql, psql.transaction():
        await psql.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def take_connections(target: Target) -> AsyncIterator[None]:
    """Take all connections that the server has, those of the program too."""
    taken = [await target.connect()]

    async def take_all() -> None:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(await target.connect_at_once())

    try:
        await take_all()
        await taken[0].execute(f"SELECT pg_terminate_backend(pid) {PROGRAM}")
        await take_all()
        yield
    finally:
        for connection in taken:
            await connection.close()


@asynccontextmanager
async def make_read_only(target: Target) -> AsyncIterator[None]:
    """Let the database only read, as a standby does."""
    async with await target.connect() as psql:
        try:
            await psql.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await psql.execute("SELECT pg_reload_conf()")
            yield
        finally:
            await psql.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await psql.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def flood(target: Target) -> AsyncIterator[None]:
    """Open and close 2,000 connections, half of them in the middle of a request."""
    place, loop = urlsplit(target.url), asyncio.get_running_loop()
    address = place.hostname or "", place.port or 0
    slots = asyncio.Semaphore(FLOOD_AT_ONCE)

    async def connect_and_close(number: int) -> None:
        async with slots:
            with suppress(OSError):
                transport, _ = await loop.create_connection(asyncio.Protocol, *address)
                if number % 2:
                    transport.write(b"POST /register HTTP/1.1\r\nHost: ")
                transport.close()

    flooding = asyncio.gather(*(connect_and_close(number) for number in range(FLOOD)))
    yield
    await flooding


@asynccontextmanager
async def _stopped(processes: list[psutil.Process]) -> AsyncIterator[None]:
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass(frozen=True)
class Fault:
    """A fault, and the seconds for which it lasts."""

    name: str
    make: Callable[[Target], AbstractAsyncContextManager[None]]
    seconds: float = 0


# Those that replace workers stand apart, so that the oldest worker lives for several minutes.
FAULTS = [
    Fault("kill -9 of PostgreSQL", kill_postgres),
    Fault("PostgreSQL stopped for 8 s", stop_postgres, 8),
    Fault("kill -9 of a worker", kill_worker),
    Fault("table locked for 6 s", lock_users, 6),
    Fault("pg_terminate_backend for all", terminate_backends),
    Fault("worker stopped for 6 s", stop_worker, 6),
    Fault("all connections taken for 6 s", take_connections, 6),
    Fault("SIGHUP: rolling restart", restart_workers),
    Fault("kill -9 of a backend", kill_backend),
    Fault("database only reads for 6 s", make_read_only, 6),
    Fault("worker hangs until replaced", hang_worker),
    Fault("flood of 2,000 connections", flood),
]
