"""From a registration on one process to a page of another one, in a real Chromium."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
from playwright.sync_api import Page, sync_playwright

from benchmarks.roster import connect, fresh_roster, milliseconds, section
from tests.browser.helpers import FLAGS
from tests.helpers import PASSWORD
from tools.programs import find_browser

COUNT = 20
PAUSE = 0.3  # seconds, longer than the program's own pause between two refreshes

# The page's clock and Python's time.time() are both the system's.
WATCH = """() => {
    seenAt = {};
    const look = () => {
        const now = performance.timeOrigin + performance.now();
        for (const name of document.querySelectorAll("#newest bdi"))
            seenAt[name.textContent] ??= now;
    };
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def measure() -> str:
    """Return the section of the results."""
    with (
        fresh_roster() as one,
        fresh_roster(DATABASE_URL=one.database) as other,
        connect(one) as connection,
        httpx.Client(base_url=one.url) as registrant,
        _page(other.url) as page,
    ):
        alone = [_register(registrant, connection, page, f"alone{n}", PAUSE) for n in range(COUNT)]
        close = [_register(registrant, connection, page, f"close{n}", 0) for n in range(COUNT)]
    return section(
        "From a registration to another person's page",
        f"""
Two processes on one database: {COUNT} people register over HTTP on one, while a Chromium page from the other
is open. The time of the insert is `registered_at`, the start of its transaction; the time of arrival is when
the page's `#newest` first holds the name. Medians.
""",
        ("what", "figure", "target"),
        [
            ("insert to page, the list at rest", milliseconds(t for t, _ in alone), "500 ms"),
            ("submit to page, password hashing included", milliseconds(t for _, t in alone), ""),
            ("insert to page, each right after the last", milliseconds(t for t, _ in close), "500 ms"),
        ],
    )


@contextmanager
def _page(url: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = browser.new_page()
        page.goto(url)
        page.locator("#live").wait_for()
        page.evaluate(WATCH)
        yield page
        browser.close()


def _register(
    registrant: httpx.Client, connection: psycopg.Connection, page: Page, name: str, pause: float
) -> tuple[float, float]:
    """Register somebody; return the seconds from insert and from submit until the page shows them."""
    time.sleep(pause)
    submitted = time.time()
    answer = registrant.post("/register", data={"username": name, "password": PASSWORD})
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise SystemExit(f"registering answered {answer.status_code}")
    page.locator("#newest").get_by_text(name, exact=True).wait_for()
    seen = page.evaluate("name => seenAt[name]", name) / 1000
    [inserted] = connection.execute(
        "SELECT extract(epoch FROM registered_at)::float8 FROM users WHERE username = %s", [name]
    ).fetchone() or (0,)
    return seen - inserted, seen - submitted
