"""What further processes cost the database: inserts a second while they listen for changes."""

import psycopg

from benchmarks.limits import bare_inserts
from benchmarks.roster import fresh_roster, section

COUNTS = 0, 10, 60
SECONDS = 3
CONNECTIONS = 16


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        bare_inserts(roster.database, 1, CONNECTIONS)
        rates = {count: _measure(roster.database, count) for count in COUNTS}
    return section(
        "Inserts while many processes listen",
        f"""
pgbench, {CONNECTIONS} connections, {SECONDS} s, with the statement of a registration without hashing, beside
one process of Roster. Each further process is a connection that has said LISTEN, as each worker has one.
PostgreSQL wakes it at every commit.
""",
        ("further processes", "inserts a second"),
        [(str(count), f"{rate:,.0f}") for count, rate in rates.items()],
    )


def _measure(database: str, listeners: int) -> float:
    connections = [psycopg.connect(database, autocommit=True) for _ in range(listeners)]
    try:
        for connection in connections:
            connection.execute("LISTEN roster")
        return bare_inserts(database, SECONDS, CONNECTIONS)
    finally:
        for connection in connections:
            connection.close()
