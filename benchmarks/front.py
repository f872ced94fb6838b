"""The front page of one process beside bare Hypercorn and nginx."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

import httpx

from benchmarks import limits, wrk
from benchmarks.bare_asgi import EMPTY
from benchmarks.roster import add_demo_people, fresh_roster, section
from benchmarks.wrk import BuildRequests

ROUNDS = 5
SECONDS = 2
CONNECTIONS = 32
PEOPLE = 1000  # so that the page is a full one
TARGET = "at least 0.80"


def measure() -> str:
    """Return the section of the results."""
    with ExitStack() as stack:
        roster = stack.enter_context(fresh_roster())
        add_demo_people(roster, PEOPLE)
        page = httpx.get(roster.url, headers={"Accept-Encoding": ""})
        hypercorn = stack.enter_context(limits.bare_asgi(page))
        nginx = stack.enter_context(limits.nginx(page))
        pages = {
            "front page": [partial(wrk.get, url) for url in (roster.url, hypercorn, nginx)],
            "front page, 304": [
                partial(wrk.revalidate, roster.url),
                partial(wrk.get, hypercorn + EMPTY),
                partial(wrk.revalidate, nginx),
            ],
        }
        figures = {what: _measure(builders) for what, builders in pages.items()}
    return section(
        "The front page beside bare Hypercorn and nginx",
        f"""
wrk, {CONNECTIONS} connections, on the same cores, nothing compressed; medians of {ROUNDS} rounds of
{SECONDS} s, in turn. One process each. Bare Hypercorn is an ASGI function that answers with the same
{len(page.content) / 1000:.1f} KB and as many headers, or with 304 and no body; nginx has the page as a file.
""",
        ("requests a second", "Roster", "bare Hypercorn", "nginx", "Roster / bare Hypercorn", "target"),
        [
            (what, *(f"{rate:,.0f}" for rate in rates), f"{rates[0] / rates[1]:.2f}", TARGET)
            for what, rates in figures.items()
        ],
    )


def _measure(builders: Sequence[BuildRequests]) -> list[float]:
    """Return the median rate of each."""
    results = wrk.compare(builders, ROUNDS, SECONDS, CONNECTIONS)
    return [median(result.rate for result in each) for each in results]
