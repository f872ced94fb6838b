"""The processes that serve, where there are several.

They accept connections on one listener, which they inherit. Each is a new Python process, so that it
shares nothing else with its parent, and a rolling restart runs the newest code.
"""

import asyncio
import logging
import secrets
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from services.address_counter import COUNTS_PER_PROCESS, AddressCounter, create_counts, map_counts

POLL_SECONDS = 0.05
START_SECONDS = 60.0  # for a worker to serve
SILENCE_SECONDS = 20.0  # without a sign of life, after which a worker is killed
STOP_SECONDS = 4.5  # for a worker to end, before it is killed
SHORT_LIFE_SECONDS = 10.0  # a worker that lived less doubles the pause before the next one
REPLACE_SECONDS = 0.1  # the shortest pause
MAX_REPLACE_SECONDS = 30.0
RESTART_SECONDS = 30.0  # for responses in progress, at a rolling restart
SIGN_OF_LIFE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class WorkerError(Exception):
    """A worker cannot start; the text says so in one line."""


class WorkerArguments(NamedTuple):
    """What a worker inherits: files, and the slot of its counts."""

    listener: int
    channel: int
    counts_file: int
    slot: int
    key: int

    def format(self) -> str:
        """Return them as an argument of the command line."""
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> "WorkerArguments":
        """Return what `format` has written."""
        return cls(*map(int, text.split(",")))

    def streams(self) -> AddressCounter:
        """Return the counter of the streams of all workers."""
        return AddressCounter(map_counts(self.counts_file), self.slot, self.key)


