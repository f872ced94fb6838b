from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from app import create_app
from settings import Settings
from tests import chromium
from tests.conftest import serving

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    async with serving(create_app(Settings(database_url=database_url, rate_limits=False))) as url:
        yield url


@pytest_asyncio.fixture
async def context(browser: Browser, url: str) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(base_url=url)
    yield context
    await context.close()


@pytest_asyncio.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page on which any console message of weight, script error or failed request fails the test.

    Chromium itself notes each answer of 400 or more as an error; those that a test provokes are meant.
    """
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        answered = "the server responded with a status of" in message.text
        if message.type in {"error", "warning"} and not answered:
            problems.append(message.text)

    def note_failure(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a navigation no longer needs
            problems.append(f"{request.url}: {request.failure}")

    page = await context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", note_failure)
    await page.goto("/")
    yield page
    assert problems == []
