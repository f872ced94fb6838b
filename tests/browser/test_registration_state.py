"""What an organiser's choices do to the form in other windows: closed, full, by invitation."""

import psycopg
from playwright.async_api import Page, expect

from services.registration_rules import format_invitation
from tests.browser.helpers import (
    PUBLIC_ORIGIN,
    Visit,
    become_organiser,
    choose,
    fill_register_form,
    register,
    wait_until_live,
)
from tests.helpers import PASSWORD, add_users, usernames


def invitation(psql: psycopg.Connection) -> str:
    """Return the present code."""
    [code] = psql.execute("SELECT invitation FROM roster").fetchone() or [""]
    return str(code)


async def ask_for_a_code(organiser: Page, psql: psycopg.Connection, button: str = "Ask for a code") -> str:
    """Return the new code."""
    async with organiser.expect_response("**/organiser/invitation"):
        await choose(organiser, "invitation", button)
    await expect(organiser.locator("#organiser-message")).to_contain_text("new code")
    return invitation(psql)


async def expect_typed(page: Page, username: str) -> None:
    await expect(page.locator("#username")).to_have_value(username)
    await expect(page.locator("#password")).to_have_value(PASSWORD)


async def test_closed_registration_takes_the_place_of_the_form(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    await choose(organiser, "open", "Close registration")
    await expect(organiser.locator("#organiser-message")).to_have_text("Registration is closed now.")
    for window in page, organiser, await visit(), await visit(javascript=False):
        await expect(window.locator("#closed")).to_have_text("Registration is closed.")
        await expect(window.locator("#register-form")).to_be_hidden()
    await choose(organiser, "open", "Open registration")
    await expect(organiser.locator("#organiser-message")).to_have_text("Registration is open now.")
    for window in page, organiser, await visit():
        await expect(window.locator("#register-form")).to_be_visible()
        await expect(window.locator("#closed")).to_have_count(0)
    await register(page, "zoe")
    await expect(page.locator("#register-message")).to_contain_text("zoe, you are in")


async def test_whoever_types_while_registration_closes_keeps_the_form_and_is_told(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    await fill_register_form(page, "zoe")
    await choose(organiser, "open", "Close registration")
    await expect(page.locator("#closed")).to_be_visible()
    await expect(page.locator("#password")).to_be_focused()
    await expect_typed(page, "zoe")
    async with page.expect_response("**/register") as response:
        await page.keyboard.press("Enter")
    assert (await response.value).status == 403
    await expect(page.locator("#register-message")).to_have_text(
        "This comes too late: registration is closed."
    )
    await expect_typed(page, "zoe")
    await page.locator("#count").click()
    await expect(page.locator("#password")).to_be_visible()
    await choose(organiser, "open", "Open registration")
    await expect(page.locator("#closed")).to_have_count(0)
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("zoe, you are in")


async def test_a_form_with_the_focus_alone_stays_while_registration_is_closed(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    await page.locator("#username").focus()
    await choose(organiser, "open", "Close registration")
    await expect(page.locator("#closed")).to_be_visible()
    await expect(page.locator("#username")).to_be_focused()
    await page.locator("#count").click()
    await expect(page.locator("#register-form")).to_be_hidden()


async def test_the_last_place_is_taken_and_becomes_free_in_every_window(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    organiser, kim = await visit(), await visit()
    await become_organiser(organiser, psql)
    await choose(organiser, "places", "Save", capacity="2")
    for window in page, organiser, kim:
        await expect(window.locator("#total")).to_have_text("1 of 2 registered")
    await expect(organiser.locator("#organiser-panel")).to_contain_text("Places: 2")
    await fill_register_form(page, "zoe")
    await register(kim, "Kim")
    for window in page, organiser, kim, await visit():
        await expect(window.locator("#total")).to_have_text("2 of 2 registered")
        await expect(window.locator("#closed")).to_have_text("All 2 places are taken.")
    async with page.expect_response("**/register") as response:
        await page.get_by_role("button", name="Register").click()
    assert (await response.value).status == 409
    await expect(page.locator("#register-message")).to_have_text("This comes too late: all places are taken.")
    await expect_typed(page, "zoe")
    await organiser.get_by_label("Manage Kim").click()
    await organiser.get_by_text("Remove…").locator("visible=true").click()
    await organiser.get_by_role("button", name="Remove Kim").click()
    for window in page, organiser, kim:
        await expect(window.locator("#closed")).to_have_count(0)
        await expect(window.locator("#newest li > bdi")).to_have_text(["user1"])
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("zoe, you are in")
    await choose(organiser, "places", "Save", capacity="")
    for window in page, organiser, kim:
        await expect(window.locator("#total")).to_have_text("2 registered")
        await expect(window.locator("#closed")).to_have_count(0)


async def test_a_capacity_that_is_no_number_is_refused_at_its_field(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await choose(organiser, "places", "Save", capacity="many")
    field = organiser.locator("#new-capacity")
    await expect(field).to_have_accessible_description(
        "Write a whole number from 1 to 1,000,000, or nothing for no limit."
    )
    await expect(field).to_have_value("many")
    await expect(field).to_be_focused()
    await organiser.locator("#username").focus()
    add_users(psql, 1)
    await expect(organiser.locator("#count")).to_have_text("1")
    await expect(organiser.locator("#username")).to_be_focused()
    await expect(field).to_have_value("many")
    await choose(organiser, "places", "Save", capacity="٣")
    await expect(organiser.locator("#total")).to_have_text("1 of 3 registered")
    await expect(organiser.locator("#new-capacity-error")).to_have_count(0)


async def test_an_invitation_code_is_asked_for_in_every_window(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    field = page.locator("#invitation")
    await expect(field).to_be_hidden()
    await fill_register_form(page, "zoe")
    code = await ask_for_a_code(organiser, psql)
    await expect(field).to_be_visible()
    await expect_typed(page, "zoe")
    await expect(page.get_by_label("Invitation code")).to_be_visible()
    async with page.expect_response("**/register") as response:
        await page.get_by_role("button", name="Register").click()
    assert (await response.value).status == 422
    await expect(page.locator("#register-message")).to_have_text(
        "Enter the invitation code. Ask the organiser for it."
    )
    await expect(field).to_be_focused()
    await expect_typed(page, "zoe")
    await page.keyboard.type(format_invitation(code).lower())
    await page.keyboard.press("Enter")
    await expect(page.locator("#register-message")).to_contain_text("zoe, you are in")
    await choose(organiser, "invitation", "No code")
    await expect(page.get_by_label("Invitation code")).to_be_hidden()
    await expect(organiser.locator("#organiser-panel")).to_contain_text("Invitation code: none")
    newcomer = await visit()
    await register(newcomer, "Kim")
    await expect(newcomer.locator("#register-message")).to_contain_text("Kim, you are in")


async def test_a_new_code_ends_the_old_one(visit: Visit, psql: psycopg.Connection) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    old = await ask_for_a_code(organiser, psql)
    guest = await visit(f"/?invitation={old}")
    await expect(guest.locator("#invitation")).to_have_value(old)
    await fill_register_form(guest, "zoe")
    code = await ask_for_a_code(organiser, psql, "New code")
    await guest.get_by_role("button", name="Register").click()
    await expect(guest.locator("#register-message")).to_contain_text("wrong or no longer valid")
    await expect_typed(guest, "zoe")
    assert usernames(psql) == []
    await guest.goto(f"/?invitation={code}")
    await expect(guest.locator("#invitation")).to_have_value(code)
    await register(guest, "zoe")
    await expect(guest.locator("#register-message")).to_contain_text("zoe, you are in")


async def test_the_address_with_the_code_works_without_javascript(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    code = await ask_for_a_code(organiser, psql)
    guest = await visit(javascript=False)
    await register(guest, "zoe")
    await expect(guest.locator("#register-message")).to_contain_text("Enter the invitation code.")
    await guest.goto(f"/?invitation={code}")
    await register(guest, "zoe")
    await expect(guest.locator("#register-message")).to_contain_text("zoe, you are in")


async def test_nobody_without_the_code_finds_it_in_the_page(
    page: Page, visit: Visit, psql: psycopg.Connection
) -> None:
    organiser = await visit()
    await become_organiser(organiser, psql)
    await wait_until_live(page)
    code = await ask_for_a_code(organiser, psql)
    await expect(organiser.locator("#organiser-panel")).to_contain_text(format_invitation(code))
    await expect(page.locator("#invitation")).to_be_visible()
    await expect(page.locator("#share p a")).to_have_attribute("href", PUBLIC_ORIGIN)
    pages = [
        page,
        await visit(),
        await visit("/?q=z"),
        await visit("/share"),
        await visit("/?invitation=WRONG"),
    ]
    for window in pages:
        html = await window.content()
        assert code not in html
        assert format_invitation(code) not in html


async def test_the_address_to_share_follows_the_code_in_windows_of_organisers(
    visit: Visit, psql: psycopg.Connection
) -> None:
    organiser, second = await visit(), await visit()
    for window in organiser, second:
        await become_organiser(window, psql)
        await window.set_viewport_size({"width": 1280, "height": 1600})
        await expect(window.locator("#share p a")).to_have_attribute("href", PUBLIC_ORIGIN)
    for button in "Ask for a code", "New code":
        code = await ask_for_a_code(organiser, psql, button)
        for window in organiser, second:
            await expect(window.locator("#share p a")).to_have_attribute(
                "href", f"{PUBLIC_ORIGIN}/?invitation={code}"
            )
            await expect(window.locator("#share")).to_contain_text(format_invitation(code))
            await expect(window.locator("#share .qr")).to_have_count(1)
    await choose(organiser, "invitation", "No code")
    for window in organiser, second:
        await expect(window.locator("#share p a")).to_have_attribute("href", PUBLIC_ORIGIN)
