"""Several windows of organisers: what one does shows in the others, and overwrites nothing there."""

import psycopg
import pytest
from playwright.async_api import expect

from tests.browser.helpers import (
    Visit,
    become_organiser,
    choose,
    expect_no_organiser,
    organiser_message,
    watch,
)
from tests.helpers import add_users


async def test_a_choice_of_one_organiser_shows_in_the_panel_of_the_other(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser, second = await visit(), await visit()
    for window in organiser, second:
        await become_organiser(window, psql)
    await second.locator("#organiser-panel summary", has_text="Title").click()
    await choose(organiser, "page", "Save", title="Chess", description="Bring a board.")
    await expect(second.locator("#new-title")).to_have_value("Chess")
    await expect(second.locator("#new-description")).to_have_value("Bring a board.")
    await choose(organiser, "places", "Save", capacity="30")
    await expect(second.locator("#organiser-panel")).to_contain_text("Places: 30")
    await choose(organiser, "open", "Close registration")
    await choose(second, "open", "Open registration")
    await expect(organiser.get_by_role("button", name="Close registration")).to_be_visible()
    await expect(second.locator("#new-capacity")).to_have_value("30")


async def test_what_an_organiser_types_overwrites_no_other_change(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser, second = await visit(), await visit()
    for window in organiser, second:
        await become_organiser(window, psql)
    title = second.locator("#new-title")
    await second.locator("#organiser-panel summary", has_text="Title").click()
    await title.fill("Draughts")
    await choose(organiser, "page", "Save", title="Chess")
    await expect(second.locator("h1 bdi")).to_have_text("Chess")
    add_users(psql, 1)
    await expect(second.locator("#count")).to_have_text("1")
    await expect(title).to_have_value("Draughts")
    await expect(title).to_be_focused()
    for status, text in (
        (409, "Somebody else has changed this: see the page now. Save again to replace it."),
        (200, "Title and description are saved."),
    ):
        async with second.expect_response("**/organiser/page") as response:
            await choose(second, "page", "Save")
        assert (await response.value).status == status
        await expect(organiser_message(second)).to_have_text(text)
        await expect(title).to_have_value("Draughts")
        add_users(psql, 1, f"after{status}")
        await expect(second.locator("#users li > bdi").first).to_have_text(f"after{status}1")
        await expect(title).to_have_value("Draughts")
    await expect(organiser.locator("h1 bdi")).to_have_text("Draughts")
    await choose(organiser, "page", "Save", title="Go")
    await expect(title).to_have_value("Go")  # it is no longer being edited


async def test_a_window_without_its_cookie_is_told_that_it_is_no_organisers(
    visit: Visit, psql: psycopg.Connection
) -> None:
    page = await visit()
    await become_organiser(page, psql)
    await page.context.clear_cookies(name="organiser")
    await choose(page, "page", "Save", title="Chess")
    await expect(organiser_message(page)).to_have_text(
        "Only the organiser can do this, and this browser is not the organiser's."
    )
    await expect(page.locator("#new-title")).to_have_value("Chess")
    await expect(page.locator("h1 bdi")).to_have_text("Roster")


async def test_a_change_of_something_else_is_no_reason_to_refuse(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser, second = await visit(), await visit()
    for window in organiser, second:
        await become_organiser(window, psql)
    await second.locator("#organiser-panel summary", has_text="Title").click()
    await second.locator("#new-title").fill("Draughts")
    await choose(organiser, "open", "Close registration")
    await expect(second.locator("#closed")).to_be_visible()
    await choose(second, "page", "Save")
    await expect(organiser_message(second)).to_have_text("Title and description are saved.")
    await expect(organiser.locator("h1 bdi")).to_have_text("Draughts")
    await expect(organiser.locator("#closed")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/?q=user"])
@pytest.mark.parametrize("how", ["Leave", "psql"])
async def test_all_windows_of_a_browser_lose_what_an_organiser_has(
    visit: Visit, psql: psycopg.Connection, how: str, path: str
) -> None:
    add_users(psql, 2)
    organiser, other = await visit(), await visit()
    for window in organiser, other:
        await become_organiser(window, psql)
    second = await organiser.context.new_page()
    problems = watch(second)
    await second.goto(path)
    await expect(second.locator(".person")).to_have_count(2)
    if how == "Leave":
        await organiser.get_by_role("button", name="Leave").click()
        await expect(organiser.locator("#account-message")).to_contain_text("not the organiser's any more")
        await expect(other.locator(".person")).to_have_count(2)
        await expect(other.locator("#organiser")).to_be_visible()
    else:
        psql.execute("DELETE FROM organisers")
        await expect_no_organiser(other)
    await expect_no_organiser(organiser)
    await expect_no_organiser(second)
    assert problems == []
