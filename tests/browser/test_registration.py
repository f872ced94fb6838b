"""Registration, and the scripts of its form."""

import asyncio
import re

import psycopg
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.helpers import (
    Visit,
    add_listed_users,
    fill_register_form,
    note_requests,
    register,
)
from tests.helpers import PASSWORD, add_users, usernames

RED = "rgb(163, 38, 28)"


async def is_below(page: Page, lower: str, upper: str) -> bool:
    boxes = [await page.locator(selector).bounding_box() for selector in (lower, upper)]
    assert boxes[0]
    assert boxes[1]
    return boxes[0]["y"] >= boxes[1]["y"] + boxes[1]["height"]


async def color(page: Page, selector: str) -> str:
    return str(await page.locator(selector).evaluate("(element) => getComputedStyle(element).color"))


async def test_a_registration_signs_in_and_changes_the_list(page: Page) -> None:
    await expect(page.get_by_text("Be the first")).to_be_visible()
    await register(page, "Zoe")
    await expect(page.locator("#register-message svg.mark")).to_be_visible()
    await expect(page.locator(".welcome")).to_have_text("Zoe, you are in")
    await expect(page.locator("#register-message")).to_contain_text("You are the 1st person here.")
    await expect(page.locator("#account-panel")).to_contain_text("Signed in as Zoe")
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    await expect(page.locator("#count")).to_have_text("1")
    await expect(page.get_by_text("Be the first")).to_be_hidden()
    await expect(page.get_by_text("Register somebody else")).to_be_focused()
    await expect(page.locator("#username")).to_be_hidden()
    await expect(page).to_have_url("/")


async def test_several_users_register_with_the_keyboard(page: Page) -> None:
    await page.locator("#username").focus()
    for place, name in (("1st", "张三"), ("2nd", "李四"), ("3rd", "王五")):
        await page.keyboard.type(name)
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        if place == "1st":
            await expect(page.locator(".welcome")).to_have_text(f"{name}, you are in")
            await page.keyboard.press("Enter")  # the focus is on "Register somebody else"
            await page.keyboard.press("Tab")
        else:
            await expect(page.locator("#register-message")).to_have_text(
                f"{name} is registered. This is the {place} person here."
            )
        await expect(page.locator("#username")).to_be_focused()
        await expect(page.locator("#username")).to_have_value("")
    await expect(page.locator("#newest li bdi")).to_have_text(["王五", "李四", "张三"])
    await expect(page.locator("#account-panel")).to_contain_text("Signed in as 张三")


async def test_no_place_is_shown_to_somebody_who_is_not_on_the_newest_page(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 51)
    await page.goto("/?registered=user1")
    await expect(page.locator("#register-message")).to_have_text("user1 is registered. Sign in")


async def test_an_existing_name_is_kept_with_the_error_at_its_field(
    page: Page, psql: psycopg.Connection
) -> None:
    add_users(psql, 1, "zoe")
    await page.evaluate("message = document.querySelector('#register-message')")
    await page.locator("#register .reveal").click()
    await register(page, "ZOE1")
    username = page.locator("#username")
    await expect(page.locator("#register-message")).to_have_text(
        "ZOE1 already exists. Choose another user name."
    )
    await expect(username).to_have_value("ZOE1")
    await expect(username).to_be_focused()
    await expect(username).to_have_attribute("aria-invalid", "true")
    await expect(username).to_have_accessible_description("ZOE1 already exists. Choose another user name.")
    await expect(page.locator("#password")).to_have_value(PASSWORD)
    await expect(page.locator("#password")).to_have_attribute("type", "text")
    await expect(page.locator("#register .reveal")).to_have_accessible_name("Hide")
    # The live region that was on the page from the start is the one that speaks, and stands by the field.
    assert await page.evaluate("message === document.querySelector('#register-message')")
    assert await is_below(page, "#register-message", "#username")
    assert await is_below(page, "#password", "#register-message")


async def test_a_weak_password_shows_advice_at_its_field(page: Page) -> None:
    await register(page, "zoe", "password")
    await expect(page.locator("#register-message")).to_contain_text("easy to guess")
    await expect(page.locator("#password")).to_be_focused()
    await expect(page.locator("#username")).to_have_value("zoe")
    await expect(page.locator("#password")).to_have_value("password")
    assert await is_below(page, "#register-message", "#password")
    assert await is_below(page, "#register-form > button", "#register-message")


