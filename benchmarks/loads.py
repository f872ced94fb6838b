"""Roster beside its peers and the limits, under the loads of wrk."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import httpx

from benchmarks import limits, wrk
from benchmarks.bare_asgi import EMPTY
from benchmarks.chart import format_figure, write_chart
from benchmarks.peers import PEERS, create_tables, running_peer
from benchmarks.roster import add_demo_people, fresh_roster, section
from benchmarks.wrk import Requests, Result
from queries.user_list import PAGE_SIZE
from tests.helpers import HTMX

ROUNDS = 3
SECONDS = 1
WORKERS = os.cpu_count() or 1
CONNECTIONS = (1, 32, 256)
PEOPLE = 3000
DEEP = 10  # pages
HASHES_A_SECOND = 40  # at least: a run goes on until each connection has had an answer
ROSTER = "Roster"
NGINX = "nginx, a file"
SEARCH = "?q=m"
FOLDER = Path(__file__).parent

LOADS = {  # with the name of the chart of some
    "front page": "front_page.svg",
    "front page, 304": "",
    "search, the list alone": "",
    "search, whole page": "",
    f"{DEEP} pages deep, the list alone": "",
    f"{DEEP} pages deep, whole page": "",
    "registering": "registrations.svg",
    "signing in": "",
    "front page, signed in": "",
    "mix": "",
}
HASHING = {"registering", "signing in"}

Builders = Mapping[str, Callable[[], Requests]]  # by load


@dataclass(frozen=True)
class Target:
    """A running server, and the loads that it can take."""

    name: str
    builders: Builders


def measure() -> str:
    """Return the section of the results, and draw the charts."""
    with _running_targets() as targets:
        results = {
            (load, connections): _measure(load, connections, targets)
            for load in LOADS
            for connections in CONNECTIONS
        }
    for load, chart in LOADS.items():
        if chart:
            _draw(load, chart, results)
    return section(
        "Roster beside its peers",
        f"""
wrk on the same cores, nothing compressed. All servers run at the same time, with {WORKERS} processes each
(the lesson's program has one) and {PEOPLE:,} people on one PostgreSQL. Answers a second and the 99th
percentile of their times: medians of {ROUNDS} rounds of {SECONDS} s (longer where many wait for a hash), in
which each server has its turn, after one round to warm up; in brackets, the least and the most of the rounds.
Peers neither search nor have older pages, so there they show the same list as always; the list alone is what
HTMX asks for. Bare Hypercorn and
nginx send the bytes of Roster's page. The mix is about 90 visits, 9 searches and 1 registration.
With 1 connection, each registration waits for the list, which Roster reads ten times a second at most.
""",
        ("load", "connections", "server", "answers a second", "99 %"),
        [
            (load, str(connections), name, _rates(each), f"{1000 * median(r.p99 for r in each):,.1f} ms")
            for (load, connections), by_name in results.items()
            for name, each in by_name.items()
        ],
    )


def _measure(load: str, connections: int, targets: Sequence[Target]) -> dict[str, list[Result]]:
    """Return the results of each target that can take the load."""
    builders = {target.name: target.builders[load] for target in targets if load in target.builders}
    seconds = SECONDS
    if load in HASHING:
        seconds = max(SECONDS, math.ceil(connections / HASHES_A_SECOND))
    results = wrk.compare(list(builders.values()), ROUNDS, seconds, connections)
    return dict(zip(builders, results, strict=True))


@contextmanager
def _running_targets() -> Iterator[list[Target]]:
    with ExitStack() as stack:
        roster = stack.enter_context(fresh_roster(WORKERS=str(WORKERS)))
        add_demo_people(roster, PEOPLE)
        create_tables(roster.database, PEOPLE)
        targets = [Target(ROSTER, _roster_builders(roster.url))]
        for peer in PEERS:
            url = stack.enter_context(running_peer(peer, roster.database, WORKERS))
            targets.append(Target(peer.name, _peer_builders(url, has_accounts=peer.has_accounts)))
        page = httpx.get(roster.url, headers={"Accept-Encoding": ""})
        hypercorn = stack.enter_context(limits.bare_asgi(page, WORKERS))
        nginx = stack.enter_context(limits.nginx(page, WORKERS))
        pages = [partial(wrk.get, hypercorn), partial(wrk.get, hypercorn + EMPTY)]
        files = [partial(wrk.get, nginx), partial(wrk.revalidate, nginx)]
        names = "front page", "front page, 304"
        targets.append(Target("bare Hypercorn", dict(zip(names, pages, strict=True))))
        targets.append(Target(NGINX, dict(zip(names, files, strict=True))))
        yield targets


def _roster_builders(url: str) -> Builders:
    deep = _deep_query(url)
    return _peer_builders(url, has_accounts=True) | {
        "front page, 304": partial(wrk.revalidate, url),
        "search, the list alone": partial(wrk.get, url + "/users" + SEARCH, HTMX),
        "search, whole page": partial(wrk.get, _full_page(url + "/" + SEARCH)),
        f"{DEEP} pages deep, the list alone": partial(wrk.get, url + "/users" + deep, HTMX),
        f"{DEEP} pages deep, whole page": partial(wrk.get, _full_page(url + "/" + deep)),
    }


def _peer_builders(url: str, *, has_accounts: bool) -> dict[str, Callable[[], Requests]]:
    visit = partial(wrk.get, url)
    builders: dict[str, Callable[[], Requests]] = {
        "front page": visit,
        "search, whole page": visit,
        f"{DEEP} pages deep, whole page": visit,
    }
    if has_accounts:
        visit_list = partial(wrk.get, url + "/users")
        builders |= {
            "search, the list alone": visit_list,
            f"{DEEP} pages deep, the list alone": visit_list,
            "registering": partial(wrk.register, url),
            "signing in": partial(wrk.sign_in, url),
            "front page, signed in": partial(wrk.get_signed_in, url),
            "mix": partial(wrk.mix, url, "/" + SEARCH),
        }
    return builders


def _deep_query(url: str) -> str:
    """Return the query of a page far down, found as a reader would, by the links to older people."""
    query = ""
    for _ in range(DEEP):
        [query] = re.findall(r'hx-get="/users(\?before=[^"]*)"', httpx.get(f"{url}/{query}").text)
    return query


def _full_page(url: str) -> str:
    """Return the URL of a page, which must hold as many people as a page can."""
    if httpx.get(url).text.count("<li ") != PAGE_SIZE:
        raise SystemExit(f"{url} does not hold {PAGE_SIZE} people")
    return url


def _rates(results: Sequence[Result]) -> str:
    """Return the median, the least and the most of the rates."""
    rates = [result.rate for result in results]
    middle, least, most = map(format_figure, (median(rates), min(rates), max(rates)))
    return f"{middle} ({least} to {most})"


def _draw(load: str, chart: str, results: Mapping[tuple[str, int], Mapping[str, Sequence[Result]]]) -> None:
    groups = {
        f"{connections} connections" if connections > 1 else "1 connection": {
            name: median(result.rate for result in each)
            for name, each in results[load, connections].items()
            if name != NGINX  # its bar would make all others short
        }
        for connections in CONNECTIONS
    }
    write_chart(FOLDER / chart, f"{load.capitalize()}: answers a second", groups, ROSTER)
