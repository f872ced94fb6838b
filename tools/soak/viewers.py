"""The viewers: open pages that come, follow the list and go.

A few of them, the watchers, note each name that they are shown. They come and go too: else all of
them would soon be with the oldest worker.
"""

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from benchmarks.crowd import Viewer

WATCHERS = 10
STAY_SECONDS = 120.0  # the longest visit of a viewer
ARRIVAL_SECONDS = 20.0  # in which all of them come at the beginning
CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 2.0  # the longest pause before a page connects again

_random = secrets.SystemRandom()


class Page(Viewer):
    """An open page; `seen` has the moment of each name that it was shown, None where nobody looks."""

    def __init__(self, crowd: "Crowd", seen: dict[str, float] | None) -> None:
        super().__init__()
        self._crowd = crowd
        self._seen = seen
        self._read = b""
        self.status = ""
        self.is_leaving = False
        self.is_lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take what has come, after the status line."""
        if not self.status:
            self.status = data[9:12].decode()
            self._crowd.statuses[f"status {self.status}"] += 1
            self._crowd.connected += self.status == "200"
        super().data_received(data)
        self.versions.clear()
        if self._seen is not None and self.event is not self._read:
            self._read = self.event
            for name in re.findall(rb"<bdi>(.*?)</bdi>", self.event):
                self._seen.setdefault(name.decode(), time.monotonic())

    def connection_lost(self, _: Exception | None) -> None:
        """Take the end, whoever it came from."""
        self._crowd.connected -= self.status == "200"
        self._crowd.statuses["cut"] += not self.is_leaving
        self.is_lost.set()


class Crowd:
    """All viewers: how many are connected now, what their requests were answered, what watchers saw."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._address = place.hostname or "", place.port or 0
        self._request = f"GET /live HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: text/event-stream\r\n\r\n"
        self.connected = 0
        self.statuses: Counter[str] = Counter()
        self.seen: list[dict[str, float]] = [{} for _ in range(WATCHERS)]

    @property
    def cut(self) -> int:
        """How many streams the server has ended so far."""
        return self.statuses["cut"]

    def seen_at(self, username: str) -> float | None:
        """Return when the last watcher was shown a name, None while one of them was not."""
        times = [seen.get(username) for seen in self.seen]
        return None if None in times else max(filter(None, times))

    @asynccontextmanager
    async def following(self, count: int) -> AsyncIterator[None]:
        """Let `count` viewers come and go while the block runs."""
        tasks = [asyncio.create_task(self._come_and_go(None)) for _ in range(count - WATCHERS)]
        tasks += [asyncio.create_task(self._come_and_go(seen)) for seen in self.seen]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _come_and_go(self, seen: dict[str, float] | None) -> None:
        await asyncio.sleep(_random.uniform(0, ARRIVAL_SECONDS))
        while True:
            await self._visit(seen)
            await asyncio.sleep(_random.uniform(0, RECONNECT_SECONDS))

    async def _visit(self, seen: dict[str, float] | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, page = await loop.create_connection(lambda: Page(self, seen), *self._address)
        except OSError:  # a timeout is one, too
            self.statuses["not connected"] += 1
            return
        try:
            transport.write(self._request.encode())
            with suppress(TimeoutError):
                async with asyncio.timeout(_random.uniform(0, STAY_SECONDS)):
                    await page.is_lost.wait()
        finally:
            page.is_leaving = True
            transport.close()
