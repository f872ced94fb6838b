"""1,000,000 people beside 1,000: a long list must not make anything slower."""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from statistics import median
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from benchmarks.roster import INSERT, add_demo_people, connect, fresh_roster, section
from queries.user_list import PAGE_SIZE
from tests.helpers import Server

SMALL, LARGE = 1000, 1_000_000
DEEP = 5000  # pages
ROUNDS = 300
WARM_UP = 20  # rounds before
PREFIX = "namesake"  # some people in both lists are called so, that the search finds a full page in both
HTMX = {"HX-Request": "true"}

Act = Callable[[], object]


def measure() -> str:
    """Return the section of the results."""
    with ExitStack() as stack:
        lists = []
        for people in SMALL, LARGE:
            roster = stack.enter_context(fresh_roster())
            filling = add_demo_people(roster, people)  # in the end that of the larger
            lists.append(_acts(roster, stack.enter_context(connect(roster)), people))
        rows = [_row(what, lists[0][what], lists[1][what]) for what in lists[0]]
    rate = (f"`cli.py demo {LARGE}`, people a second", "", f"{LARGE / filling:,.0f}", "", "at least 100,000")
    return section(
        f"{LARGE:,} people beside {SMALL:,}",
        f"""
Two Rosters side by side, filled with `cli.py demo`, vacuumed, after a checkpoint; medians of {ROUNDS} turns,
taken alternately. Pages are asked for over HTTP and hold {PAGE_SIZE} people each; the shorter list ends
{SMALL // PAGE_SIZE} pages deep, so there it is that one. The insert is the SQL statement with its trigger and
commit: a registration without hashing.
""",
        ("what", f"{SMALL:,} people", f"{LARGE:,} people", "ratio", "target"),
        [*rows, rate],
    )


def _acts(roster: Server, connection: psycopg.Connection, people: int) -> dict[str, Act]:
    """Return what is measured on a list of so many people."""
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, [{"name": f"{PREFIX}{n}"} for n in range(PAGE_SIZE + 1)])
    connection.execute("VACUUM ANALYZE users")
    connection.execute("CHECKPOINT")
    client = HTTPConnection(urlsplit(roster.url).netloc)

    def read(path: str, headers: dict[str, str]) -> bytes:
        client.request("GET", path, headers=headers)
        return client.getresponse().read()

    def get(path: str, headers: dict[str, str]) -> Act:
        def act() -> bytes:
            return read(path, headers)

        if act().count(b"<li ") != PAGE_SIZE:
            raise SystemExit(f"{path} does not hold {PAGE_SIZE} people")
        return act

    deep = "/users"
    for _ in range(min(DEEP, people // PAGE_SIZE)):  # as a reader would, by the links to older people
        [deep] = re.findall(r'hx-get="(/users\?before=[^"]*)"', read(deep, HTMX).decode())
    return {
        "`GET /`": get("/", {}),
        "a search": get(f"/users?q={PREFIX}", HTMX),
        f"the page {DEEP:,} pages deep": get(deep, HTMX),
        "an insert": lambda: connection.execute(INSERT, {"name": uuid4().hex}),
    }


def _row(what: str, small: Act, large: Act) -> tuple[str, ...]:
    """Measure both in turn; return the row of the table."""
    times = [(_seconds(small), _seconds(large)) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    one, other = (median(each) for each in zip(*times, strict=True))
    return what, f"{1000 * one:.2f} ms", f"{1000 * other:.2f} ms", f"{other / one:.2f}", "at most 1.5"


def _seconds(act: Act) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
