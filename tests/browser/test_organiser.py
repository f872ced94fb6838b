"""The organiser's panel: becoming one, and what changes in other windows."""

from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.helpers import (
    Visit,
    add_listed_users,
    become_organiser,
    choose,
    expect_no_organiser,
    organiser_message,
    register,
    sign_in,
    wait_until_live,
)
from tests.helpers import OTHER_PASSWORD, PASSWORD, add_users, insert_link, usernames

DEFAULT_TITLE = "Roster: register here"
DEFAULT_DESCRIPTION = "Choose a user name and a password, and see who else is here."


async def open_menu(page: Page, username: str) -> Locator:
    """Unfold what an organiser can do for or to a person; return that menu."""
    row = page.locator("#users li").filter(has=page.get_by_text(username, exact=True))
    await row.locator(".person > summary").click()
    return row.locator(".person")


async def make_reset_link(organiser: Page, username: str) -> str:
    """Return the path of the link."""
    await (await open_menu(organiser, username)).get_by_role("button", name="Reset password…").click()
    link = organiser.locator(".reset-link a")
    return urlsplit(await link.get_attribute("href") or "").path


async def test_whoever_opens_the_link_becomes_the_organiser_by_its_button(
    visit: Visit, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    path = f"/organise/{insert_link(psql)}"
    page = await visit(path)
    await expect(page.locator("#organiser")).to_have_count(0)
    await page.get_by_role("button", name="Become the organiser").click()
    await expect(organiser_message(page)).to_have_text("This browser is the organiser's for 30 days.")
    await expect(page.get_by_role("button", name="Close registration")).to_be_visible()
    await expect(page.get_by_label("Manage user1")).to_be_visible()
    await page.reload()
    await expect(page.locator("#organiser")).to_be_visible()
    await expect(organiser_message(page)).to_be_empty()
    other = await visit(path)
    await expect(other.locator("h2")).to_have_text(
        "This link has been used or has expired. Ask for a new one."
    )
    await other.goto("/")
    await expect_no_organiser(other)


async def test_the_panel_works_without_javascript(visit: Visit, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    page = await visit(javascript=False)
    await become_organiser(page, psql)
    await choose(page, "page", "Save", title="Chess", description="Bring a board.")
    await expect(organiser_message(page)).to_have_text("Title and description are saved.")
    await expect(page.locator("h1 bdi")).to_have_text("Chess")
    await expect(page.locator("#description")).to_have_text("Bring a board.")
    await choose(page, "places", "Save", capacity="none")
    await expect(page.locator("#new-capacity-error")).to_contain_text("Write a whole number")
    await choose(page, "places", "Save", capacity="3")
    await expect(page.locator("#total")).to_have_text("2 of 3 registered")
    await choose(page, "open", "Close registration")
    await expect(organiser_message(page)).to_have_text("Registration is closed now.")
    await expect(page.locator("#closed")).to_be_visible()
    await choose(page, "open", "Open registration")
    await expect(page.locator("#closed")).to_have_count(0)
    await choose(page, "invitation", "Ask for a code")
    await expect(page.locator("#invitation")).to_be_visible()
    await choose(page, "invitation", "No code")
    await expect(page.locator("#invitation")).to_be_hidden()
    menu = await open_menu(page, "user1")
    await menu.get_by_text("Remove…").click()
    await menu.get_by_role("button", name="Remove user1").click()
    await expect(organiser_message(page)).to_contain_text("not on the list any more")
    await expect(page.locator("#users li > bdi")).to_have_text(["user2"])
    path = await make_reset_link(page, "user2")
    await expect(page.locator("main svg")).to_be_visible()
    await page.goto(path)
    await page.locator("#new-password").fill("password")
    await page.get_by_role("button", name="Set the new password").click()
    await expect(page.locator("#new-password-error")).to_contain_text("easy to guess")
    await page.locator("#new-password").fill(OTHER_PASSWORD)
    await page.get_by_role("button", name="Set the new password").click()
    await expect(page.locator("#account-message")).to_contain_text("Your new password is set.")
    await page.get_by_role("button", name="Leave").click()
    await expect(page.locator("#account-message")).to_have_text(
        "This browser is not the organiser's any more."
    )
    await expect_no_organiser(page)


@pytest.mark.parametrize(
    ("title", "description"),
    [
        ("围棋俱乐部", "请用真名注册。\n周五见！"),
        ("<b>Chess</b> & 'go'", "<script>alert(1)</script> {{ 7 * 7 }}"),
    ],
)
async def test_title_and_description_change_in_every_window(
    page: Page, visit: Visit, psql: psycopg.Connection, title: str, description: str
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    await choose(organiser, "page", "Save", title=f"  {title} ", description=description)
    await expect(organiser_message(organiser)).to_have_text("Title and description are saved.")
    for window in page, organiser, await visit():
        await expect(window.locator("h1 bdi")).to_have_text(title)
        await expect(window.locator("#description")).to_have_text(description)
        await expect(window).to_have_title(title)
        await expect(window.locator("h1 b, #description script")).to_have_count(0)
    await expect(organiser.locator("#new-title")).to_have_value(title)
    await choose(organiser, "page", "Save", title="", description="")
    for window in page, organiser, await visit():
        await expect(window.locator("h1 bdi")).to_have_text("Roster")
        await expect(window.locator("#description")).to_have_text(DEFAULT_DESCRIPTION)
        await expect(window).to_have_title(DEFAULT_TITLE)


async def test_a_removed_person_vanishes_everywhere_and_is_signed_out(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser, second = await visit(), await visit()
    for window in organiser, second:
        await become_organiser(window, psql)
    await register(page, "Zoe")
    menu = await open_menu(organiser, "Zoe")
    remove = menu.get_by_role("button", name="Remove Zoe")
    await expect(remove).to_be_hidden()
    await menu.get_by_text("Remove…").click()
    await expect(menu).to_contain_text("Remove Zoe? The account is deleted at once")
    await remove.click()
    await expect(organiser_message(organiser)).to_have_text(
        "This person is not on the list any more, and is signed out everywhere."
    )
    for window in organiser, second, page:
        await expect(window.locator("#users li")).to_have_count(0)
        await expect(window.locator("#count")).to_have_text("0")
    await page.locator("#account summary").click()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill(OTHER_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#account")).not_to_contain_text("Signed in as")
    await expect(page.locator("#account")).to_contain_text("signed out")


async def test_an_open_menu_stays_open_while_others_register(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 2)
    organiser = await visit()
    await become_organiser(organiser, psql)
    menu = await open_menu(organiser, "user1")
    await menu.get_by_text("Remove…").click()
    remove = menu.get_by_role("button", name="Remove user1")
    await remove.focus()
    await register(page, "Zoe")
    await expect(organiser.locator("#users li > bdi").first).to_have_text("Zoe")
    await expect(remove).to_be_visible()
    await expect(remove).to_be_focused()
    await expect(organiser.locator(".person[open]")).to_have_count(1)
    await remove.click()
    await expect(organiser_message(organiser)).to_contain_text("not on the list any more")
    assert usernames(psql) == ["user2", "Zoe"]


async def test_a_person_who_was_searched_for_can_be_removed(visit: Visit, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    page = await visit()
    await become_organiser(page, psql)
    await page.goto("/?q=user")
    menu = await open_menu(page, "user1")
    await menu.get_by_text("Remove…").click()
    await menu.get_by_role("button", name="Remove user1").click()
    await expect(page.locator("#users li > bdi")).to_have_text(["user2"])
    await expect(organiser_message(page)).to_be_focused()


async def test_a_reset_link_sets_a_password_once(page: Page, visit: Visit, psql: psycopg.Connection) -> None:
    await register(page, "Zoe")
    organiser = await visit()
    await become_organiser(organiser, psql)
    path = await make_reset_link(organiser, "Zoe")
    await expect(organiser.locator(".reset-link")).to_be_focused()
    await expect(organiser_message(organiser)).to_contain_text("With this link Zoe sets a new password.")
    await expect(organiser.locator(".reset-link svg")).to_be_visible()
    visitor = await visit(path)
    await expect(visitor.locator("main")).to_contain_text("For Zoe.")
    await visitor.get_by_label("New password").fill(OTHER_PASSWORD)
    await visitor.keyboard.press("Enter")
    await expect(visitor.locator("#account-message")).to_contain_text("Your new password is set.")
    await expect(visitor.locator("#account")).to_contain_text("Signed in as Zoe")
    await page.reload()
    await expect(page.locator("#account")).not_to_contain_text("Signed in as")
    await sign_in(page, "Zoe", PASSWORD)
    await expect(page.locator("#sign-in-password-error")).to_have_text("User name or password is wrong.")
    late = await visit("/")
    response = await late.goto(path)
    assert response
    assert response.status == 404
    await expect(late.locator("h2")).to_have_text(
        "This link has been used or has expired. Ask for a new one."
    )


async def press_tab_until(page: Page, target: Locator) -> None:
    """Move the focus to an element with the Tab key."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await target.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail(f"the Tab key does not reach {target}")


async def test_the_panel_works_with_the_keyboard_alone(visit: Visit, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    page = await visit()
    await become_organiser(page, psql)
    await press_tab_until(page, page.get_by_role("button", name="Close registration"))
    await page.keyboard.press("Enter")
    await expect(organiser_message(page)).to_have_text("Registration is closed now.")
    await expect(page.locator("body")).not_to_be_focused()
    await press_tab_until(page, page.locator("#organiser-panel summary", has_text="Title"))
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator("#new-title")).to_be_focused()
    await page.keyboard.type("Chess")
    await page.keyboard.press("Enter")
    await expect(organiser_message(page)).to_have_text("Title and description are saved.")
    await expect(page.locator("h1 bdi")).to_have_text("Chess")
    await expect(page.locator("#new-title")).to_be_focused()
    await press_tab_until(page, page.get_by_label("Manage user1"))
    await page.keyboard.press("Enter")
    await press_tab_until(page, page.locator(".person[open] details > summary"))
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Remove user1")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(organiser_message(page)).to_contain_text("not on the list any more")
    await expect(page.locator("#users li > bdi")).to_have_text(["user2"])
    await expect(page.locator("body")).not_to_be_focused()


async def test_the_panel_speaks_chinese(visit: Visit, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    page = await visit(locale="zh-CN")
    await become_organiser(page, psql)
    panel = page.locator("#organiser-panel")
    await expect(page.locator("#organiser-title")).to_have_text("您是组织者")
    await expect(panel).to_contain_text("邀请码：无")
    await choose(page, "open", "关闭注册")
    await expect(page.locator("#register-state")).not_to_contain_text("Registration")
    other = await visit()
    await become_organiser(other, psql)
    await choose(other, "open", "Open registration")
    await expect(panel.get_by_role("button", name="关闭注册")).to_be_visible()
    await expect(panel.get_by_text("Close registration")).to_have_count(0)
