import asyncio

import psycopg
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from tests.conftest import PASSWORD, add_users


async def fill_in(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.locator("#register").get_by_label("User name").fill(username)
    await page.locator("#register").get_by_label("Password").fill(password)


async def test_a_stranger_registers_and_sees_the_list_change(page: Page) -> None:
    await expect(page.get_by_text("Be the first")).to_be_visible()
    await fill_in(page, "Zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_have_text("Zoe is registered. Sign in")
    await expect(page.locator("#newest li bdi")).to_have_text(["Zoe"])
    await expect(page.locator("#count")).to_have_text("1")
    await expect(page.get_by_text("Be the first")).to_be_hidden()
    await expect(page.locator("#register").get_by_label("User name")).to_have_value("")
    await expect(page.locator("#register").get_by_label("Password")).to_have_value("")
    await expect(page.locator("#register").get_by_label("User name")).to_be_focused()
    assert page.url.endswith("/")


async def test_the_keyboard_alone_registers_one_after_the_other(page: Page) -> None:
    await page.locator("#register").get_by_label("User name").focus()
    for number, name in enumerate(("张三", "李四"), start=1):
        await page.keyboard.type(name)
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("#register-message")).to_have_text(f"{name} is registered. Sign in")
        await expect(page.locator("#count")).to_have_text(str(number))
        await expect(page.locator("#register").get_by_label("User name")).to_be_focused()
    await expect(page.locator("#newest li bdi")).to_have_text(["李四", "张三"])


async def test_a_name_that_exists_is_said_by_its_field_and_kept(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1, "zoe")
    await page.evaluate("message = document.querySelector('#register-message')")
    await fill_in(page, "ZOE1")
    await page.get_by_role("button", name="Register").click()
    username = page.locator("#register").get_by_label("User name")
    await expect(page.locator("#register-message")).to_have_text(
        "ZOE1 already exists. Choose another user name."
    )
    await expect(username).to_have_value("ZOE1")
    await expect(username).to_be_focused()
    await expect(username).to_have_attribute("aria-invalid", "true")
    await expect(username).to_have_accessible_description("ZOE1 already exists. Choose another user name.")
    await expect(page.locator("#register").get_by_label("Password")).to_have_value("")
    # The live region that was on the page from the start is the one that speaks, and stands by the field.
    assert await page.evaluate("message === document.querySelector('#register-message')")
    assert await below(page, "#register-message", "#username")
    assert await below(page, "#password", "#register-message")


async def test_a_weak_password_is_said_by_its_field_with_advice(page: Page) -> None:
    await fill_in(page, "zoe", "password")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("easy to guess")
    await expect(page.locator("#register").get_by_label("Password")).to_be_focused()
    await expect(page.locator("#register").get_by_label("User name")).to_have_value("zoe")
    assert await below(page, "#register-message", "#password")
    assert await below(page, "#register-form > button", "#register-message")


async def test_a_name_that_is_taken_is_still_said_beside_a_weak_password(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await fill_in(page, "user1", "password")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("easy to guess")
    await expect(page.locator("#availability")).to_contain_text("user1 already exists")


async def test_what_did_not_work_is_red_and_what_did_is_not(
    context: BrowserContext, database: psycopg.Connection
) -> None:
    page = await context.new_page()
    await page.goto("/")

    async def colour(selector: str) -> str:
        return str(await page.locator(selector).evaluate("(element) => getComputedStyle(element).color"))

    red = "rgb(163, 38, 28)"
    add_users(database, 1)
    await page.locator("#username").fill("user1")
    await expect(page.locator("#availability")).to_contain_text("exists")
    assert await colour("#availability") == red
    await fill_in(page, "zoe")
    await expect(page.locator("#availability")).to_contain_text("is free")
    assert await colour("#availability") != red
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("is registered")
    assert await colour("#register-message") != red
    await context.set_offline(offline=True)
    await fill_in(page, "eve")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("no connection")
    assert await colour("#register-message") == red


async def below(page: Page, lower: str, upper: str) -> bool:
    boxes = [await page.locator(selector).bounding_box() for selector in (lower, upper)]
    assert boxes[0]
    assert boxes[1]
    return boxes[0]["y"] >= boxes[1]["y"] + boxes[1]["height"]


async def test_availability_is_said_while_typing(page: Page, database: psycopg.Connection) -> None:
    add_users(database, 1, "zoe")
    username, availability = (
        page.locator("#register").get_by_label("User name"),
        page.locator("#availability"),
    )
    await username.press_sequentially("zoe")
    await expect(availability).to_have_text("zoe is free.")
    await username.press_sequentially("1")
    await expect(availability).to_have_text("zoe1 already exists. Choose another user name.")
    await username.fill("a b")
    await expect(availability).to_contain_text("no spaces")


async def test_a_double_click_registers_once_and_says_success(
    page: Page, database: psycopg.Connection
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").dblclick()
    await expect(page.locator("#register-message")).to_have_text("zoe is registered. Sign in")
    await expect(page.get_by_role("button", name="Register")).to_be_enabled()
    await expect(page.locator("#register-message")).to_have_text("zoe is registered. Sign in")
    assert sent.count("POST") == 1
    assert database.execute("SELECT count(*) FROM users").fetchone() == (1,)


async def test_on_a_slow_network_the_button_waits_and_a_second_try_is_not_sent(page: Page) -> None:
    sent = 0
    answer = asyncio.Event()

    async def hold(route: Route) -> None:
        nonlocal sent
        sent += 1
        await answer.wait()
        await route.continue_()

    await page.route("**/register", hold)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.get_by_role("button", name="Register")).to_be_disabled()
    await page.locator("#register").get_by_label("Password").press("Enter")
    answer.set()
    await expect(page.locator("#register-message")).to_have_text("zoe is registered. Sign in")
    assert sent == 1


async def test_without_a_connection_the_page_says_so_and_keeps_what_was_typed(
    browser: Browser, url: str
) -> None:
    page = await browser.new_page(base_url=url)
    await page.goto("/")
    await page.context.set_offline(offline=True)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("no connection")
    await expect(page.locator("#register").get_by_label("Password")).to_have_value(PASSWORD)
    await page.context.set_offline(offline=False)
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_have_text("zoe is registered. Sign in")
    await page.context.close()


async def test_a_proxys_own_error_page_replaces_nothing(page: Page) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=502, body="<h1>502 Bad Gateway</h1>", content_type="text/html")

    await page.route("**/register", fail)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("no connection")
    await expect(page.locator("#register").get_by_label("User name")).to_have_value("zoe")
    await expect(page.locator("#register").get_by_label("Password")).to_have_value(PASSWORD)
    await expect(page.locator("#register").get_by_label("User name")).to_be_editable()


async def test_what_was_said_of_a_name_is_taken_back_when_it_changes(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1, "zoe")
    await fill_in(page, "zoe1")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("already exists")
    await page.locator("#register").get_by_label("User name").press("a")
    await expect(page.locator("#register-message")).to_be_empty()
    await expect(page.locator("#register").get_by_label("User name")).not_to_have_attribute(
        "aria-invalid", "true"
    )
    await expect(page.locator("#availability")).to_contain_text("is free")
    await expect(page.locator("#register").get_by_label("User name")).to_have_accessible_description(
        "azoe1 is free."
    )
    await page.route("**/register/check**", lambda route: route.abort())
    await page.locator("#register").get_by_label("User name").press("b")
    await expect(page.locator("#availability")).to_be_empty()
    await expect(page.locator("#register-message")).to_be_empty()


async def test_nothing_can_be_typed_into_a_registration_under_way_and_get_lost(page: Page) -> None:
    answer = asyncio.Event()

    async def hold(route: Route) -> None:
        await answer.wait()
        await route.continue_()

    await page.route("**/register", hold)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register").get_by_label("User name")).not_to_be_editable()
    answer.set()
    await expect(page.locator("#register-message")).to_have_text("zoe is registered. Sign in")
    await expect(page.locator("#register").get_by_label("User name")).to_be_editable()


async def test_paging_with_the_keyboard_never_loses_the_place(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    await page.reload()
    await page.get_by_role("link", name="Older").press("Enter")
    await expect(page.locator("#users-title")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Newer")).to_be_focused()


async def test_paging_and_the_back_button(page: Page, database: psycopg.Connection) -> None:
    add_users(database, 120)
    await page.reload()
    await expect(page.locator("#newest li")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi").first).to_have_text("user70")
    assert "before=" in page.url
    await expect(page.locator("#newest")).to_have_count(0)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi").last).to_have_text("user1")
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await page.go_back()
    await expect(page.locator("#users li bdi").first).to_have_text("user70")
    await page.reload()
    await expect(page.locator("#users li bdi").first).to_have_text("user70")
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator("#newest li bdi").first).to_have_text("user120")


async def test_registering_from_an_older_page_moves_nothing_under_the_readers_eyes(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    await page.reload()
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li")).to_have_count(10)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#count")).to_have_text("61")
    await expect(page.locator("#users li")).to_have_count(10)


async def test_the_51st_person_brings_the_link_to_older_ones(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 50)
    await page.reload()
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#newest li")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi")).to_have_text(["user1"])


async def test_without_javascript_everything_works_by_whole_pages(
    browser: Browser, url: str, database: psycopg.Connection
) -> None:
    page = await browser.new_page(base_url=url, java_script_enabled=False)
    await page.goto("/")
    await fill_in(page, "Zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_have_text("Zoe is registered. Sign in")
    await expect(page.locator("#newest li bdi")).to_have_text(["Zoe"])
    await expect(page.locator("#register").get_by_label("User name")).to_be_focused()
    await fill_in(page, "zoe")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_have_text(
        "zoe already exists. Choose another user name."
    )
    await expect(page.locator("#register").get_by_label("User name")).to_have_value("zoe")
    await expect(page.locator("#register").get_by_label("Password")).to_have_value("")
    add_users(database, 60)
    await page.goto("/")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#users li bdi").last).to_have_text("Zoe")
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator("#newest li")).to_have_count(50)
    await page.context.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_no_width_needs_sideways_scrolling(
    page: Page, database: psycopg.Connection, width: int
) -> None:
    add_users(database, 2, "w" * 31)
    add_users(database, 2, "字" * 31)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.reload()
    await fill_in(page, "w" * 31 + "1")
    await page.get_by_role("button", name="Register").click()
    await expect(page.locator("#register-message")).to_contain_text("already exists")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
