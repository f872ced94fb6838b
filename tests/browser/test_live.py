import asyncio
import re
from urllib.parse import unquote

import psycopg
from playwright.async_api import Browser, BrowserContext, Page, Request, Route, expect

from tests.browser.conftest import Visit
from tests.conftest import PASSWORD, Serve, add_users

PAUSE = 400  # milliseconds between two keys: longer than the page waits for more
OURS = {"Content-Type": "text/html", "Vary": "HX-Request"}
REFUSED = '<hx-partial hx-target="#notice" hx-swap="innerHTML">Too often.</hx-partial>'


async def is_live(page: Page) -> None:
    await expect(page.locator("#live")).to_be_visible()


async def test_a_registration_in_one_window_appears_in_the_other_and_on_another_process(
    page: Page, browser: Browser, serve: Serve, database_url: str
) -> None:
    await is_live(page)
    other = await browser.new_page(base_url=serve(DATABASE_URL=database_url).url)
    await other.goto("/")
    await is_live(other)
    await other.locator("#register").get_by_label("User name").fill("Zoe")
    await other.locator("#register").get_by_label("Password").fill(PASSWORD)
    await other.get_by_role("button", name="Register").click()
    await expect(page.locator("#newest li bdi")).to_have_text(["Zoe"])
    await expect(page.locator("#count")).to_have_text("1")
    await expect(page.get_by_text("Be the first")).to_be_hidden()
    await other.context.close()


async def test_changes_made_with_psql_appear_and_what_is_being_typed_stays(
    page: Page, database: psycopg.Connection
) -> None:
    await is_live(page)
    await page.locator("#register").get_by_label("User name").fill("half a na")
    add_users(database, 51)
    await expect(page.locator("#newest li bdi").first).to_have_text("user51")
    await expect(page.get_by_role("link", name="Older")).to_be_visible()
    database.execute("DELETE FROM users WHERE username = 'user51'")
    await expect(page.locator("#newest li bdi").first).to_have_text("user50")
    await expect(page.get_by_role("link", name="Older")).to_be_hidden()
    database.execute("TRUNCATE users")
    await expect(page.locator("#newest li")).to_have_count(0)
    await expect(page.get_by_text("Be the first")).to_be_visible()
    await expect(page.locator("#register").get_by_label("User name")).to_have_value("half a na")
    await expect(page.locator("#register").get_by_label("User name")).to_be_focused()


