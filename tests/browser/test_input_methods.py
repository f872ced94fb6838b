"""static/input_methods.js: what an input method still composes is not sent."""

import psycopg
from playwright.async_api import Page, expect

from tests.browser.helpers import Visit, add_listed_users, go_offline, note_requests, wait_until_live
from tests.helpers import add_users

PAUSE = 400  # milliseconds between two keys: longer than the page waits for more
ANDROID = "Mozilla/5.0 (Linux; Android 15) Chrome/140.0"


async def compose(page: Page, *texts: str) -> None:
    """Type with an input method, each text in place of the one before, and commit none of them."""
    devtools = await page.context.new_cdp_session(page)
    for text in texts:
        end = len(text)
        await devtools.send(
            "Input.imeSetComposition", {"text": text, "selectionStart": end, "selectionEnd": end}
        )
        await page.clock.run_for(PAUSE)


async def test_no_request_is_sent_while_an_input_method_composes(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 1, "欧阳")
    await page.clock.install()
    await page.reload()
    requests = note_requests(page, "users", "register/check")
    await wait_until_live(page)
    steps = await page.evaluate("history.length")
    await page.get_by_label("Search").focus()
    await compose(page, "o", "ou", "ou'yang")
    await go_offline(page)
    await wait_until_live(page)
    assert requests == []
    await page.keyboard.insert_text("欧阳")
    await expect(page.locator("#announcement")).to_have_text("1 person found")
    await page.locator("#username").focus()
    await compose(page, "wang", "wang xiao ming")
    await page.keyboard.insert_text("王小明")
    await expect(page.locator("#availability")).to_have_text("王小明 is free.")
    await compose(page, "ni", "")
    await expect(page.locator("#availability")).to_have_text("王小明 is free.")
    assert requests == ["users?q=欧阳", "register/check?username=王小明"]
    assert await page.evaluate("history.length") == steps + 1


async def test_on_android_a_search_does_not_wait_for_the_end_of_a_word(
    visit: Visit, psql: psycopg.Connection
) -> None:
    add_users(psql, 1, "zoe")
    page = await visit("/share", user_agent=ANDROID)
    await page.clock.install()
    await page.goto("/")
    requests = note_requests(page, "users")
    await wait_until_live(page)
    await page.get_by_label("Search").focus()
    await compose(page, "z", "zoe")
    await expect(page.locator("#users-title")).to_have_text("1 person found")
    assert requests == ["users?q=z", "users?q=zoe"]


async def test_a_failed_search_is_sent_again_after_an_input_method_was_used(
    offline_page: Page, psql: psycopg.Connection
) -> None:
    page = offline_page
    await add_listed_users(page, psql, 1)
    await page.clock.install()
    await page.reload()
    await wait_until_live(page)
    await page.get_by_label("Search").focus()
    await compose(page, "ni")
    await page.keyboard.insert_text("你")
    await expect(page.locator("#announcement")).to_have_text("0 people found")
    await page.route("**/users?q=x", lambda route: route.abort(), times=1)
    await page.get_by_label("Search").fill("x")
    await expect(page.locator("#notice")).to_contain_text("no connection")
    await go_offline(page)
    await expect(page).to_have_url("/?q=x")
