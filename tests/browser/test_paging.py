"""Pages of the list, static/restore_focus.js, and the back button."""

import asyncio

import psycopg
from playwright.async_api import Page, Route, expect

from tests.browser.helpers import add_listed_users, register


async def test_the_focus_stays_in_the_list_after_paging(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    await page.get_by_role("link", name="Older").press("Enter")
    await expect(page.locator("#users-title")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Newer")).to_be_focused()


async def test_paging_does_not_take_the_focus_from_another_field(
    page: Page, psql: psycopg.Connection
) -> None:
    respond = asyncio.Event()

    async def hold(route: Route) -> None:
        await respond.wait()
        await route.continue_()

    await add_listed_users(page, psql, 60)
    await page.reload()
    await page.route("**/users?before=**", hold)
    await page.get_by_role("link", name="Older").click()
    await page.locator("#username").focus()
    respond.set()
    await expect(page.locator("#users li")).to_have_count(10)
    await expect(page.locator("#username")).to_be_focused()


async def test_paging_scrolls_to_the_top_of_the_list(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 120)
    await page.reload()
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi").first).to_have_text("user70")
    await expect(page.locator("#users-title")).to_be_in_viewport()


async def test_the_back_button_returns_to_the_page_before(page: Page, psql: psycopg.Connection) -> None:
    names = page.locator("#users li bdi")
    await add_listed_users(page, psql, 120)
    await page.reload()
    await expect(page.locator("#newest li")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(names.first).to_have_text("user70")
    assert "before=" in page.url
    await expect(page.locator("#newest")).to_have_count(0)
    await page.get_by_role("link", name="Older").click()
    await expect(names.last).to_have_text("user1")
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await page.go_back()
    await expect(names.first).to_have_text("user70")
    await page.reload()
    await expect(names.first).to_have_text("user70")
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator("#newest li bdi").first).to_have_text("user120")


async def test_registering_does_not_change_an_older_page(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li")).to_have_count(10)
    await register(page, "zoe")
    await expect(page.locator("#count")).to_have_text("61")
    await expect(page.locator("#users li")).to_have_count(10)


async def test_the_51st_user_adds_the_link_to_older_ones(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 50)
    await page.reload()
    await expect(page.locator("#newest li")).to_have_count(50)
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await register(page, "zoe")
    await expect(page.locator("#newest li bdi").first).to_have_text("zoe")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi")).to_have_text(["user1"])


async def test_going_back_keeps_the_text_typed_into_the_form(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    username = page.locator("#username")
    await username.fill("half a na")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#newest")).to_have_count(0)
    await expect(username).to_have_value("half a na")
    await page.go_back()
    await expect(page.locator("#newest")).to_have_count(1)
    await expect(username).to_have_value("half a na")
    await page.get_by_role("link", name="简体中文").click()
    await expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    await page.go_back()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(username).to_have_value("half a na")
