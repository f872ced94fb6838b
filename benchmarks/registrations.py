"""Registrations a second beside bare Argon2id hashing, in one run; writes RESULTS.md.

Starts the program as an operator would, registers over HTTP with some connections at once, then
hashes as many passwords in as many threads as the program has, with the same parameters.
"""

import asyncio
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from argon2 import PasswordHasher

ROOT = Path(__file__).parent.parent
COUNT = 1000
CONNECTIONS = 16
PASSWORD = "violet-otter-lamp-39"  # noqa: S105


def bare_hashing() -> float:
    """Return the hashes a second of Argon2id alone."""
    hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        started = time.perf_counter()
        list(threads.map(hasher.hash, [PASSWORD] * COUNT))
    return COUNT / (time.perf_counter() - started)


async def registering(url: str) -> float:
    """Return the registrations a second over HTTP."""
    names = iter(range(COUNT))

    async def register(client: httpx.AsyncClient) -> None:
        for number in names:
            form = {"username": f"user{number}", "password": PASSWORD}
            answer = await client.post(f"{url}/register", data=form)
            if answer.status_code != httpx.codes.SEE_OTHER:
                message = f"registering answered {answer.status_code}"
                raise SystemExit(message)

    async with httpx.AsyncClient(timeout=60) as client:
        started = time.perf_counter()
        await asyncio.gather(*(register(client) for _ in range(CONNECTIONS)))
    return COUNT / (time.perf_counter() - started)


def main() -> None:
    """Measure both, print and write the result."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, ROOT / "serve.py"],
            env=os.environ | {"BIND": "127.0.0.1:0", "DATA_DIR": f"{folder}/data"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            found = re.match("Roster: (.*)", process.stdout.readline() if process.stdout else "")
            if not found:
                message = "Roster did not start"
                raise SystemExit(message)
            program = asyncio.run(registering(found[1]))
        finally:
            process.terminate()
            process.wait()
        bare = bare_hashing()
    text = f"""# Benchmark results

Written by `make bench` on {platform.python_implementation()} {platform.python_version()}, \
{os.cpu_count()} cores. Machines differ: compare only within one run.

## Registrations beside bare hashing

{COUNT} each; Argon2id with 19 MiB, 2 passes, 1 lane; {CONNECTIONS} connections over HTTP;
embedded PostgreSQL; the load generator shares the cores.

| what | a second |
| --- | --- |
| registrations, whole program | {program:.1f} |
| bare Argon2id in {os.cpu_count()} threads | {bare:.1f} |
| ratio | {program / bare:.2f} |
"""
    (ROOT / "benchmarks" / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
