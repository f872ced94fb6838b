"""Registrations and sign-ins beside bare Argon2id, and what they leave of the page.

In turn, wrk registers people, signs one in, and as many threads as the program has hash passwords with
the same parameters.
"""

import asyncio
import math
import os
import time
from collections.abc import Sequence
from statistics import median, quantiles
from urllib.parse import urlsplit

import uvloop

from benchmarks import limits, wrk
from benchmarks.roster import fresh_roster, section
from tests.helpers import Server

ROUNDS = 5
SECONDS = 3  # of a turn
CONNECTIONS = 16
VISITS_SECONDS = 15
VISITS_A_SECOND = 50
PAUSE = 0.5  # seconds, until wrk has begun
HEAD_END = b"\r\n\r\n"


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        registering, signing_in, bare = _measure_rates(roster)
        inserts = limits.bare_inserts(roster.database, SECONDS, CONNECTIONS)
        times = uvloop.run(_visit_while_hashing(roster))
    *_, p99 = quantiles(times, n=100, method="inclusive")
    return section(
        "Registrations and sign-ins beside bare hashing",
        f"""
wrk, {CONNECTIONS} connections, without HTMX; medians of {ROUNDS} rounds of {SECONDS} s, in turn. Argon2id
with 19 MiB, 2 passes, 1 lane; one process of Roster; embedded PostgreSQL; wrk shares the cores. The inserts
are those of pgbench with the statement of a registration. {len(times):,} visits at {VISITS_A_SECOND} a second
over one connection, each timed from when it is due, while registrations keep all cores hashing.
""",
        ("what", "figure", "target"),
        [
            ("registrations a second", f"{registering:.1f}", ""),
            ("sign-ins a second", f"{signing_in:.1f}", ""),
            (f"bare Argon2id in {os.cpu_count()} threads, hashes a second", f"{bare:.1f}", ""),
            ("inserts a second, without a program", f"{inserts:,.0f}", ""),
            ("registrations / bare Argon2id", f"{registering / bare:.2f}", "at least 0.92"),
            ("sign-ins / bare Argon2id", f"{signing_in / bare:.2f}", "at least 0.92"),
            ("`GET /` meanwhile, median", f"{1000 * median(times):.1f} ms", ""),
            ("`GET /` meanwhile, 99 %", f"{1000 * p99:.1f} ms", "at most 12 ms"),
        ],
    )


def _measure_rates(roster: Server) -> Sequence[float]:
    """Return the medians of registrations, sign-ins and bare hashes a second."""
    rates = [
        (_rate(wrk.register(roster.url)), _rate(wrk.sign_in(roster.url)), limits.bare_hashing(SECONDS))
        for _ in range(ROUNDS)
    ]
    return [median(each) for each in zip(*rates, strict=True)]


def _rate(requests: wrk.Requests) -> float:
    rate = wrk.run(requests, SECONDS, CONNECTIONS).rate
    wrk.settle()
    return rate


async def _visit_while_hashing(roster: Server) -> list[float]:
    """Return the seconds that visits take while people register."""
    seconds = math.ceil(VISITS_SECONDS + 2 * PAUSE)
    registering = asyncio.create_task(
        asyncio.to_thread(wrk.run, wrk.register(roster.url), seconds, CONNECTIONS)
    )
    await asyncio.sleep(PAUSE)
    times = await _visit(roster.url)
    await registering
    return times


async def _visit(url: str) -> list[float]:
    place = urlsplit(url)
    request = f"GET / HTTP/1.1\r\nHost: {place.netloc}\r\nAccept-Encoding: gzip, br\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    times = []
    started = time.perf_counter()
    for number in range(VISITS_SECONDS * VISITS_A_SECOND):
        due = started + number / VISITS_A_SECOND
        await asyncio.sleep(max(0, due - time.perf_counter()))
        writer.write(request)
        head = (await reader.readuntil(HEAD_END)).lower()
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(f"the page answered {head.split()[1].decode()}")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        times.append(time.perf_counter() - due)
    writer.close()
    return times
