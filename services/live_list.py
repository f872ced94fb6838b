"""The live list: a snapshot of each change, and its viewers."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from db import Connection, Database, ResponseTimeoutError, pool_timeout, with_connect_timeout
from queries.user_list import UserPage, select_user_page
from services.address_counter import AddressCounter

REFRESH_SECONDS = 0.1  # between two reads of the list, however many changes there are
WAIT_SECONDS = 1.0  # for the snapshot of a certain version
CHECK_SECONDS = 8.0  # without a change, after which one is asked for: a dead peer is silent
NOTIFICATION_SECONDS = 2.0  # in which a notification arrives
FALLBACK_SECONDS = 1.0  # for a pooled connection, after the listener's has failed
RECONNECT_SECONDS = 0.1  # the first pause; each further one is twice as long, with jitter
MAX_RECONNECT_SECONDS = 1.0  # people register again at once, and look at the list
ABORT_SECONDS = 0.1  # for an aborted query to end

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The newest page of the list at one moment.

    `is_live` says whether changes arrive at once; a break of a moment is not shown. `away_since` is
    when the database was last reached, None while it is there.
    """

    user_page: UserPage
    is_live: bool = True
    away_since: datetime | None = None

    @property
    def version(self) -> int:
        """The version of the list."""
        return self.user_page.roster.version

    @property
    def event_id(self) -> str:
        """The version, with what else the page says of the list."""
        if self.away_since:
            return f"{self.version}-away-since-{self.away_since.timestamp():.0f}"
        return f"{self.version}{'' if self.is_live else '-not-live'}"


class TooManyViewersError(Exception):
    """No further viewer is allowed."""


class NoNotificationError(Exception):
    """The database accepts LISTEN, but no notification arrives."""


class LiveList:
    """Keeps the newest snapshot, and wakes the viewers.

    `snapshot` is None until the list was read for the first time; `read_at` is when it was last
    read. `is_live` is true while notifications of changes arrive. `streams` counts the viewers.
    """

    def __init__(self, database: Database, conninfo: str, streams: AddressCounter | None = None) -> None:
        self._database = database
        self._conninfo = conninfo
        self._changed = asyncio.Event()
        self._closed = False
        self._is_loss_logged = False
        self.snapshot: Snapshot | None = None
        self.read_at = datetime.now(UTC)
        self.is_live = False
        self.streams = streams or AddressCounter()

    @property
    def live_snapshot(self) -> Snapshot | None:
        """The snapshot, None while changes may be missing in it."""
        return self.snapshot if self.is_live else None

    @property
    def viewers(self) -> int:
        """How many streams there are."""
        return self.streams.total

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen while the block runs.

        The block starts with the first snapshot, or without one after 1 s.
        """
        listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._changed.wait()
        try:
            yield
        finally:
            self.close()
            # A cancelled query asks the server to cancel it, too, which may be gone. So it is aborted.
            self._database.abort_pending()
            await asyncio.wait([listening], timeout=ABORT_SECONDS)
            listening.cancel()
            await asyncio.wait([listening])

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._wake()

    async def wait_for(self, version: int) -> Snapshot | None:
        """Return a snapshot of that version or a later one.

        If there is none within 1 s, return None.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while self.is_live and self.snapshot:
                    if self.snapshot.version >= version:
                        return self.snapshot
                    await self._changed.wait()
        return None

    async def next_snapshot(self, sent: Snapshot | None) -> Snapshot | None:
        """Return the newest snapshot as soon as it is not `sent`.

        A slow viewer misses snapshots: only the newest one ever waits. Once the list is closed,
        return None.
        """
        while not self._closed:
            if self.snapshot and self.snapshot is not sent:
                return self.snapshot
            await self._changed.wait()
        return None

    async def _listen(self) -> None:
        pause = RECONNECT_SECONDS
        while not self._closed:
            try:
                await self._listen_while_connected()
            except Exception as error:  # whatever it was, the list must come back
                if self.is_live:
                    pause = RECONNECT_SECONDS
                if not self._is_loss_logged and not self._closed:
                    self._is_loss_logged = True
                    is_bug = not isinstance(error, psycopg.Error | NoNotificationError)
                    logger.warning("The list is not live: %s", " ".join(str(error).split()), exc_info=is_bug)
                if isinstance(error, ResponseTimeoutError):
                    self._publish_away()
                elif not self.is_live or isinstance(error, NoNotificationError):
                    await self._publish_not_live()
                # Nothing after the first failure of another kind, which may last but a moment.
            self.is_live = self._database.can_prepare = False
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (jitter)
            pause = min(2 * pause, MAX_RECONNECT_SECONDS)

    async def _listen_while_connected(self) -> None:
        """Read the page at once, at changes, and now and then."""
        async with await Connection.connect(
            with_connect_timeout(self._conninfo), autocommit=True
        ) as connection:
            async with self._database.response_deadline(connection):
                await connection.execute("LISTEN roster")
            await self._check_notifications(connection)
            self._database.can_prepare = self._conninfo == self._database.conninfo
            while True:
                async with self._database.response_deadline(connection):
                    user_page = await select_user_page(connection)
                self.read_at = datetime.now(UTC)
                self._publish(Snapshot(user_page))
                self.is_live = True
                if self._is_loss_logged:
                    self._is_loss_logged = False
                    logger.warning("The list is live again")
                await asyncio.sleep(REFRESH_SECONDS)
                if not await _is_notified(connection, CHECK_SECONDS):
                    await self._check_notifications(connection)

    async def _check_notifications(self, connection: Connection) -> None:
        """Raise NoNotificationError unless one of ours arrives.

        None arrives where a pooler took the LISTEN, where LISTEN_DATABASE_URL names another database,
        and where the network lost the connection without a word. All other listeners of the database
        are notified, too; they need no check of their own then.
        """
        # Not an earlier one, which a pooler may have passed on beside the response to LISTEN.
        await _is_notified(connection, 0)
        await self._database.run(_notify)
        if not await _is_notified(connection, NOTIFICATION_SECONDS):
            raise NoNotificationError(
                "no notification arrives. LISTEN_DATABASE_URL must name the same database as"
                " DATABASE_URL, and lead to it without PgBouncer"
            )

    async def _publish_not_live(self) -> None:
        """Publish the list as it is, or else the last one."""
        try:
            # On the pool: the listener alone may be refused, or lead to another database.
            with pool_timeout(FALLBACK_SECONDS):
                user_page = await select_user_page(self._database)
        except psycopg.Error:
            self._publish_away()
        else:
            self.read_at = datetime.now(UTC)
            self._publish(Snapshot(user_page, is_live=False))

    def _publish_away(self) -> None:
        if self.snapshot:
            self._publish(Snapshot(self.snapshot.user_page, is_live=False, away_since=self.read_at))

    def _publish(self, new: Snapshot) -> None:
        old = self.snapshot
        if old and (old.user_page, old.event_id) == (new.user_page, new.event_id):
            return
        self.snapshot = new
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _notify(connection: Connection) -> None:
    await connection.execute("NOTIFY roster")


async def _is_notified(connection: Connection, seconds: float) -> bool:
    """Return whether a notification comes in that time."""
    return bool([notification async for notification in connection.notifies(timeout=seconds, stop_after=1)])
