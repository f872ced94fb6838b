import psycopg
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.conftest import PASSWORD, add_users

OTHER = "amber-heron-kite-52"


async def register(page: Page, username: str) -> None:
    form = page.locator("#register")
    await form.get_by_label("User name").fill(username)
    await form.get_by_label("Password").fill(PASSWORD)
    await form.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text(f"{username} is registered.")


async def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.get_by_text("Sign in", exact=True).first.click()
    form = page.locator("#sign-in")
    await form.get_by_label("User name").fill(username)
    await form.get_by_label("Password").fill(password)
    await form.get_by_role("button", name="Sign in").click()


async def test_after_registering_the_link_leads_to_signing_in_with_the_name_filled_in(
    page: Page, database: psycopg.Connection
) -> None:
    await register(page, "Zoe")
    await page.get_by_role("link", name="Sign in").click()
    await expect(page.locator("#sign-in-username")).to_have_value("Zoe")
    await expect(page.locator("#sign-in-password")).to_be_focused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_have_text("You are signed in.")
    await expect(page.locator("#account")).to_contain_text("Signed in as Zoe")
    await expect(page.locator("#account-message")).to_be_focused()
    await expect(page.locator("#register-message")).to_be_empty()
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    add_users(database, 1)
    await expect(page.locator("#newest li")).to_have_count(2)
    await expect(page.locator("#newest li").nth(1)).to_contain_text("Zoe you")
    await expect(page.locator("#newest li em")).to_have_count(1)
    await page.reload()
    await expect(page.locator("#newest li em")).to_have_count(1)
    await page.get_by_role("button", name="Sign out").first.click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out.")
    await expect(page.locator("#newest li em")).to_have_count(0)
    await page.go_back()
    await expect(page.locator("#account")).not_to_contain_text("Signed in as")


async def test_a_wrong_password_keeps_the_name_and_is_said_by_its_field(page: Page) -> None:
    await sign_in(page, "nobody", OTHER)
    password = page.locator("#sign-in-password")
    await expect(page.locator("#sign-in-password-error")).to_have_text("User name or password is wrong.")
    await expect(page.locator("#sign-in-username")).to_have_value("nobody")
    await expect(password).to_have_value("")
    await expect(password).to_be_focused()
    await expect(password).to_have_accessible_description("User name or password is wrong.")
    await page.keyboard.type("x")
    await expect(page.locator("#sign-in-password-error")).to_be_empty()
    await expect(password).to_have_accessible_description("")


async def test_the_password_is_changed_and_the_account_deleted_with_the_keyboard(
    page: Page, context: BrowserContext
) -> None:
    await register(page, "Zoe")
    await sign_in(page, "Zoe")
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
    await page.get_by_label("New password").fill(OTHER)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_contain_text("Your password is changed.")
    await page.locator("#account summary").press("Enter")
    await page.get_by_label("to delete the account").fill(OTHER)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-message")).to_have_text("Your account is deleted.")
    await expect(page.locator("#newest li")).to_have_count(0)
    await expect(page.locator("#count")).to_have_text("0")
    await expect(watching.locator("#newest li")).to_have_count(0)
    await sign_in(page, "Zoe", OTHER)
    await expect(page.locator("#sign-in-password-error")).to_have_text("User name or password is wrong.")


async def test_without_javascript_the_account_works_by_whole_pages(browser: Browser, url: str) -> None:
    page = await browser.new_page(base_url=url, java_script_enabled=False)
    await page.goto("/")
    await register(page, "Zoe")
    await page.get_by_role("link", name="Sign in").click()
    await page.locator("#sign-in-password").fill(PASSWORD)
    await page.locator("#sign-in").get_by_role("button").click()
    await expect(page.locator("#account-message")).to_have_text("You are signed in.")
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    await page.locator("#account summary").click()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill(OTHER)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#account-message")).to_contain_text("Your password is changed.")
    await page.locator("#account summary").click()
    await page.get_by_role("button", name="Sign out everywhere").click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out everywhere.")
    await page.context.close()
