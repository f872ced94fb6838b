"""The signals that ask the process to stop.

A signal only sets an event, or cancels a task at an `await`. It interrupts nothing else.
"""

import asyncio
import atexit
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACEFUL_SECONDS = 2.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignal:
    """Waits for the first SIGINT, SIGTERM or SIGHUP.

    Create it in the running event loop. `graceful_seconds` is how long responses in progress may
    take after it.

    A handler that raises may do so on any line, for example between the start of a child process
    and the line that keeps it. This one only tells the event loop, which acts between two steps.
    """

    def __init__(self) -> None:
        self.graceful_seconds = GRACEFUL_SECONDS
        self._requested = asyncio.Event()
        self._cancellable: asyncio.Task[object] | None = None
        self._on_hangup: Callable[[], object] = self.request
        self._loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup asks for that
            signal.signal(number, self._handle)
        atexit.register(_ignore_stop_signals)

    def on_hangup(self, action: Callable[[], object]) -> None:
        """Let SIGHUP call `action` in the event loop from now on.

        It then no longer asks to stop, also under nohup.
        """
        self._on_hangup = action
        signal.signal(signal.SIGHUP, self._handle)

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._requested.wait()

    @contextmanager
    def cancels_task(self) -> Iterator[None]:
        """Let a signal cancel the current task at an `await`.

        That holds for the block, and for the first signal only.
        """
        if self._requested.is_set():
            raise asyncio.CancelledError
        self._cancellable = asyncio.current_task()
        try:
            yield
        finally:
            self._cancellable = None

    def _handle(self, number: int, _frame: object) -> None:
        if not self._loop.is_closed():
            action = self._on_hangup if number == signal.SIGHUP else self.request
            self._loop.call_soon_threadsafe(action)

    def request(self) -> None:
        """Ask to stop, as a signal does."""
        if self._cancellable and not self._requested.is_set():
            self._cancellable.cancel()
        self._requested.set()


def _ignore_stop_signals() -> None:
    """Ignore further signals while Python ends.

    Python restores the default handlers then.
    """
    # Blocked first: Python writes an error for a signal that comes while its handler is replaced.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