class Worker:
    """A process that serves, seen from its parent."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, slot: int) -> None:
        self.slot: int | None = slot
        self.started_at = self._checked_at = time.monotonic()
        self.is_ready = False
        self._process = process
        self._channel = channel
        self._silent_seconds = 0.0

    def is_running(self) -> bool:
        """Return whether it runs.

        One that gives no sign of life is killed.
        """
        # A long pause between two checks is one of our own, and perhaps of the worker, too: a
        # container may be paused, for example.
        now = time.monotonic()
        self._silent_seconds += min(now - self._checked_at, SIGN_OF_LIFE_SECONDS)
        self._checked_at = now
        with suppress(OSError):  # nothing to read, or the channel of a replaced worker
            while self._channel.recv(4096):
                self.is_ready, self._silent_seconds = True, 0.0
        if self._silent_seconds > (SILENCE_SECONDS if self.is_ready else START_SECONDS):
            logger.error("A worker process gave no sign of life and is killed")
            self._process.kill()
            self._silent_seconds = float("-inf")  # it may take a moment to end
        return self._process.poll() is None

    async def wait_until_ready(self) -> bool:
        """Wait until it serves; return False if it does not."""
        while self.is_running() and not self.is_ready:  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(POLL_SECONDS)
        return self.is_ready

    async def stop(self) -> None:
        """Ask it to end soon."""
        await self._end(signal.SIGTERM, STOP_SECONDS)

    async def finish(self) -> None:
        """Ask it to end after its responses in progress."""
        await self._end(signal.SIGHUP, RESTART_SECONDS + STOP_SECONDS)

    async def _end(self, number: int, seconds: float) -> None:
        self._process.send_signal(number)
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, and forget its channel."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.returncode


class WorkerProcesses:
    """Keeps workers running: one that ends is replaced."""

    def __init__(self, listener: socket.socket, count: int, environment: dict[str, str]) -> None:
        self._listener = listener
        self._environment = environment
        self._free_slots = list(range(count + 1))  # a rolling restart has one more for a moment
        self._counts_file = create_counts(len(self._free_slots) * COUNTS_PER_PROCESS)
        self._counts = map_counts(self._counts_file)
        self._key = secrets.randbits(64)
        self._count = count
        self._workers: list[Worker] = []
        self._restart_requested = asyncio.Event()

    async def run(self, wait_for_stop: Callable[[], Awaitable[None]], announce: Callable[[], None]) -> None:
        """Run them until `wait_for_stop` returns.

        `announce` is called once all of them serve.

        Raises WorkerError if one of the first ones does not start.
        """
        running, stopping = asyncio.ensure_future(self._run(announce)), asyncio.ensure_future(wait_for_stop())
        try:
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()  # raises what went wrong
        finally:
            running.cancel()
            stopping.cancel()
            await asyncio.wait([running, stopping])
            await asyncio.gather(*(worker.stop() for worker in self._workers))

    def request_restart(self) -> None:
        """Replace all workers, one by one, so that no request fails."""
        self._restart_requested.set()

    def _start(self) -> Worker:
        """Start a worker.

        Raises WorkerError if the system has no process for it, for example.
        """
        slot, counts_file = self._free_slots[0], self._counts_file
        channel = None
        try:
            channel, theirs = socket.socketpair()
            channel.settimeout(0)
            with theirs:
                files = self._listener.fileno(), theirs.fileno(), counts_file
                arguments = WorkerArguments(*files, slot, self._key)
                process = subprocess.Popen(
                    [sys.executable, *sys.orig_argv[1:], "--worker", arguments.format()],
                    env=self._environment,
                    pass_fds=files,
                    start_new_session=True,  # Ctrl-C in the terminal reaches us alone
                )
        except OSError as error:
            if channel:
                channel.close()
            raise WorkerError(f"a worker process cannot be started: {error}") from None
        self._free_slots.remove(slot)
        return Worker(process, channel, slot)

    def _forget(self, worker: Worker) -> None:
        worker.kill()
        if worker.slot is not None:
            start = worker.slot * COUNTS_PER_PROCESS
            # Its viewers are gone.
            self._counts[start : start + COUNTS_PER_PROCESS] = array("i", [0] * COUNTS_PER_PROCESS)
            self._free_slots.append(worker.slot)
            worker.slot = None

    async def _run(self, announce: Callable[[], None]) -> None:
        for _ in range(self._count):
            self._workers.append(self._start())
        for worker in self._workers:
            is_ready = await worker.wait_until_ready()
            if not is_ready and (worker.status or 0) > 0:  # else it was killed
                raise WorkerError(f"a worker process does not start (exit status {worker.status})")
        announce()
        async with asyncio.TaskGroup() as tasks:
            for place in range(self._count):
                tasks.create_task(self._keep(place))
            tasks.create_task(self._restart_when_requested())

    async def _keep(self, place: int) -> None:
        """Replace the worker of a place whenever it ends."""
        pause = REPLACE_SECONDS
        while True:
            worker = self._workers[place]
            while worker.is_running():  # noqa: ASYNC110 (there is no event for it)
                await asyncio.sleep(POLL_SECONDS)
            if worker is not self._workers[place]:  # a rolling restart has replaced it
                continue
            is_short = time.monotonic() - worker.started_at < SHORT_LIFE_SECONDS
            pause = min(2 * pause, MAX_REPLACE_SECONDS) if is_short else REPLACE_SECONDS
            logger.error("A worker process ended with status %s; another one starts", worker.status)
            self._forget(worker)
            await asyncio.sleep(pause)
            while worker is self._workers[place]:
                try:
                    self._workers[place] = self._start()
                except WorkerError as error:
                    logger.error("%s", error)  # noqa: TRY400 (the line says all)
                    await asyncio.sleep(MAX_REPLACE_SECONDS)

    async def _restart_when_requested(self) -> None:
        while True:
            await self._restart_requested.wait()
            self._restart_requested.clear()
            for place in range(self._count):
                if not await self._replace(place):
                    logger.error("A new worker process does not start; the old ones go on")
                    break

    async def _replace(self, place: int) -> bool:
        """Replace the worker of a place once a new one serves."""
        try:
            new = self._start()
        except WorkerError as error:
            logger.error("%s", error)  # noqa: TRY400 (the line says all)
            return False
        try:
            is_ready = await new.wait_until_ready()
        except asyncio.CancelledError:
            new.kill()
            raise
        if not is_ready:
            self._forget(new)
            return False
        old, self._workers[place] = self._workers[place], new
        try:
            await old.finish()
        except asyncio.CancelledError:
            self._workers.append(old)  # it is stopped with the others
            raise
        self._forget(old)
        return True


async def report_to_parent(channel: socket.socket, stop: Callable[[], object]) -> None:
    """Give signs of life, in a worker that serves.

    When its parent has ended, stop it, too.
    """
    channel.settimeout(0)
    while True:
        try:
            channel.send(b".")
        except BlockingIOError:
            pass  # the parent is slow
        except OSError:
            stop()
        await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
