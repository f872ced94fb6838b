"""What browser tests share: opening windows, what goes wrong in them, and what visitors do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import unquote

import psycopg
from playwright.async_api import ConsoleMessage, Locator, Page, Request, Route, ViewportSize, expect

from tests.helpers import PASSWORD, add_users, insert_link, names_in

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
PUBLIC_ORIGIN = "http://sign-up.example"  # which the QR code is of
PHONE: ViewportSize = {"width": 390, "height": 844}
FROM_ROSTER = {"Content-Type": "text/html", "Vary": "HX-Request"}  # headers of every response of ours
TOO_OFTEN = '<hx-partial hx-target="#notice" hx-swap="innerHTML">Too often.</hx-partial>'


class Visit(Protocol):
    """Opens a page in a window of its own; whatever goes wrong in it fails the test, as with `page`."""

    async def __call__(
        self,
        path: str = "/",
        *,
        locale: str = "en-US",
        width: int = 1280,
        javascript: bool = True,
        user_agent: str | None = None,
    ) -> Page: ...


def watch(page: Page, *, offline: bool = False) -> list[str]:
    """Return what goes wrong on a page, as it happens.

    Chromium itself notes each response of 400 or more as an error; those that a test provokes are
    meant. So are requests that fail on a page that a test takes `offline`.
    """
    problems: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        is_meant = "the server responded with a status of" in message.text or offline
        if message.type in {"error", "warning"} and not is_meant:
            problems.append(message.text)

    def note_failure(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED" and not offline:  # what a navigation no longer needs
            problems.append(f"{request.url}: {request.failure}")

    page.on("console", note_message)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", note_failure)
    return problems


def note_requests(page: Page, *paths: str) -> list[str]:
    """Return the requests that a page sends to these paths, as it sends them: path and query."""
    sent: list[str] = []

    def note(request: Request) -> None:
        _, _, _, path = unquote(request.url).split("/", 3)
        if path.partition("?")[0] in paths:
            sent.append(path)

    page.on("request", note)
    return sent


async def wait_until_live(page: Page) -> None:
    await expect(page.locator("#live")).to_be_visible()


@asynccontextmanager
async def expect_dom_event(page: Page, name: str) -> AsyncIterator[None]:
    """Expect that what the block does dispatches a DOM event of that name."""
    async with page.expect_event("console", lambda message: message.text == name):
        await page.evaluate(
            "(name) => document.addEventListener(name, () => console.log(name), {once: true})", name
        )
        yield


@asynccontextmanager
async def without_response(page: Page, url: str, times: int | None = None) -> AsyncIterator[None]:
    """Requests to `url` get no response within the block; its end answers them with nothing.

    A route that is never answered would stay a pending task.
    """
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    await page.route(url, hold, times=times)
    yield
    for route in held:
        await route.fulfill(status=204)


async def add_listed_users(page: Page, psql: psycopg.Connection, count: int, prefix: str = "user") -> None:
    """Add users, and wait until a page that is loaded shows them, for which it may take 0.1 s."""
    add_users(psql, count, prefix)
    async with asyncio.timeout(30):
        while f"{prefix}{count}" not in names_in(await (await page.request.get("/")).text()):
            await asyncio.sleep(0.02)


async def fill_register_form(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.locator("#username").fill(username)
    await page.locator("#password").fill(password)


async def register(page: Page, username: str, password: str = PASSWORD) -> None:
    await fill_register_form(page, username, password)
    await page.get_by_role("button", name="Register").click()


async def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.locator("#account summary").click()
    await page.locator("#sign-in-username").fill(username)
    await page.locator("#sign-in-password").fill(password)
    await page.locator("#sign-in").get_by_role("button", name="Sign in").click()


async def go_offline(page: Page) -> None:
    """Tell the page that the computer was offline for a moment: it connects again."""
    async with page.expect_request("**/live**"):
        await page.evaluate("dispatchEvent(new Event('offline'))")


async def become_organiser(page: Page, psql: psycopg.Connection) -> None:
    await page.goto(f"/organise/{insert_link(psql)}")
    await page.locator("main button").click()
    await expect(page.locator("#organiser")).to_be_visible()


async def choose(page: Page, form: str, button: str, **values: str) -> None:
    """Send a form of the organiser's panel, after unfolding it and filling in its fields."""
    sender = page.locator(f"#organiser-{form}")
    if not await sender.is_visible():
        await page.locator("#organiser-panel details").filter(has=sender).locator("summary").click()
    for name, value in values.items():
        await sender.locator(f"[name={name}]").fill(value)
    await sender.get_by_role("button", name=button, exact=True).click()


def organiser_message(page: Page) -> Locator:
    return page.locator("#organiser-message")


async def expect_no_organiser(page: Page) -> None:
    await expect(page.locator("#organiser")).to_have_count(0)
    await expect(page.locator(".person").locator("visible=true")).to_have_count(0)
