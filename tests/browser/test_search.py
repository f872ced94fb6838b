"""static/search.js and the search form: the field and the address stay the same."""

import asyncio
import re

import psycopg
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.helpers import (
    Visit,
    add_listed_users,
    expect_dom_event,
    go_offline,
    note_requests,
    wait_until_live,
    without_response,
)
from tests.helpers import add_users


async def test_the_list_is_searched_while_somebody_types(page: Page, psql: psycopg.Connection) -> None:
    for name in ("Anna", "Änne", "annika", "张三", "张伟", "Зоя"):
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')",
            [name, name.lower()],
        )
    await expect(page.locator("#newest li")).to_have_count(6)
    await page.reload()
    field, names = page.get_by_label("Search"), page.locator("#users li bdi")
    await field.press_sequentially("ANN")
    await expect(names).to_have_text(["Anna", "annika"])
    await expect(page.locator("#users-title")).to_have_text("2 people found")
    await expect(page.locator("#announcement")).to_have_text("2 people found")
    await expect(page).to_have_url("/?q=ANN")
    await expect(field).to_be_focused()
    await field.press("Enter")
    await field.fill("张")
    await expect(names).to_have_text(["张三", "张伟"])
    await field.fill("zz<b>")
    await expect(page.get_by_text("No user name begins with zz<b>.")).to_be_visible()
    await page.go_back()
    await expect(names).to_have_text(["张三", "张伟"])
    await expect(field).to_have_value("张")
    await page.go_back()
    await expect(names).to_have_text(["Anna", "annika"])
    await expect(field).to_have_value("ANN")
    await page.reload()
    await expect(names).to_have_text(["Anna", "annika"])
    await page.go_back()
    await expect(page.locator("#newest li")).to_have_count(6)
    await expect(field).to_have_value("")
    await wait_until_live(page)
    add_users(psql, 1)
    await expect(page.locator("#newest li")).to_have_count(7)


async def test_the_same_search_twice_is_one_step_in_the_history(page: Page, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    await wait_until_live(page)
    steps = await page.evaluate("history.length")
    await page.get_by_label("Search").fill("user1")
    await expect(page).to_have_url("/?q=user1")
    async with expect_dom_event(page, "htmx:after:swap"):
        await page.get_by_role("button", name="Search").click()
    assert await page.evaluate("history.length") == steps + 1


async def test_the_newer_of_two_searches_wins(page: Page, psql: psycopg.Connection) -> None:
    add_users(psql, 1, "anna")
    add_users(psql, 1, "bob")

    async with without_response(page, "**/users?q=a"):
        async with page.expect_request("**/users?q=a"):
            await page.get_by_label("Search").fill("a")
        await expect(page.get_by_label("Search")).to_be_editable()
        await page.get_by_label("Search").fill("b")
        await expect(page.locator("#users li bdi")).to_have_text(["bob1"])


async def test_a_change_of_the_list_leaves_the_text_that_somebody_types(
    page: Page, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    await wait_until_live(page)
    async with without_response(page, "**/users?q=**"):
        async with page.expect_request("**/users?q=half"):
            await page.get_by_label("Search").fill("half")
        add_users(psql, 1, "more")
        await expect(page.locator("#count")).to_have_text("2")
        await expect(page.get_by_label("Search")).to_have_value("half")


async def test_paging_within_a_search_keeps_its_text(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.goto("/?q=user")
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator("#users li")).to_have_count(10)
    await expect(page.get_by_label("Search")).to_have_value("user")


async def test_a_connection_made_while_going_back_does_not_search_again(
    page: Page, psql: psycopg.Connection
) -> None:
    add_users(psql, 3)
    await wait_until_live(page)
    await page.get_by_label("Search").fill("user2")
    await expect(page.locator("#users li")).to_have_count(1)
    requests = note_requests(page, "users")
    connected = asyncio.Event()

    async def hold(route: Route) -> None:
        await connected.wait()
        await route.continue_()

    await page.route(re.compile("/$"), hold)
    await page.evaluate("history.back()")
    await go_offline(page)
    await wait_until_live(page)
    connected.set()
    await expect(page.locator("#newest li")).to_have_count(3)
    await expect(page).to_have_url("/")
    assert requests == []


async def test_a_search_without_a_connection_is_sent_again_later(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await add_listed_users(page, psql, 3)
    await page.reload()
    await wait_until_live(page)
    await page.context.set_offline(offline=True)
    await page.get_by_label("Search").fill("user2")
    await expect(page.locator("#notice")).to_contain_text("no connection")
    await page.context.set_offline(offline=False)
    await expect(page.locator("#users li bdi")).to_have_text(["user2"])
    await expect(page.locator("#notice")).to_be_empty()
    await expect(page).to_have_url("/?q=user2")


@pytest.mark.parametrize("width", [390, 1280])
async def test_results_below_the_fold_are_scrolled_into_view(
    page: Page, psql: psycopg.Connection, width: int
) -> None:
    await add_listed_users(page, psql, 60)
    await page.set_viewport_size({"width": width, "height": 844})
    await page.reload()
    await page.get_by_label("Search").fill("user1")
    await expect(page.locator("#users li")).to_have_count(11)
    await expect(page.locator("#users-title")).to_be_in_viewport()
    await expect(page.locator("#users li").first).to_be_in_viewport()
    await expect(page.get_by_label("Search")).to_be_in_viewport()
    assert await page.evaluate("scrollY > 0") == (width == 390)


async def test_going_back_on_a_small_page_causes_no_error(visit: Visit) -> None:
    page = await visit("/share")
    await page.evaluate("location.hash = 'below'")
    await page.evaluate(
        "new Promise((done) => { addEventListener('popstate', () => setTimeout(done)); history.back(); })"
    )
    await expect(page).to_have_url("/share")


async def test_search_works_without_javascript_and_the_page_is_not_live(
    visit: Visit, psql: psycopg.Connection
) -> None:
    page = await visit("/share", javascript=False)
    await add_listed_users(page, psql, 60, "ann")
    await page.goto("/")
    await expect(page.locator("#live")).to_be_hidden()
    await page.get_by_label("Search").fill("ANN")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#users-title")).to_have_text("Found")
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator("#users li")).to_have_count(10)
    await page.get_by_role("link", name="Previous").click()
    await expect(page.locator("#users li")).to_have_count(50)