async def test_rows_that_stay_are_the_same_elements_and_the_changed_count_is_announced_once(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await expect(page.locator("#newest li")).to_have_count(1)
    await page.evaluate("row = document.querySelector('#newest li')")
    await page.evaluate(
        """() => {
            said = [];
            new MutationObserver(() => said.push(document.querySelector("#announcement").textContent))
                .observe(document.querySelector("#announcement"), {childList: true});
        }"""
    )
    for number in range(2, 5):
        add_users(database, 1, f"more{number}")
        await expect(page.locator("#count")).to_have_text(str(number))
    assert await page.evaluate("row === document.querySelector('#newest li:last-child')")
    await expect(page.locator("#announcement")).to_have_text("4 registered", timeout=7000)
    assert await page.evaluate("said") == ["4 registered"]


async def test_where_someone_searches_or_pages_only_the_count_moves_and_a_link_leads_to_the_newest(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    await page.goto("/")
    await is_live(page)
    for way in ("Older", "Search"):
        if way == "Older":
            await page.get_by_role("link", name=way).click()
        else:
            await page.get_by_label(way).fill("user1")
        await expect(page.locator("#newest")).to_have_count(0)
        await expect(page.locator("#to-newest")).to_be_empty()
        names = await page.locator("#users li bdi").all_text_contents()
        size = int(await page.locator("#count").text_content() or "")
        add_users(database, 1, f"user1{size}")
        await expect(page.locator("#count")).to_have_text(str(size + 1))
        assert await page.locator("#users li bdi").all_text_contents() == names
        await page.get_by_role("link", name="newest people").click()
        await expect(page.locator("#newest li bdi").first).to_have_text(f"user1{size}1")
        await expect(page.get_by_label("Search")).to_have_value("")
        assert page.url.endswith("/")


async def test_searching_as_one_types(page: Page, database: psycopg.Connection) -> None:
    for name in ("Anna", "Änne", "annika", "张三", "张伟", "Зоя"):
        database.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')",
            [name, name.lower()],
        )
    await page.get_by_label("Search").press_sequentially("ANN")
    await expect(page.locator("#users li bdi")).to_have_text(["Anna", "annika"])
    await expect(page.locator("#users-title")).to_have_text("2 people found")
    await expect(page.locator("#announcement")).to_have_text("2 people found")
    assert page.url.endswith("/?q=ANN")
    await page.get_by_label("Search").press("Enter")
    await page.get_by_label("Search").fill("张")
    await expect(page.locator("#users li bdi")).to_have_text(["张三", "张伟"])
    await page.get_by_label("Search").fill("zz<b>")
    await expect(page.get_by_text("No user name begins with zz<b>.")).to_be_visible()
    await page.go_back()
    await expect(page.locator("#users li bdi")).to_have_text(["张三", "张伟"])
    await expect(page.get_by_label("Search")).to_have_value("张")
    await page.go_back()
    await expect(page.locator("#users li bdi")).to_have_text(["Anna", "annika"])
    await expect(page.get_by_label("Search")).to_have_value("ANN")
    await page.reload()
    await expect(page.locator("#users li bdi")).to_have_text(["Anna", "annika"])
    await page.go_back()
    await expect(page.locator("#newest li")).to_have_count(6)
    await expect(page.get_by_label("Search")).to_have_value("")
    await is_live(page)
    add_users(database, 1)
    await expect(page.locator("#newest li")).to_have_count(7)


async def compose(page: Page, *typed: str) -> None:
    """Type with an input method, but mean none of it yet."""
    devtools = await page.context.new_cdp_session(page)
    for text in typed:
        end = len(text)
        await devtools.send(
            "Input.imeSetComposition", {"text": text, "selectionStart": end, "selectionEnd": end}
        )
        await page.wait_for_timeout(PAUSE)


def note_questions(page: Page) -> list[str]:
    """Return what a page asks about searches and user names, as it asks."""
    asked: list[str] = []

    def note(request: Request) -> None:
        address = unquote(request.url).rpartition("/")[2]
        if address.startswith(("users", "check")):
            asked.append(address)

    page.on("request", note)
    return asked


async def test_nothing_is_asked_about_what_an_input_method_still_composes(
    page: Page, database: psycopg.Connection
) -> None:
    database.execute("INSERT INTO users (username, username_key, password_hash) VALUES ('欧阳', '欧阳', '-')")
    asked = note_questions(page)
    await is_live(page)
    steps = await page.evaluate("history.length")
    await page.get_by_label("Search").focus()
    await compose(page, "o", "ou", "ou'yang")
    async with page.expect_request("**/live**"):
        await page.evaluate("dispatchEvent(new Event('offline'))")
    await is_live(page)
    assert asked == []
    await page.keyboard.insert_text("欧阳")
    await expect(page.locator("#announcement")).to_have_text("1 person found")
    await page.locator("#username").focus()
    await compose(page, "wang", "wang xiao ming")
    await page.keyboard.insert_text("王小明")
    await expect(page.locator("#availability")).to_have_text("王小明 is free.")
    await compose(page, "ni", "")
    await expect(page.locator("#availability")).to_have_text("王小明 is free.")
    assert asked == ["users?q=欧阳", "check?username=王小明"]
    assert await page.evaluate("history.length") == steps + 1


async def test_on_android_whose_keyboards_compose_every_word_a_search_does_not_wait_for_its_end(
    browser: Browser, url: str, database: psycopg.Connection
) -> None:
    add_users(database, 1, "zoe")
    page = await browser.new_page(base_url=url, user_agent="Mozilla/5.0 (Linux; Android 15) Chrome/140.0")
    asked = note_questions(page)
    await page.goto("/")
    await is_live(page)
    await page.get_by_label("Search").focus()
    await compose(page, "z", "zoe")
    await expect(page.locator("#users-title")).to_have_text("1 person found")
    assert asked == ["users?q=z", "users?q=zoe"]
    await page.context.close()


async def test_a_connection_made_while_going_back_does_not_search_again(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 3)
    await is_live(page)
    await page.get_by_label("Search").fill("user2")
    await expect(page.locator("#users li")).to_have_count(1)
    asked = note_questions(page)
    connected = asyncio.Event()

    async def hold(route: Route) -> None:
        await connected.wait()
        await route.continue_()

    await page.route(re.compile("/$"), hold)
    await page.evaluate("history.back()")
    async with page.expect_request("**/live**"):
        await page.evaluate("dispatchEvent(new Event('offline'))")
    await is_live(page)
    connected.set()
    await expect(page.locator("#newest li")).to_have_count(3)
    assert (asked, page.url.rpartition("/")[2]) == ([], "")


async def test_what_was_searched_without_a_connection_is_searched_when_it_is_back(
    context: BrowserContext, database: psycopg.Connection
) -> None:
    add_users(database, 3)
    page = await context.new_page()
    await page.goto("/")
    await is_live(page)
    await context.set_offline(offline=True)
    await page.get_by_label("Search").fill("user2")
    await expect(page.locator("#notice")).to_contain_text("no connection")
    await context.set_offline(offline=False)
    await expect(page.locator("#users li bdi")).to_have_text(["user2"])
    await expect(page.locator("#notice")).to_be_empty()
    assert page.url.endswith("/?q=user2")


async def test_a_page_that_cannot_be_had_is_told_where_the_reader_looks(
    context: BrowserContext, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    page = await context.new_page()
    await page.goto("/")
    await page.set_viewport_size({"width": 390, "height": 700})
    await context.set_offline(offline=True)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#notice")).to_contain_text("no connection")
    await expect(page.locator("#notice")).to_be_in_viewport(ratio=1)


async def test_what_a_search_or_a_step_back_shows_is_announced_and_a_refusal_is_not_drowned(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 3)
    await is_live(page)
    await page.evaluate(
        """() => {
            said = [];
            const region = document.querySelector("#announcement");
            const note = () => said.push(region.textContent.trim());
            new MutationObserver(note).observe(region, {childList: true});
        }"""
    )
    for text in ("user1", "user2"):
        await page.get_by_label("Search").fill(text)
        await expect(page.locator("#users li bdi")).to_have_text([text])
    await page.go_back()
    await expect(page.locator("#users li bdi")).to_have_text(["user1"])
    await page.go_back()
    await expect(page.locator("#newest li")).to_have_count(3)
    await page.route("**/users?q=x", lambda route: route.fulfill(status=429, headers=OURS, body=REFUSED))
    await page.get_by_label("Search").fill("x")
    await expect(page.locator("#notice")).to_have_text("Too often.")
    assert await page.evaluate("said") == ["1 person found"] * 3 + ["Newest"]


async def test_a_count_that_has_not_changed_is_not_announced(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await page.clock.install()
    await page.reload()
    await is_live(page)
    async with page.expect_event("console", lambda message: message.text == "swapped"):
        await page.evaluate(
            "document.addEventListener('htmx:after:swap', () => console.log('swapped'), {once: true})"
        )
        database.execute("UPDATE roster SET version = version + 1")
        database.execute("NOTIFY roster")
    await page.clock.fast_forward(6000)
    assert await page.locator("#announcement").text_content() == ""
    add_users(database, 1, "more")
    await expect(page.locator("#count")).to_have_text("2")
    await page.clock.fast_forward(6000)
    await expect(page.locator("#announcement")).to_have_text("2 registered")


async def test_of_two_answers_to_a_search_the_newer_request_wins(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1, "anna")
    add_users(database, 1, "bob")

    async def hold(route: object) -> None:
        del route  # never answered

    await page.route("**/users?q=a", hold)
    async with page.expect_request("**/users?q=a"):
        await page.get_by_label("Search").fill("a")
    await page.get_by_label("Search").fill("b")
    await expect(page.locator("#users li bdi")).to_have_text(["bob1"])


async def test_without_javascript_search_is_a_plain_form_and_nothing_claims_to_be_live(
    browser: Browser, url: str, database: psycopg.Connection
) -> None:
    add_users(database, 60, "ann")
    page = await browser.new_page(base_url=url, java_script_enabled=False)
    await page.goto("/")
    await expect(page.locator("#live")).to_be_hidden()
    await page.get_by_label("Search").fill("ANN")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#users-title")).to_have_text("Found")
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator("#users li")).to_have_count(10)
    await page.get_by_role("link", name="Previous").click()
    await expect(page.locator("#users li")).to_have_count(50)
    await page.context.close()


async def test_the_page_says_when_it_is_not_live_and_catches_up(
    context: BrowserContext, page: Page, database: psycopg.Connection
) -> None:
    await is_live(page)
    await context.set_offline(offline=True)
    await expect(page.locator("#connecting")).to_be_visible()
    add_users(database, 1)
    await context.set_offline(offline=False)
    await is_live(page)
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])


