from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest_asyncio
from jinja2 import FileSystemBytecodeCache
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from app import create_app
from settings import Settings
from tests import chromium
from tests.conftest import serving

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")


class Visit(Protocol):
    """Opens a window of its own on an address; whatever goes wrong in it fails the test, as with `page`."""

    async def __call__(
        self, path: str = "/", *, locale: str = "en-US", width: int = 1280, javascript: bool = True
    ) -> Page: ...


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def url(database_url: str, compiled: FileSystemBytecodeCache) -> AsyncIterator[str]:
    app = create_app(Settings(database_url=database_url, rate_limits=False))
    app.jinja_env.bytecode_cache = compiled
    async with serving(app) as url:
        yield url


@pytest_asyncio.fixture
async def context(browser: Browser, url: str) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(base_url=url)
    yield context
    await context.close()


@pytest_asyncio.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page on which any console message of weight, script error or failed request fails the test."""
    page = await context.new_page()
    problems = watch(page)
    await page.goto("/")
    yield page
    assert problems == []


@pytest_asyncio.fixture
async def visit(browser: Browser, url: str) -> AsyncIterator[Visit]:
    async with AsyncExitStack() as windows:
        watched: list[list[str]] = []

        async def visit(
            path: str = "/", *, locale: str = "en-US", width: int = 1280, javascript: bool = True
        ) -> Page:
            context = await browser.new_context(
                base_url=url,
                locale=locale,
                java_script_enabled=javascript,
                viewport={"width": width, "height": 800},
            )
            windows.push_async_callback(context.close)
            page = await context.new_page()
            watched.append(watch(page))
            await page.goto(path)
            return page

        yield visit
        assert [problem for problems in watched for problem in problems] == []


def watch(page: Page) -> list[str]:
    """Return what goes wrong on a page, as it happens.

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

    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", note_failure)
    return problems