async def test_a_taken_name_is_also_shown_beside_a_weak_password(
    page: Page, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    await register(page, "user1", "password")
    await expect(page.locator("#register-message")).to_contain_text("easy to guess")
    await expect(page.locator("#availability")).to_contain_text("user1 already exists")


async def test_only_errors_are_red(offline_page: Page, psql: psycopg.Connection) -> None:
    page = offline_page
    add_users(psql, 1)
    await page.locator("#username").fill("user1")
    await expect(page.locator("#availability")).to_contain_text("exists")
    assert await color(page, "#availability") == RED
    await fill_register_form(page, "zoe")
    await expect(page.locator("#availability")).to_contain_text("is free")
    assert await color(page, "#availability") != RED
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("you are in")
    assert await color(page, "#register-message") != RED
    await page.locator("#register summary").click()
    await page.context.set_offline(offline=True)
    await register(page, "eve")
    await expect(page.locator("#register-message")).to_contain_text("No answer came")
    assert await color(page, "#register-message") == RED


async def test_availability_is_shown_while_somebody_types(page: Page, psql: psycopg.Connection) -> None:
    add_users(psql, 1, "zoe")
    username, availability = page.locator("#username"), page.locator("#availability")
    await username.press_sequentially("zoe")
    await expect(availability).to_have_text("zoe is free.")
    await username.press_sequentially("1")
    await expect(availability).to_have_text("zoe1 already exists. Choose another user name.")
    await username.fill("a b")
    await expect(availability).to_contain_text("no spaces")


async def test_a_password_is_checked_while_somebody_types(page: Page) -> None:
    password, check = page.locator("#password"), page.locator("#password-check")
    await expect(check).to_contain_text("At least 8 characters")
    await password.press_sequentially("password")
    await expect(check).to_contain_text("easy to guess")
    await password.fill(PASSWORD)
    await expect(check).to_have_text("This password will do.")
    await expect(password).to_have_accessible_description("This password will do.")


async def test_a_user_name_that_stays_the_same_is_not_checked_again(page: Page) -> None:
    requests = note_requests(page, "register/check")
    username = page.locator("#username")
    await page.clock.install()
    await page.reload()
    await username.fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    await username.fill("eve")
    await username.fill("zoe")
    await page.clock.run_for(1000)
    await username.fill("ada")
    await expect(page.locator("#availability")).to_have_text("ada is free.")
    assert [request for request in requests if "eve" not in request] == [
        "register/check?username=zoe",
        "register/check?username=ada",
    ]


async def test_a_double_click_registers_once(page: Page, psql: psycopg.Connection) -> None:
    requests = note_requests(page, "register")
    await fill_register_form(page, "zoe")
    await page.get_by_role("button", name="Register").dblclick()
    await expect(page.locator(".welcome")).to_have_text("zoe, you are in")
    await expect(page.locator("#register-form > button")).to_be_enabled()
    await expect(page.locator(".welcome")).to_have_text("zoe, you are in")
    assert requests == ["register"]
    assert usernames(psql) == ["zoe"]


async def test_an_empty_form_is_not_sent(page: Page) -> None:
    requests = note_requests(page, "register", "sign-in")
    username, password = page.locator("#username"), page.locator("#password")
    for field, text in (username, "zoe"), (password, PASSWORD):
        await page.get_by_role("button", name="Register").click()
        await expect(field).to_be_focused()
        await field.fill(text)
    await page.locator("#account summary").click()
    for field, text in (page.locator("#sign-in-username"), "zoe"), (page.locator("#sign-in-password"), ""):
        await page.locator("#sign-in").get_by_role("button", name="Sign in").click()
        await expect(field).to_be_focused()
        await field.fill(text)
    assert requests == []


async def test_a_form_is_not_sent_twice_on_a_slow_network(page: Page) -> None:
    requests = note_requests(page, "register")
    respond = asyncio.Event()

    async def hold(route: Route) -> None:
        await respond.wait()
        await route.continue_()

    await page.route("**/register", hold)
    await register(page, "zoe")
    await expect(page.get_by_role("button", name="Register")).to_be_disabled()
    await page.locator("#password").press("Enter")
    respond.set()
    await expect(page.locator(".welcome")).to_have_text("zoe, you are in")
    assert requests == ["register"]


@pytest.mark.parametrize(("form", "path"), [("#register-form", "register"), ("#sign-in", "sign-in")])
async def test_a_second_submit_is_not_sent_after_the_first_has_failed(
    offline_page: Page, psql: psycopg.Connection, form: str, path: str
) -> None:
    page = offline_page
    add_users(psql, 1)
    requests = note_requests(page, path)
    submit = page.locator(form).get_by_role("button", name=re.compile("Register|Sign in"))
    respond = asyncio.Event()

    async def fail(route: Route) -> None:
        await respond.wait()
        await route.abort()

    await page.route(f"**/{path}", fail)
    await page.locator("#account summary").click()
    for field in await page.locator(form).locator("input:visible").all():
        await field.fill(PASSWORD)
    await submit.click()
    await expect(submit).to_be_disabled()
    await page.locator(form).evaluate("(form) => form.requestSubmit()")
    respond.set()
    await expect(submit).to_be_enabled()
    await page.get_by_label("Search").fill("zoe")
    await expect(page).to_have_url("/?q=zoe")
    assert requests == [path]


async def test_an_error_disappears_when_the_text_changes(page: Page, psql: psycopg.Connection) -> None:
    username, message = page.locator("#username"), page.locator("#register-message")
    add_users(psql, 1, "zoe")
    await register(page, "zoe1")
    await expect(message).to_contain_text("already exists")
    await username.press("a")
    await expect(message).to_be_empty()
    await expect(username).not_to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#availability")).to_contain_text("is free")
    await expect(username).to_have_accessible_description("zoe1a is free.")
    await page.route("**/register/check**", lambda route: route.abort())
    await username.press("b")
    await expect(page.locator("#availability")).to_be_empty()
    await expect(message).to_be_empty()


async def test_a_password_field_gets_its_hint_back_after_an_error(page: Page) -> None:
    password, hint = page.locator("#password"), re.compile("^At least 8 characters")
    await page.route("**/register/check", lambda route: route.fulfill(status=204))
    await expect(password).to_have_accessible_description(hint)
    await register(page, "zoe", "password")
    await expect(page.locator("#register-message")).to_contain_text("easy to guess")
    await expect(password).to_have_accessible_description(
        await page.locator("#register-message").inner_text()
    )
    for _ in range(2):  # the second key finds no error
        await password.press("x")
        await expect(page.locator("#register-message")).to_be_empty()
        await expect(password).to_have_accessible_description(hint)


async def test_fields_are_read_only_while_the_form_is_sent(page: Page) -> None:
    respond = asyncio.Event()

    async def hold(route: Route) -> None:
        await respond.wait()
        await route.continue_()

    await page.route("**/register", hold)
    await register(page, "zoe")
    await expect(page.locator("#username")).not_to_be_editable()
    await expect(page.locator("#password")).not_to_be_editable()
    respond.set()
    await expect(page.locator(".welcome")).to_have_text("zoe, you are in")
    await expect(page.locator("#username")).to_be_editable()


async def test_registration_and_paging_work_without_javascript(
    visit: Visit, psql: psycopg.Connection
) -> None:
    page = await visit(javascript=False)
    await register(page, "Zoe")
    await expect(page.locator(".welcome")).to_have_text("Zoe, you are in")
    await expect(page.locator("#newest li")).to_contain_text(["Zoe you"])
    await expect(page.get_by_text("Register somebody else")).to_be_focused()
    await page.keyboard.press("Enter")
    await register(page, "zoe")
    await expect(page.locator("#register-message")).to_have_text(
        "zoe already exists. Choose another user name."
    )
    await expect(page.locator("#username")).to_have_value("zoe")
    await expect(page.locator("#password")).to_have_value("")
    await add_listed_users(page, psql, 60)
    await page.goto("/")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi").last).to_have_text("Zoe")
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator("#newest li")).to_have_count(50)
