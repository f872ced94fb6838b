"""A crowd of viewers: open pages that follow `/live`, each on a connection of its own.

They run in this process and parse no more than they must, since they share the cores with the program.
"""

import asyncio
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from tests.helpers import wait_until

FILES = 200  # open files that are not viewers
PATIENCE = 60.0  # seconds for all viewers to have something
ID = re.compile(rb"^id: ([0-9]+)(?::[0-9]+)?$", re.MULTILINE)  # nchan's has a second number
ID_WITHIN = 64  # bytes: it comes first in an event, and a chunk's length (RFC 9112, 7.1) before it


class Viewer(asyncio.Protocol):
    """One open page: when its stream began, the versions it was sent, and the last event."""

    def __init__(self) -> None:
        self._unread = b""
        self.connected_at = 0.0
        self.received_at = 0.0
        self.versions: list[int] = []
        self.event = b""

    def data_received(self, data: bytes) -> None:
        """Take what has come: the head and a comment, then whole events."""
        now = time.perf_counter()
        *blocks, self._unread = (self._unread + data).split(b"\n\n")
        if blocks and not self.connected_at:
            self.connected_at = now
        for block in blocks:
            if found := ID.search(block, 0, ID_WITHIN):
                self.versions.append(int(found[1]))
                self.event, self.received_at = block, now


@dataclass(frozen=True)
class Crowd:
    """All the viewers, and the moment at which they began to connect (`time.perf_counter`)."""

    viewers: list[Viewer]
    started_at: float

    async def reach(self, version: int) -> float:
        """Wait until every viewer has that version or a later one; return when the last one got it."""
        await wait_until(
            lambda: all(v.versions and v.versions[-1] >= version for v in self.viewers), PATIENCE
        )
        return max(viewer.received_at for viewer in self.viewers)

    async def receive(self, count: int) -> float:
        """Wait until every viewer was sent so many events; return when the last one got them."""
        await wait_until(lambda: all(len(viewer.versions) >= count for viewer in self.viewers), PATIENCE)
        return max(viewer.received_at for viewer in self.viewers)

    @property
    def connected_at(self) -> float:
        """The moment at which the last viewer had its first bytes."""
        return max(viewer.connected_at for viewer in self.viewers)


@asynccontextmanager
async def watching(url: str, count: int) -> AsyncIterator[Crowd]:
    """Give `count` viewers that have opened the page at `url`, all at the same time, and follow it."""
    async with httpx.AsyncClient() as client:
        page = (await client.get(url)).text
    [path] = re.findall('hx-sse:connect="(.*?)"', page)
    async with following(url, path, count) as crowd:
        yield crowd


@asynccontextmanager
async def following(url: str, path: str, count: int) -> AsyncIterator[Crowd]:
    """Give `count` viewers that follow an event stream, all at the same time."""
    allow_files(count + FILES)
    place = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()
    loop = asyncio.get_running_loop()

    async def connect() -> tuple[asyncio.Transport, Viewer]:
        transport, viewer = await loop.create_connection(Viewer, place.hostname or "", place.port or 0)
        transport.write(request)
        return transport, viewer

    started_at = time.perf_counter()
    connections = await asyncio.gather(*(connect() for _ in range(count)))
    crowd = Crowd([viewer for _, viewer in connections], started_at)
    try:
        await wait_until(lambda: all(viewer.connected_at for viewer in crowd.viewers), PATIENCE)
        yield crowd
    finally:
        for transport, _ in connections:
            transport.close()


def allow_files(count: int) -> None:
    """Raise the limit of open files as far as needed; end with a line that says so where that is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise SystemExit(f"{count} files must be open here, and {hard} may: raise the limit (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
