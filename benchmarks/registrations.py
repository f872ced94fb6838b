"""Registrations a second beside bare Argon2id hashing, in one run.

In turn, registers over HTTP with some connections at once, and hashes as many passwords in as many
threads as the program has, with the same parameters.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from argon2 import PasswordHasher

from benchmarks.roster import fresh_roster, section
from tests.helpers import PASSWORD

TURNS = 5
COUNT = 200  # in a turn
CONNECTIONS = 16


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        times = [(asyncio.run(registering(roster.url, turn)), bare_hashing()) for turn in range(TURNS)]
    program, bare = (TURNS * COUNT / sum(each) for each in zip(*times, strict=True))
    return section(
        "Registrations beside bare hashing",
        f"""
{TURNS * COUNT:,} each, {COUNT} in turn; Argon2id with 19 MiB, 2 passes, 1 lane; {CONNECTIONS} connections
over HTTP; embedded PostgreSQL; the load generator shares the cores.
""",
        ("what", "a second"),
        [
            ("registrations, whole program", f"{program:.1f}"),
            (f"bare Argon2id in {os.cpu_count()} threads", f"{bare:.1f}"),
            ("ratio", f"{program / bare:.2f}"),
        ],
    )


async def registering(url: str, turn: int) -> float:
    """Return the seconds that the registrations of a turn take over HTTP."""
    names = iter(range(COUNT))

    async def register(client: httpx.AsyncClient) -> None:
        for number in names:
            form = {"username": f"user{turn}-{number}", "password": PASSWORD}
            answer = await client.post(f"{url}/register", data=form)
            if answer.status_code != httpx.codes.SEE_OTHER:
                raise SystemExit(f"registering answered {answer.status_code}")

    async with httpx.AsyncClient(timeout=60) as client:
        started = time.perf_counter()
        await asyncio.gather(*(register(client) for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


def bare_hashing() -> float:
    """Return the seconds that as many hashes of Argon2id alone take."""
    hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        started = time.perf_counter()
        list(threads.map(hasher.hash, [PASSWORD] * COUNT))
    return time.perf_counter() - started
