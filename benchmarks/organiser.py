"""What an organiser does: how soon every page has it, and the way back in for somebody else."""

import asyncio
import time
from collections.abc import Callable

import httpx
import psycopg
import uvloop
from playwright.async_api import Browser, async_playwright

from benchmarks.crowd import Crowd, watching
from benchmarks.roster import StatementLog, connect, fresh_roster, milliseconds, roster_version, section
from tests.browser.helpers import FLAGS
from tests.helpers import HTMX, OTHER_PASSWORD, Server, add_users, become_organiser, insert_link
from tools.programs import find_browser

COUNTS = 1, 1000
TIMES = 10  # of each action
ACTIONS: dict[str, tuple[str, Callable[[int], dict[str, str]]]] = {
    "title": ("/organiser/page", lambda n: {"title": f"Title {n}", "description": ""}),
    "closing or opening": (
        "/organiser/registration",
        lambda n: {"open": ("off", "on")[n % 2], "capacity": ""},
    ),
    "capacity": ("/organiser/registration", lambda n: {"open": "on", "capacity": str(100 + n)}),
    "invitation": ("/organiser/invitation", lambda _: {"action": "new"}),
    "removing": ("/organiser/remove", lambda n: {"user_id": str(n + 1)}),
}
Figures = dict[str, tuple[list[float], float]]


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        figures = {count: uvloop.run(_measure(roster, count)) for count in COUNTS}
        ways_back = asyncio.run(_time_ways_back(roster))
    alone, crowded = (figures[count] for count in COUNTS)
    return section(
        "The organiser's actions",
        f"""
Each action {TIMES} times over HTTP, one when all pages have the one before: from the request until the last
of {COUNTS[1]:,} open pages has it, and the statements that it costs, those of the request included. The way
back in takes two browsers: from "Reset password…" in the organiser's, through the link, to the page that says
"Signed in" in the other.
""",
        (
            "what",
            f"until the last of {COUNTS[1]:,} pages has it",
            "statements, 1 page",
            f"{COUNTS[1]:,} pages",
        ),
        [
            *(
                (name, milliseconds(times), f"{alone[name][1]:.1f}", f"{statements:.1f}")
                for name, (times, statements) in crowded.items()
            ),
            ("the way back in", milliseconds(ways_back), "", ""),
        ],
    )


async def _measure(roster: Server, count: int) -> Figures:
    figures = {}
    with connect(roster) as connection:
        connection.execute("TRUNCATE users RESTART IDENTITY")
        add_users(connection, TIMES)
        statements = StatementLog(connection)
        async with httpx.AsyncClient(base_url=roster.url, headers=HTMX) as organiser:
            await become_organiser(organiser, connection)
            async with watching(roster.url, count) as crowd:
                for name, (path, build_form) in ACTIONS.items():
                    statements.count()
                    times = [
                        await _act(organiser, connection, crowd, path, build_form(n)) for n in range(TIMES)
                    ]
                    figures[name] = times, statements.count() / TIMES
    return figures


async def _act(
    organiser: httpx.AsyncClient,
    connection: psycopg.Connection,
    crowd: Crowd,
    path: str,
    form: dict[str, str],
) -> float:
    """Send a form; return the seconds until every page has what it changes."""
    started = time.perf_counter()
    (await organiser.post(path, data=form)).raise_for_status()
    return await crowd.reach(roster_version(connection)) - started


async def _time_ways_back(roster: Server) -> list[float]:
    with connect(roster) as connection:
        connection.execute("TRUNCATE users")
        connection.execute("UPDATE roster SET open = true, capacity = NULL, invitation = NULL, title = ''")
        add_users(connection, TIMES)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            times = [await _time_way_back(roster, connection, browser, n + 1) for n in range(TIMES)]
            await browser.close()
    return times


async def _time_way_back(
    roster: Server, connection: psycopg.Connection, browser: Browser, number: int
) -> float:
    organiser = await browser.new_page(base_url=roster.url)
    other = await browser.new_page(base_url=roster.url)
    await organiser.goto(f"/organise/{insert_link(connection)}")
    await organiser.locator("main button").click()
    row = organiser.locator("#newest li").filter(has_text=f"user{number}").last
    await row.locator("summary").first.click()
    started = time.perf_counter()
    await row.locator("button").first.click()
    url = await organiser.locator(".reset-link a").get_attribute("href")
    await other.goto(url or "")
    await other.locator("#new-password").fill(f"{OTHER_PASSWORD}{number}")
    await other.locator("main form button:not([type])").click()
    await other.locator("#sign-out").wait_for()
    seconds = time.perf_counter() - started
    await organiser.context.close()
    await other.context.close()
    return seconds
