"""Whether this process can do all of its work now."""

import asyncio
import time

import psycopg

from db import Database, pool_timeout
from queries.rate_limit_counters import consume
from services.live_list import LiveList

CACHE_SECONDS = 1.0  # so that nobody can keep the database busy with this
POOL_SECONDS = 2.0  # for a free connection


class Readiness:
    """Finds out what is wrong, at most once a second."""

    def __init__(self, database: Database, live_list: LiveList) -> None:
        self._database = database
        self._live_list = live_list
        self._lock = asyncio.Lock()
        self._problems: list[str] = []
        self._checked_at = float("-inf")

    async def find_problems(self) -> list[str]:
        """Return what is wrong, in a line each."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= CACHE_SECONDS:
                self._problems = await self._check()
                self._checked_at = time.monotonic()
            return self._problems

    async def _check(self) -> list[str]:
        problems = []
        try:
            with pool_timeout(POOL_SECONDS):
                await consume(self._database, "readyz", 1, 1)  # writes a row, whatever it counts
        except psycopg.errors.ReadOnlySqlTransaction:
            problems.append("the database can only be read")
        except psycopg.Error:
            problems.append("the database does not answer, or cannot be written to")
        if not self._live_list.is_live:
            problems.append("the list is not live")
        return problems
