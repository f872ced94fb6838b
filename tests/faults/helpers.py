"""What tests of faults share: people who register all the time, and what they were told."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.helpers import register, wait_until

NOTHING_IS_LOST = "Nothing is lost: please try again in a few seconds."
OUTCOME_UNKNOWN = "Roster cannot say whether this was done. Look before you try again."


@dataclass
class Ledger:
    """What people were told, kept outside the program."""

    done: set[str] = field(default_factory=set)
    not_done: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    last_done_at: float = 0

    async def register(self, client: httpx.AsyncClient, username: str) -> None:
        """Register somebody whom nobody else registers."""
        self.unanswered.add(username)
        response = await register(client, username)
        self.unanswered.remove(username)
        if response.status_code == 303:
            self.done.add(username)
            self.last_done_at = time.monotonic()
            return
        assert response.status_code == 503, response.text
        assert response.headers["Retry-After"]
        assert (NOTHING_IS_LOST in response.text) is not (OUTCOME_UNKNOWN in response.text)
        (self.unknown if OUTCOME_UNKNOWN in response.text else self.not_done).add(username)

    async def register_people(self, url: str, prefix: str, is_over: asyncio.Event) -> None:
        """Register one person after the other."""
        number = 0
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            while not is_over.is_set():
                number += 1
                await self.register(client, f"{prefix}{number}x")

    @asynccontextmanager
    async def people_registering(self, url: str, *, until_cut: bool = False) -> AsyncIterator[None]:
        """Let three people at a time register while the block runs; a false answer ends it.

        With `until_cut` they go on after it, until the server is gone.
        """
        is_over = asyncio.Event()

        async def register_people(prefix: str) -> None:
            try:
                await self.register_people(url, prefix, is_over)
            except httpx.TransportError:
                if not until_cut:
                    raise

        async with asyncio.TaskGroup() as people:
            for prefix in "anna", "berta", "carla":
                people.create_task(register_people(prefix))
            yield
            if not until_cut:
                is_over.set()

    async def wait_for_more(self, people: int = 6) -> None:
        """Wait until so many more people were told that they are registered."""
        before = len(self.done)
        await wait_until(lambda: len(self.done) >= before + people, 60)

    def check(self, stored: list[str]) -> None:
        """Compare with the database: nobody lost, nobody twice, and every sentence true."""
        assert len(set(stored)) == len(stored)
        assert self.done <= set(stored)
        assert set(stored) <= self.done | self.unknown | self.unanswered
