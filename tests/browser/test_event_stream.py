"""static/event_stream.js: the list follows every change, and the page says whether it does."""

import asyncio
from unittest.mock import patch

import psycopg
import pytest
from playwright.async_api import Browser, Page, Route, expect

from app import create_app
from routes import event_stream
from routes.event_stream import HEARTBEAT, HEARTBEAT_SECONDS
from settings import Settings
from tests.browser.helpers import (
    Visit,
    add_listed_users,
    expect_dom_event,
    go_offline,
    note_requests,
    register,
    wait_until_live,
    without_response,
)
from tests.helpers import StartServer, add_users, serving

OTHER_PAGE = '<h1>another page</h1><hx-partial hx-target="#notice">another page</hx-partial>'
OTHER_RESPONSES = [(200, "text/html"), (204, "text/html"), (502, "text/html")]
NOTE_LIVE = """
wasLive = false;
live = document.querySelector("#live");
new MutationObserver(() => wasLive ||= !live.hidden).observe(live, {attributeFilter: ["hidden"]});
"""
CONNECT_TIMEOUT = RETRY_INTERVAL = 10_000  # milliseconds
HIDE = """
setInterval = () => 0;  // the page would also try again after 10 s
visible = false;
Object.defineProperty(document, "hidden", {get: () => !visible});
Object.defineProperty(document, "visibilityState", {get: () => visible ? "visible" : "hidden"});
"""


async def test_a_registration_appears_in_windows_of_other_processes(
    page: Page, browser: Browser, serve: StartServer, database_url: str
) -> None:
    await wait_until_live(page)
    other = await browser.new_page(base_url=serve(DATABASE_URL=database_url).url)
    await other.goto("/")
    await wait_until_live(other)
    await register(other, "Zoe")
    await expect(page.locator("#newest li bdi")).to_have_text(["Zoe"])
    await expect(page.locator("#count")).to_have_text("1")
    await expect(page.get_by_text("Be the first")).to_be_hidden()
    await other.context.close()


async def test_changes_with_psql_appear_and_typed_text_stays(page: Page, psql: psycopg.Connection) -> None:
    username = page.locator("#username")
    await wait_until_live(page)
    await username.fill("half a na")
    await expect(page.get_by_role("heading", name="Newest")).to_be_hidden()
    await expect(page.locator("#search")).to_be_hidden()
    add_users(psql, 51)
    await expect(page.get_by_role("heading", name="Newest")).to_be_visible()
    await expect(page.locator("#search")).to_be_visible()
    await expect(page.locator("#newest li bdi").first).to_have_text("user51")
    await expect(page.get_by_role("link", name="Older")).to_be_visible()
    psql.execute("DELETE FROM users WHERE username = 'user51'")
    await expect(page.locator("#newest li bdi").first).to_have_text("user50")
    await expect(page.get_by_role("link", name="Older")).to_be_hidden()
    psql.execute("TRUNCATE users")
    await expect(page.locator("#newest li")).to_have_count(0)
    await expect(page.get_by_text("Be the first")).to_be_visible()
    await expect(page.locator("#search")).to_be_hidden()
    await expect(username).to_have_value("half a na")
    await expect(username).to_be_focused()


async def test_only_the_total_changes_while_somebody_searches_or_pages(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 60)
    await page.goto("/")
    await wait_until_live(page)
    for way, total in ("Older", 60), ("Search", 61):
        if way == "Older":
            await page.get_by_role("link", name=way).click()
        else:
            await page.get_by_label(way).fill("user1")
        await expect(page.locator("#newest")).to_have_count(0)
        await expect(page.locator("#to-newest")).to_be_empty()
        names = await page.locator("#users li bdi").all_text_contents()
        add_users(psql, 1, f"user1{total}")
        await expect(page.locator("#count")).to_have_text(str(total + 1))
        assert await page.locator("#users li bdi").all_text_contents() == names
        await page.get_by_role("link", name="newest people").click()
        await expect(page.locator("#newest li bdi").first).to_have_text(f"user1{total}1")
        await expect(page.get_by_label("Search")).to_have_value("")
        await expect(page).to_have_url("/")


