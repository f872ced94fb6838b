"""The live list: LISTEN, one snapshot per change, fan-out to every open page."""

import asyncio
import gzip
import hashlib
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import brotli
import psycopg

import db
from words import Language

REFRESH_SECONDS = 0.1  # between two refreshes, however many changes there are
REACH_SECONDS = 1.0  # for a registrant's own change to come by; then the database is asked
COMMENT_SECONDS = 15.0  # of silence, after which a comment keeps proxies from closing the stream
CHECK_SECONDS = 8.0  # without a change, after which the list is read anyway, since a dead peer says nothing
RECONNECT_SECONDS = 0.1, 5.0  # the first pause and the longest; each is twice the last, with jitter

COMMENT = b":\nevent: silence\n\n"  # with an event, since only that is seen by the page's script
Render = Callable[[db.Roster, datetime | None, Language], Awaitable[tuple[str, str]]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rendering:
    """The newest page of the list at one moment in one language, ready for every reader.

    `page` is the whole page, `changes` the fragment that brings an open page up to date.
    """

    event_id: str
    page: str
    changes: str

    @cached_property
    def event(self) -> bytes:
        """The Server-Sent Event (WHATWG HTML, 9.2) with the changes."""
        data = "".join(f"data: {line}\n" for line in self.changes.split("\n") if line)
        return f"id: {self.event_id}\n{data}\n".encode()

    @cached_property
    def etag(self) -> str:
        """What the page's bytes can be told by."""
        return hashlib.sha256(self.page.encode()).hexdigest()[:16]

    @cached_property
    def encoded(self) -> dict[str, bytes]:
        """The page's bytes by content coding, the best first."""
        page = self.page.encode()
        return {"br": brotli.compress(page, quality=5), "gzip": gzip.compress(page, 6), "identity": page}


class Snapshot:
    """The newest page of the list at one moment, or while the database is away, since `away_since`."""

    def __init__(self, roster: db.Roster, away_since: datetime | None, render: Render) -> None:
        self.roster = roster
        self.away_since = away_since
        self._render = render
        self._renderings: dict[Language, Rendering] = {}
        self._rendering = asyncio.Lock()

    @property
    def event_id(self) -> str:
        """The version; empty, which clears the reader's last id, when the list is not live."""
        return "" if self.away_since else str(self.roster.version)

    @property
    def languages(self) -> Collection[Language]:
        """The languages that somebody has asked for."""
        return self._renderings

    async def rendered(self, language: Language) -> Rendering:
        """Return the page in that language, rendered when it is first asked for."""
        if language not in self._renderings:
            async with self._rendering:
                if language not in self._renderings:
                    page, changes = await self._render(self.roster, self.away_since, language)
                    self._renderings[language] = Rendering(self.event_id, page, changes)
        return self._renderings[language]


class Live:
    """Follows the list in the database and tells every viewer of each change.

    `render` makes the page and the changes out of a roster, since when the database is away, and a
    language. `snapshot` is the newest one, read last at `read_at`; `is_fresh` says that no later
    change can have been missed.
    """

    def __init__(self, conninfo: str, render: Render) -> None:
        self._conninfo = db.with_timeout(conninfo)
        self._render = render
        self._changed = asyncio.Event()
        self._ended = False
        self.snapshot: Snapshot | None = None
        self.read_at = datetime.now(UTC)
        self.is_fresh = False
        self.viewers = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the list in the meantime. The first snapshot is waited for, though not for long."""
        following = asyncio.create_task(self._follow())
        with suppress(TimeoutError):
            async with asyncio.timeout(REACH_SECONDS):
                await self._changed.wait()
        try:
            yield
        finally:
            self.end()
            following.cancel()
            await asyncio.wait([following])

    def end(self) -> None:
        """End every viewer's stream."""
        self._ended = True
        self._wake()

    async def reach(self, version: int) -> Snapshot | None:
        """Return the snapshot as soon as it holds that version, None if that takes over a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REACH_SECONDS):
                while self.is_fresh and self.snapshot:
                    if self.snapshot.roster.version >= version:
                        return self.snapshot
                    await self._changed.wait()
        return None

    async def events(self, last_event_id: str, language: Language) -> AsyncGenerator[bytes, None]:
        """Yield the current snapshot unless the viewer has it, then each newer one, and comments.

        A slow viewer skips what it was too slow for: only the newest snapshot is ever waiting.
        """
        self.viewers += 1
        try:
            known = self.snapshot and last_event_id and self.snapshot.event_id == last_event_id
            sent = self.snapshot if known else None
            yield COMMENT  # so that the viewer sees at once that it is connected
            while not self._ended:
                if self.snapshot and self.snapshot is not sent:
                    sent = self.snapshot
                    yield (await sent.rendered(language)).event
                    continue
                try:
                    async with asyncio.timeout(COMMENT_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    yield COMMENT
        finally:
            self.viewers -= 1

    async def _follow(self) -> None:
        pause, longest = RECONNECT_SECONDS
        while not self._ended:
            try:
                await self._follow_while_connected()
            except Exception as error:  # whatever it was, the list must come back
                if self.is_fresh and not self._ended:
                    pause, _ = RECONNECT_SECONDS
                    trace = not isinstance(error, psycopg.Error)
                    logger.warning("The list is not live: %s", " ".join(str(error).split()), exc_info=trace)
                if self.snapshot and (not self.is_fresh or isinstance(error, db.NoAnswerError)):
                    # not after the first failure of another kind, which may last but a moment
                    await self._publish(self.snapshot.roster, self.read_at)
            self.is_fresh = False
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (jitter)
            pause = min(2 * pause, longest)

    async def _follow_while_connected(self) -> None:
        """Read the newest page at once, at each change, and from time to time."""
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            with db.answer_expected(connection):
                await connection.execute("LISTEN roster")
            while True:
                with db.answer_expected(connection):
                    roster = await db.select_first_page(connection)
                self.read_at = datetime.now(UTC)
                await self._publish(roster, None)
                self.is_fresh = True
                await asyncio.sleep(REFRESH_SECONDS)
                async for _ in connection.notifies(timeout=CHECK_SECONDS, stop_after=1):
                    pass

    async def _publish(self, roster: db.Roster, away_since: datetime | None) -> None:
        old = self.snapshot
        if old and old.roster == roster and old.away_since == away_since:
            return
        new = Snapshot(roster, away_since, self._render)
        for language in [*old.languages] if old else [Language()]:
            await new.rendered(language)  # before all who speak it come for it at once
        self.snapshot = new
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
