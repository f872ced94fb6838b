"""static/screen_reader_announcements.js and the live regions: what screen readers hear."""

import psycopg
from playwright.async_api import Page, expect

from tests.browser.helpers import (
    FROM_ROSTER,
    TOO_OFTEN,
    add_listed_users,
    expect_dom_event,
    fill_register_form,
    register,
    wait_until_live,
)
from tests.helpers import OTHER_PASSWORD, PASSWORD, add_users

INTERVAL = 5000  # milliseconds before a new total is announced
NOTE_ANNOUNCEMENTS = """
() => {
    announced = [];
    const region = document.querySelector("#announcement");
    new MutationObserver(() => announced.push(region.textContent)).observe(region, {childList: true});
}
"""
HOLD_TIMERS = f"""
held = [];
const start = setTimeout;
setTimeout = (run, delay) => delay === {INTERVAL} ? held.push(run) : start(run, delay);
"""
NOTE_MESSAGES = """
() => {
    regions = [...document.querySelectorAll("[role=status], [role=alert]")];
    messages = [];
    for (const region of regions) {
        let last = region.textContent;
        new MutationObserver(() => {
            const text = region.textContent.trim().replace(/\\s+/g, " ");
            if (text && text !== last) messages.push([region.id, text]);
            last = text;
        }).observe(region, {childList: true, characterData: true, subtree: true});
    }
}
"""
ARE_SAME_REGIONS = "regions.every((region) => region === document.getElementById(region.id))"


async def test_several_changes_are_announced_once_and_rows_stay_the_same(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 1)
    await page.add_init_script(HOLD_TIMERS)
    await page.reload()
    await wait_until_live(page)
    await page.evaluate("row = document.querySelector('#newest li')")
    await page.evaluate(NOTE_ANNOUNCEMENTS)
    for number in range(2, 5):
        add_users(psql, 1, f"more{number}")
        await expect(page.locator("#count")).to_have_text(str(number))
    assert await page.evaluate("row === document.querySelector('#newest li:last-child')")
    assert await page.evaluate("announced") == []
    await page.evaluate("held.forEach((run) => run())")
    await expect(page.locator("#announcement")).to_have_text("4 registered")
    assert await page.evaluate("announced") == ["4 registered"]
    assert await page.evaluate("held.length") == 1


async def test_a_total_that_has_not_changed_is_not_announced(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 1)
    await page.clock.install()
    await page.reload()
    await wait_until_live(page)
    async with expect_dom_event(page, "htmx:after:swap"):
        psql.execute("UPDATE roster SET version = version + 1")
        psql.execute("NOTIFY roster")
    await page.clock.fast_forward(INTERVAL + 1000)
    assert await page.locator("#announcement").text_content() == ""
    add_users(psql, 1, "more")
    await expect(page.locator("#count")).to_have_text("2")
    await page.clock.fast_forward(INTERVAL + 1000)
    await expect(page.locator("#announcement")).to_have_text("2 registered")


async def test_search_results_are_announced_but_not_over_an_error(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 3)
    await page.reload()
    await wait_until_live(page)
    await page.evaluate(NOTE_ANNOUNCEMENTS)
    for text in ("user1", "user2"):
        await page.get_by_label("Search").fill(text)
        await expect(page.locator("#users li bdi")).to_have_text([text])
    await page.go_back()
    await expect(page.locator("#users li bdi")).to_have_text(["user1"])
    await page.go_back()
    await expect(page.locator("#newest li")).to_have_count(3)
    await page.route(
        "**/users?q=x", lambda route: route.fulfill(status=429, headers=FROM_ROSTER, body=TOO_OFTEN)
    )
    await page.get_by_label("Search").fill("x")
    await expect(page.locator("#notice")).to_have_text("Too often.")
    announced = await page.evaluate("announced")
    assert [text.strip() for text in announced] == ["1 person found"] * 3 + ["Newest"]


async def test_a_page_of_the_list_is_announced(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#announcement")).to_have_text("Earlier")


async def test_the_same_result_twice_is_announced_as_a_different_text(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 3)
    await page.reload()
    await wait_until_live(page)
    await page.evaluate(NOTE_ANNOUNCEMENTS)
    for text in ("user1", "user2", "user3"):
        await page.get_by_label("Search").fill(text)
        await expect(page.locator("#users li bdi")).to_have_text([text])
    result = "1 person found"
    assert await page.evaluate("announced") == [result, f"{result}\N{NO-BREAK SPACE}", result]


async def test_each_message_is_announced_once(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 1)
    await page.reload()
    await page.evaluate(NOTE_MESSAGES)
    for username, message in (
        ("user1", "user1 already exists. Choose another user name."),
        ("admin", "The user name admin is reserved: choose another."),
        ("Zoe", "Zoe, you are in You are the 2nd person here."),
    ):
        await fill_register_form(page, username)
        await page.locator("#password").press("Enter")
        await expect(page.locator("#register-message")).to_have_text(message)
    await page.locator("#register summary").click()
    await register(page, "Eve")
    await expect(page.locator("#register-message")).to_have_text(
        "Eve is registered. This is the 3rd person here."
    )
    await page.locator("#sign-out button").click()
    await expect(page.locator("#account-message")).to_have_text("You are signed out.")
    await page.locator("#account summary").click()
    for password, place, message in (
        (OTHER_PASSWORD, "#sign-in-password-error", "User name or password is wrong."),
        (PASSWORD, "#account-message", "You are signed in."),
    ):
        await page.locator("#sign-in-username").fill("Zoe")
        await page.locator("#sign-in-password").fill(password)
        await page.locator("#sign-in-password").press("Enter")
        await expect(page.locator(place)).to_have_text(message)
    assert await page.evaluate(ARE_SAME_REGIONS)
    # The new total is announced too, if this takes longer than its interval.
    messages = [
        (region, text) for region, text in await page.evaluate("messages") if text[0] not in "0123456789"
    ]
    assert messages == [
        ("register-message", "user1 already exists. Choose another user name."),
        ("register-message", "The user name admin is reserved: choose another."),
        ("register-message", "Zoe, you are in You are the 2nd person here."),
        ("register-message", "Eve is registered. This is the 3rd person here."),
        ("account-message", "You are signed out."),
        ("account-message", "You are signed in."),
    ]
