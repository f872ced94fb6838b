"""The account: signing in and out, changing the password, deletion."""

import psycopg
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.browser.helpers import PHONE, Visit, add_listed_users, register, sign_in
from tests.helpers import OTHER_PASSWORD, PASSWORD, add_users

TRANSPARENT = "rgba(0, 0, 0, 0)"


async def background_color(element: Locator) -> str:
    return str(await element.evaluate("(element) => getComputedStyle(element).backgroundColor"))


async def test_the_sign_in_link_leads_to_a_form_with_the_name(page: Page) -> None:
    await page.set_viewport_size(PHONE)
    await register(page, "Zoe")
    await page.get_by_role("button", name="Sign out").first.click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out.")
    await page.goto("/?registered=Zoe")
    await expect(page.locator("#register-message")).to_contain_text("Zoe is registered.")
    await page.locator("#account summary").click()  # closes it
    await page.get_by_role("link", name="Sign in").click()
    await expect(page.locator("[for=sign-in-username]")).to_be_in_viewport(ratio=1)
    await expect(page.locator("#sign-in-username")).to_have_value("Zoe")
    await page.locator("#sign-in-password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_have_text("You are signed in.")
    await expect(page.locator("#account")).to_contain_text("Signed in as Zoe")
    await expect(page.locator("#account-message")).to_be_focused()
    await expect(page.locator("#register-message")).to_be_empty()
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])


async def test_whoever_opens_the_address_of_a_registration_can_sign_in(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 1, "zoe")
    await page.goto("/?registered=zoe1")
    await expect(page.locator("#register-message")).to_have_text("zoe1 is registered. Sign in")
    await expect(page.locator("#sign-in-username")).to_have_value("zoe1")
    await expect(page.locator("#sign-in-password")).to_be_visible()


async def test_the_own_row_is_marked_until_the_sign_out(page: Page, psql: psycopg.Connection) -> None:
    await register(page, "Zoe")
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    add_users(psql, 1)
    await expect(page.locator("#newest li")).to_have_count(2)
    await expect(page.locator("#newest li").nth(1)).to_contain_text("Zoe you")
    await expect(page.locator("#newest li em")).to_have_count(1)
    assert await background_color(page.locator("#newest li").nth(0)) == TRANSPARENT
    assert await background_color(page.locator("#newest li").nth(1)) != TRANSPARENT
    await page.locator("#register summary").click()
    await page.locator("#username").fill("eve")  # what is swapped for this is not the list
    await expect(page.locator("#availability")).to_have_text("eve is free.")
    await expect(page.locator("#newest li em")).to_have_count(1)
    await page.reload()
    await expect(page.locator("#newest li em")).to_have_count(1)
    await page.get_by_label("Search").fill("zoe")
    await expect(page.locator("#users-title")).to_have_text("1 person found")
    await expect(page.locator("#users li")).to_contain_text(["Zoe you"])
    await page.get_by_role("button", name="Sign out").first.click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out.")
    await expect(page.locator("#users li em")).to_have_count(0)
    await page.go_back()
    await expect(page.locator("#newest li")).to_have_count(2)
    await expect(page.locator("#newest li em")).to_have_count(0)
    await expect(page.locator("#account")).not_to_contain_text("Signed in as")


async def test_a_wrong_password_keeps_the_name_with_the_error_at_its_field(page: Page) -> None:
    await sign_in(page, "nobody", OTHER_PASSWORD)
    password = page.locator("#sign-in-password")
    await expect(page.locator("#sign-in-password-error")).to_have_text("User name or password is wrong.")
    await expect(page.locator("#sign-in-username")).to_have_value("nobody")
    await expect(password).to_have_value(OTHER_PASSWORD)
    await expect(password).to_be_focused()
    await expect(password).to_have_accessible_description("User name or password is wrong.")
    await page.keyboard.type("x")
    await expect(page.locator("#sign-in-password-error")).to_be_empty()
    await expect(password).to_have_accessible_description("")


async def test_password_change_and_deletion_work_with_the_keyboard(
    page: Page, context: BrowserContext
) -> None:
    await register(page, "Zoe")
    await expect(page.locator("#account")).to_contain_text("Signed in as Zoe")
    watching = await context.new_page()
    await watching.goto("/")
    await page.locator("#account summary").press("Enter")
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill("password")
    await page.keyboard.press("Enter")
    await expect(page.locator("#new-password-error")).to_contain_text("easy to guess")
    await expect(page.get_by_label("New password")).to_be_focused()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill(OTHER_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_contain_text("Your password is changed.")
    await page.locator("#account summary").press("Enter")
    await page.get_by_label("to delete the account").fill(OTHER_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_have_text("Your account is deleted.")
    await expect(page.locator("#newest li")).to_have_count(0)
    await expect(page.locator("#count")).to_have_text("0")
    await expect(watching.locator("#newest li")).to_have_count(0)
    await sign_in(page, "Zoe", OTHER_PASSWORD)
    await expect(page.locator("#sign-in-password-error")).to_have_text("User name or password is wrong.")


async def test_the_account_works_without_javascript(visit: Visit) -> None:
    page = await visit(javascript=False)
    await register(page, "Zoe")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out.")
    await sign_in(page, "Zoe")
    await expect(page.locator("#account-message")).to_have_text("You are signed in.")
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    await page.locator("#account summary").click()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill(OTHER_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#account-message")).to_contain_text("Your password is changed.")
    await page.locator("#account summary").click()
    await page.get_by_role("button", name="Sign out everywhere").click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out everywhere.")
