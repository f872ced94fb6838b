"""Fixtures: a Chromium, the application behind a real port, and pages in it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from jinja2 import FileSystemBytecodeCache
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from app import create_app
from settings import Settings
from tests.browser.helpers import FLAGS, PUBLIC_ORIGIN, Visit, watch
from tests.helpers import serving
from tools.programs import find_browser

expect.set_options(timeout=30_000)  # busy machines are slow


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def url(database_url: str, compiled_templates: FileSystemBytecodeCache) -> AsyncIterator[str]:
    app = create_app(Settings(database_url=database_url, rate_limits=False, public_origin=PUBLIC_ORIGIN))
    app.jinja_env.bytecode_cache = compiled_templates
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
async def offline_page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page that a test takes offline: any script error fails the test, but no failed request."""
    page = await context.new_page()
    problems = watch(page, offline=True)
    await page.goto("/")
    yield page
    assert problems == []


@pytest_asyncio.fixture
async def visit(browser: Browser, url: str) -> AsyncIterator[Visit]:
    async with AsyncExitStack() as windows:
        watched: list[list[str]] = []

        async def visit(
            path: str = "/",
            *,
            locale: str = "en-US",
            width: int = 1280,
            javascript: bool = True,
            user_agent: str | None = None,
        ) -> Page:
            context = await browser.new_context(
                base_url=url,
                locale=locale,
                java_script_enabled=javascript,
                viewport={"width": width, "height": 800},
                user_agent=user_agent,
            )
            windows.push_async_callback(context.close)
            page = await context.new_page()
            watched.append(watch(page))
            await page.goto(path)
            return page

        yield visit
        assert [problem for problems in watched for problem in problems] == []