async def test_a_connection_without_a_response_is_tried_again(offline_page: Page) -> None:
    page = offline_page

    await page.clock.install()
    async with without_response(page, "**/live**", times=1):
        async with page.expect_request("**/live**"):
            await page.reload()
        await page.clock.fast_forward(CONNECT_TIMEOUT + 1000)
        await page.clock.fast_forward(RETRY_INTERVAL + 1000)
        await wait_until_live(page)


@pytest.mark.parametrize(("status", "content_type"), OTHER_RESPONSES)
async def test_a_first_response_that_is_no_stream_is_not_shown_and_tried_again(
    offline_page: Page, status: int, content_type: str
) -> None:
    page = offline_page
    await page.clock.install()
    await page.route(
        "**/live**", lambda route: route.fulfill(status=status, content_type=content_type, body=OTHER_PAGE)
    )
    await page.reload()
    await expect(page.locator("#connecting")).to_be_visible()
    async with page.expect_request("**/live**"):
        await page.clock.fast_forward(RETRY_INTERVAL + 1000)
    await expect(page.locator("#live")).to_be_hidden()
    await expect(page.get_by_text("another page")).to_have_count(0)
    await page.unroute("**/live**")
    await page.clock.fast_forward(RETRY_INTERVAL + 1000)
    await wait_until_live(page)


@pytest.mark.parametrize(("status", "content_type"), OTHER_RESPONSES)
async def test_a_later_response_that_is_no_stream_is_not_live(
    offline_page: Page, status: int, content_type: str
) -> None:
    page = offline_page
    await wait_until_live(page)
    await page.route(
        "**/live**", lambda route: route.fulfill(status=status, content_type=content_type, body=OTHER_PAGE)
    )
    await go_offline(page)
    await expect(page.locator("#connecting")).to_be_visible()
    await page.evaluate(NOTE_LIVE)
    async with expect_dom_event(page, "htmx:sse:before:connection"):
        pass
    assert not await page.evaluate("wasLive")
    await expect(page.get_by_text("another page")).to_have_count(0)
    await page.unroute("**/live**")
    await wait_until_live(page)


async def test_pauses_grow_while_the_server_closes_each_connection_at_once(offline_page: Page) -> None:
    page = offline_page
    await page.clock.install()
    await page.reload()
    await wait_until_live(page)
    await page.route(
        "**/live**",
        lambda route: route.fulfill(content_type="text/event-stream", body=HEARTBEAT.decode()),
    )
    async with expect_dom_event(page, "htmx:sse:before:connection"):
        await page.evaluate("dispatchEvent(new Event('offline'))")
    for _ in range(5):
        async with expect_dom_event(page, "htmx:sse:before:connection"):
            await page.clock.fast_forward(15_000)
    requests = note_requests(page, "live")
    await page.clock.fast_forward(5_000)
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    assert requests == []
    await page.unroute("**/live**")
    await page.clock.fast_forward(15_000)
    await wait_until_live(page)


async def test_two_triggers_at_once_make_one_connection(page: Page) -> None:
    is_released = asyncio.Event()

    async def hold(route: Route) -> None:
        await is_released.wait()
        await route.continue_()

    await page.route("**/live**", hold)
    requests = note_requests(page, "live")
    async with page.expect_request("**/live**"):
        await page.reload()
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    is_released.set()
    await wait_until_live(page)
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    assert len(requests) == 1


async def test_the_page_says_connecting_when_the_server_ends_the_stream(offline_page: Page) -> None:
    page = offline_page
    await page.goto("/share")
    await page.route("**/live**", lambda route: route.abort())
    await page.route(
        "**/live**", lambda route: route.fulfill(content_type="text/event-stream", body=":\n\n"), times=1
    )
    await page.goto("/")
    await expect(page.locator("#connecting")).to_be_visible()
    await expect(page.locator("#live")).to_be_hidden()
    await page.unroute("**/live**")
    await wait_until_live(page)


async def test_a_full_server_is_asked_again_without_a_message(database_url: str, browser: Browser) -> None:
    app = create_app(Settings(database_url=database_url, max_viewers=0))
    async with serving(app) as url:
        page = await browser.new_page(base_url=url)
        await page.clock.install()
        async with page.expect_response("**/live**"):
            await page.goto("/")
        async with page.expect_response("**/live**") as response:
            await page.clock.fast_forward(RETRY_INTERVAL + 1000)
        assert (await response.value).status == 503
        await expect(page.locator("#connecting")).to_be_visible()
        await expect(page.locator("#notice")).to_be_empty()
        await page.context.close()