def note_connections(page: Page) -> list[str]:
    """Return the addresses of the connections that a page makes to follow the list, as it makes them."""
    made: list[str] = []
    page.on("request", lambda request: made.append(request.url) if "/live" in request.url else None)
    return made


HIDE = """
visible = false;
Object.defineProperty(document, "hidden", {get: () => !visible});
Object.defineProperty(document, "visibilityState", {get: () => visible ? "visible" : "hidden"});
"""


async def test_a_hidden_page_holds_no_connection_and_catches_up_when_it_is_seen(
    context: BrowserContext, page: Page, database: psycopg.Connection
) -> None:
    async def turn(visible: str) -> None:
        await page.evaluate(f"visible = {visible}; document.dispatchEvent(new Event('visibilitychange'))")

    await context.add_init_script(HIDE)
    await page.goto("/share")
    made = note_connections(page)
    await page.goto("/")
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    assert made == []
    await turn("true")
    await is_live(page)
    assert len(made) == 1
    async with page.expect_event("requestfailed", lambda request: "/live" in request.url):
        await turn("false")
    add_users(database, 1)
    await page.locator("#username").fill("eve")
    await expect(page.locator("#availability")).to_have_text("eve is free.")
    await expect(page.locator("#count")).to_have_text("0")
    assert len(made) == 1
    await turn("true")
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])
    await is_live(page)
    assert len(made) == 2


