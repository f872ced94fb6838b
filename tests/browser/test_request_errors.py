"""static/request_errors.js: what the page says when a request fails, and where."""

import psycopg
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.helpers import (
    FROM_ROSTER,
    TOO_OFTEN,
    add_listed_users,
    go_offline,
    register,
    sign_in,
    wait_until_live,
)
from tests.helpers import OTHER_PASSWORD, PASSWORD

UNAVAILABLE = '<hx-partial hx-target="#availability" hx-swap="innerHTML">Not just now.</hx-partial>'

NO_ANSWER = "No answer came, so it may be done or not. Look before you try again."


async def test_an_error_while_paging_is_visible_on_a_small_screen(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await add_listed_users(page, psql, 60)
    await page.reload()
    await wait_until_live(page)  # or the stream would begin offline, and nothing would bring it back
    await page.set_viewport_size({"width": 390, "height": 700})
    await page.context.set_offline(offline=True)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#notice")).to_contain_text("no connection")
    await expect(page.locator("#notice")).to_be_in_viewport(ratio=1)
    await page.context.set_offline(offline=False)
    await wait_until_live(page)
    await expect(page.locator("#notice")).to_be_empty()


async def test_an_offline_registration_keeps_the_typed_text(offline_page: Page) -> None:
    page = offline_page
    await page.context.set_offline(offline=True)
    await register(page, "zoe")
    await expect(page.locator("#register-message")).to_have_text(NO_ANSWER)
    await expect(page.locator("#notice")).to_be_empty()
    await expect(page.locator("#password")).to_have_value(PASSWORD)
    await page.context.set_offline(offline=False)
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator(".welcome")).to_have_text("zoe, you are in")


async def test_that_no_answer_came_stays_true_when_the_connection_is_back(offline_page: Page) -> None:
    page = offline_page
    await wait_until_live(page)
    await page.context.set_offline(offline=True)
    await register(page, "zoe")
    await expect(page.locator("#register-message")).to_have_text(NO_ANSWER)
    await expect(page.locator("#connecting")).to_be_visible()
    await page.context.set_offline(offline=False)
    await wait_until_live(page)
    await expect(page.locator("#register-message")).to_have_text(NO_ANSWER)


@pytest.mark.parametrize("place", ["#register-message", "#account-message", "#notice"])
async def test_no_place_says_that_there_is_no_connection_once_it_is_back(page: Page, place: str) -> None:
    await wait_until_live(page)
    await page.evaluate(
        """(place) => {
            const sentence = document.querySelector("#offline-message").content.textContent.trim();
            document.querySelector(place).textContent = sentence;
        }""",
        place,
    )
    await expect(page.locator(place)).to_contain_text("no connection")
    await go_offline(page)
    await wait_until_live(page)
    await expect(page.locator(place)).to_be_empty()


async def test_an_offline_sign_in_shows_the_error_in_its_section(offline_page: Page) -> None:
    page = offline_page
    await page.context.set_offline(offline=True)
    await sign_in(page, "zoe", OTHER_PASSWORD)
    await expect(page.locator("#account-message")).to_have_text(NO_ANSWER)
    await expect(page.locator("#sign-in-password")).to_have_value(OTHER_PASSWORD)
    await expect(page.locator("#notice")).to_be_empty()


async def test_an_error_page_of_a_proxy_replaces_nothing(page: Page) -> None:
    await page.route(
        "**/register",
        lambda route: route.fulfill(status=502, body="<h1>502 Bad Gateway</h1>", content_type="text/html"),
    )
    await register(page, "zoe")
    await expect(page.locator("#register-message")).to_have_text(NO_ANSWER)
    await expect(page.locator("#username")).to_have_value("zoe")
    await expect(page.locator("#password")).to_have_value(PASSWORD)
    await expect(page.locator("#username")).to_be_editable()


async def test_an_error_is_shown_although_its_link_has_gone(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await add_listed_users(page, psql, 60)
    await page.reload()

    async def fail(route: Route) -> None:
        await page.locator("#newest-pagination").evaluate("(element) => element.remove()")
        await route.abort()

    await page.route("**/users?before=**", fail)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#notice")).to_contain_text("no connection")


async def test_a_failed_check_of_a_user_name_is_not_shown(offline_page: Page) -> None:
    page = offline_page
    availability = page.locator("#availability")
    await page.route("**/register/check?username=a", lambda route: route.abort())
    await page.route(
        "**/register/check?username=b",
        lambda route: route.fulfill(status=503, headers=FROM_ROSTER, body=UNAVAILABLE),
    )
    await page.route(
        "**/register/check?username=c",
        lambda route: route.fulfill(status=429, headers=FROM_ROSTER, body=UNAVAILABLE),
    )
    for username in ("a", "b"):
        async with page.expect_event(
            "requestfailed" if username == "a" else "requestfinished",
            lambda request: "/check" in request.url,
        ):
            await page.locator("#username").fill(username)
        await expect(page.locator("#username:not(.htmx-request)")).to_be_visible()
        await expect(availability).to_be_empty()
        await expect(page.locator("#register-message")).to_be_empty()
        await expect(page.locator("#notice")).to_be_empty()
    await page.locator("#username").fill("c")
    await expect(availability).to_have_text("Not just now.")


async def test_a_failed_check_of_a_password_is_not_shown(offline_page: Page) -> None:
    page = offline_page
    await page.route("**/register/check", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: "/check" in request.url):
        await page.locator("#password").fill(PASSWORD)
    await expect(page.locator("#password:not(.htmx-request)")).to_be_visible()
    await expect(page.locator("#password-check")).to_contain_text("At least 8 characters")
    await expect(page.locator("#register-message")).to_be_empty()
    await expect(page.locator("#notice")).to_be_empty()


async def test_an_error_stays_until_the_next_request(page: Page, psql: psycopg.Connection) -> None:
    notice = page.locator("#notice")
    await add_listed_users(page, psql, 60)
    await page.reload()
    await wait_until_live(page)
    await page.route(
        "**/users?before=**", lambda route: route.fulfill(status=429, headers=FROM_ROSTER, body=TOO_OFTEN)
    )
    await page.get_by_role("link", name="Older").click()
    await expect(notice).to_have_text("Too often.")
    await go_offline(page)
    await wait_until_live(page)
    await expect(notice).to_have_text("Too often.")
    await page.get_by_label("Search").fill("user1")
    await expect(page.locator("#users li")).to_have_count(11)
    await expect(notice).to_be_empty()


async def test_an_error_stays_while_the_page_tries_to_connect(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await add_listed_users(page, psql, 1)
    await page.clock.install()
    await page.route("**/live**", lambda route: route.abort())
    await page.route(
        "**/users?q=x", lambda route: route.fulfill(status=429, headers=FROM_ROSTER, body=TOO_OFTEN)
    )
    await page.reload()
    await page.get_by_label("Search").fill("x")
    await expect(page.locator("#notice")).to_have_text("Too often.")
    async with page.expect_request("**/live**"):
        await page.clock.fast_forward(11_000)
    await expect(page.locator("#notice")).to_have_text("Too often.")