async def test_the_page_says_when_it_is_not_live_and_catches_up(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await wait_until_live(page)
    await page.context.set_offline(offline=True)
    await expect(page.locator("#connecting")).to_be_visible()
    await expect(page.locator("#live")).to_be_hidden()
    add_users(psql, 1)
    await page.context.set_offline(offline=False)
    await wait_until_live(page)
    await expect(page.locator("#connecting")).to_be_hidden()
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])
    await expect(page.locator("#notice")).to_be_empty()


async def test_the_pause_between_reconnections_stays_short(offline_page: Page) -> None:
    page = offline_page
    await page.clock.install()
    await page.reload()
    await wait_until_live(page)
    await page.route("**/live**", lambda route: route.abort())
    await go_offline(page)
    for _ in range(10):
        async with page.expect_event("requestfailed", lambda request: "/live" in request.url):
            await page.clock.fast_forward(15_000)
    await page.unroute("**/live**")
    await page.clock.fast_forward(15_000)
    await wait_until_live(page)


async def test_a_hidden_page_has_no_connection_and_catches_up_later(
    page: Page, psql: psycopg.Connection
) -> None:
    async def set_visible(visible: str) -> None:
        await page.evaluate(f"visible = {visible}; document.dispatchEvent(new Event('visibilitychange'))")

    await page.context.add_init_script(HIDE)
    await page.goto("/share")
    requests = note_requests(page, "live")
    await page.goto("/")
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    assert requests == []
    await set_visible("true")
    await wait_until_live(page)
    assert len(requests) == 1
    async with page.expect_event("requestfailed", lambda request: "/live" in request.url):
        await set_visible("false")
    add_users(psql, 1)
    await page.locator("#username").fill("eve")
    await expect(page.locator("#availability")).to_have_text("eve is free.")
    await expect(page.locator("#count")).to_have_text("0")
    assert len(requests) == 1
    await set_visible("true")
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])
    await wait_until_live(page)
    assert len(requests) == 2


async def test_a_silent_connection_is_replaced_and_a_busy_one_is_kept(
    page: Page, psql: psycopg.Connection
) -> None:
    await page.clock.install()
    requests = note_requests(page, "live")
    await page.reload()
    await wait_until_live(page)
    for number in range(1, 4):
        await page.clock.fast_forward(20_000)
        add_users(psql, 1, f"user{number}x")
        await expect(page.locator("#count")).to_have_text(str(number))
    assert len(requests) == 1
    async with page.expect_request("**/live**"):
        await page.clock.fast_forward(36_000)
        await page.clock.fast_forward(1000)  # the pause before a reconnection
    await wait_until_live(page)
    add_users(psql, 1)
    await expect(page.locator("#count")).to_have_text("4")
    assert len(requests) == 2


async def test_heartbeats_of_the_server_keep_a_page_connected(page: Page) -> None:
    await page.clock.install()
    requests = note_requests(page, "live")
    with patch.object(event_stream, "HEARTBEAT_SECONDS", 0.2):
        await page.reload()
        await wait_until_live(page)
        for _ in range(3):
            async with expect_dom_event(page, "htmx:sse:after:message"):
                pass
            # One heartbeat may be late.
            await page.clock.fast_forward(round(2 * HEARTBEAT_SECONDS * 1000))
    await wait_until_live(page)
    assert len(requests) == 1


async def test_the_page_reconnects_after_the_computer_was_offline(
    page: Page, psql: psycopg.Connection
) -> None:
    await wait_until_live(page)
    async with page.expect_request("**/live**"):
        await page.evaluate("dispatchEvent(new Event('offline'))")
        await expect(page.locator("#connecting")).to_be_visible()
    await wait_until_live(page)
    add_users(psql, 1)
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])


@pytest.mark.parametrize("path", ["/share", "/nowhere"])
async def test_going_offline_causes_no_error_on_a_small_page(visit: Visit, path: str) -> None:
    page = await visit(path)
    await page.evaluate("dispatchEvent(new Event('offline'))")
    await expect(page.locator("main > h2")).to_be_visible()