async def test_a_connection_that_has_gone_silent_is_made_anew_and_one_that_speaks_is_kept(
    page: Page, database: psycopg.Connection
) -> None:
    await page.clock.install()
    made = note_connections(page)
    await page.reload()
    await is_live(page)
    for number in range(1, 4):
        await page.clock.fast_forward(20_000)
        add_users(database, 1, f"user{number}x")
        await expect(page.locator("#count")).to_have_text(str(number))
    assert len(made) == 1
    async with page.expect_request("**/live**"):
        await page.clock.fast_forward(36_000)
    await is_live(page)
    add_users(database, 1)
    await expect(page.locator("#count")).to_have_text("4")
    assert len(made) == 2


async def test_a_connection_is_made_anew_after_the_computer_says_that_it_was_offline(
    page: Page, database: psycopg.Connection
) -> None:
    await is_live(page)
    async with page.expect_request("**/live**"):
        await page.evaluate("dispatchEvent(new Event('offline'))")
        await expect(page.locator("#connecting")).to_be_visible()
    await is_live(page)
    add_users(database, 1)
    await expect(page.locator("#newest li bdi")).to_have_text(["user1"])


async def test_a_small_page_which_follows_nothing_does_not_mind_being_offline(visit: Visit) -> None:
    page = await visit("/share")
    await page.evaluate("dispatchEvent(new Event('offline'))")
    await expect(page.locator("h2")).to_have_text("Share this page")
