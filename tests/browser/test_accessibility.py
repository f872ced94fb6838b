"""axe finds no violation in any state of the page, in light and in dark."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

import psycopg
import pytest
from playwright.async_api import Page, Response, expect

from app import create_app
from settings import Settings
from tests.browser.helpers import Visit, become_organiser
from tests.helpers import PASSWORD, ROOT, add_users, insert_link, serving, terminate_others
from web.i18n import Locale, force_locale
from web.urls import build_url

AXE = (ROOT / "tests" / "browser" / "axe.min.js").read_text()

# Every rule, best practices included, but those of level AAA and those that axe itself does not trust (yet).
CHECK = """
async () => {
    for (const animation of document.getAnimations()) animation.finish();
    const trusted = ({tags}) => !tags.some((tag) => /^wcag2\\d?aaa$|^experimental$|^deprecated$/.test(tag));
    const values = axe.getRules().filter(trusted).map(({ruleId}) => ruleId);
    const {violations} = await axe.run({runOnly: {type: "rule", values}, resultTypes: ["violations"]});
    return violations.map(({id, nodes}) => [id, ...nodes.map((node) => node.html + node.failureSummary)]);
}
"""

SCHEMES: tuple[Literal["light", "dark"], ...] = "light", "dark"
LOCALES = Locale("en"), Locale("zh")
CHOSEN = Locale("zh", chosen=True)  # whose pages differ only by their links


async def violations(page: Page) -> list[str]:
    """Return what axe finds on a page, in light and in dark."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)  # as the debugger does, whom no policy of the page's binds
    found = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {json.dumps(each, ensure_ascii=False)}" for each in await page.evaluate(CHECK)]
    return found


@asynccontextmanager
async def visiting(visit: Visit, path: str, locale: Locale, origin: str = "") -> AsyncIterator[Page]:
    """Open an address in a language: that of the browser, or chosen by the address."""
    with force_locale(locale):
        separate = "&" if "?" in path else "?"
        address = origin + path + build_url("").replace("?", separate)
    page = await visit(address, locale="zh-CN" if locale == Locale("zh") else "en-US")
    await page.emulate_media(reduced_motion="reduce")
    await expect(page.locator("html")).to_have_attribute("lang", locale.tag)
    yield page
    await page.context.close()


def is_password_check(response: Response) -> bool:
    return "/register/check" in response.url and response.request.method == "POST"


async def read(page: Page) -> None:
    await expect(page.locator("#share .qr")).to_be_visible()


async def submit_registration(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.locator("#username").fill(username)
    await page.locator("#password").fill(password)
    await page.locator("#password").press("Enter")


async def register(page: Page) -> None:
    await submit_registration(page, "zoe")
    await expect(page.locator("#register-message .mark")).to_be_visible()


async def register_somebody_else(page: Page) -> None:
    await page.locator("#register summary").click()
    await submit_registration(page, "kim")
    await expect(page.locator("#register-message strong")).to_have_text("kim")


async def register_again(page: Page) -> None:
    await submit_registration(page, "user1")
    await expect(page.locator("#username")).to_have_attribute("aria-invalid", "true")


async def choose_a_weak_password(page: Page) -> None:
    await submit_registration(page, "zoe", "password")
    await expect(page.locator("#password")).to_have_attribute("aria-invalid", "true")


async def show_the_password(page: Page) -> None:
    await page.locator("#password").fill(PASSWORD)
    await page.locator("[aria-controls=password]").click()
    await expect(page.locator("#password")).to_have_attribute("type", "text")


async def type_a_name(page: Page) -> None:
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability bdi")).to_be_visible()


async def search(page: Page, text: str = "user1") -> None:
    await page.locator("#q").fill(text)
    await expect(page).to_have_url(re.compile(f"[?&]q={text}"))
    await expect(page.locator("#newest")).to_have_count(0)


async def search_without_result(page: Page) -> None:
    await search(page, "nobody")
    await expect(page.locator(".empty")).to_be_visible()


async def go_to_older_people(page: Page) -> None:
    await page.locator("nav a[rel=next]").click()
    await expect(page.locator("#newest")).to_have_count(0)


async def open_the_sign_in_form(page: Page) -> None:
    await page.locator("#account summary").click()
    await expect(page.locator("#sign-in-password")).to_be_visible()


async def sign_in_with_a_wrong_password(page: Page) -> None:
    await page.locator("#sign-in-username").fill("nobody")
    await page.locator("#sign-in-password").fill(PASSWORD)
    await page.locator("#sign-in-password").press("Enter")
    await expect(page.locator("#sign-in-password")).to_have_attribute("aria-invalid", "true")


async def sign_in(page: Page) -> None:
    await page.request.post("/register", form={"username": "zoe", "password": PASSWORD})
    await page.locator("#sign-in-username").fill("zoe")
    await page.locator("#sign-in-password").fill(PASSWORD)
    await page.locator("#sign-in-password").press("Enter")
    await expect(page.locator("#sign-out")).to_be_visible()
    await expect(page.locator("#newest em")).to_be_visible()


async def open_the_account(page: Page) -> None:
    await page.locator("#account summary").click()
    await expect(page.locator("#delete-password")).to_be_visible()


async def delete_with_a_wrong_password(page: Page) -> None:
    await page.locator("#delete-password").fill("wrong")
    await page.locator("#delete-password").press("Enter")
    await expect(page.locator("#delete-password")).to_have_attribute("aria-invalid", "true")


# Each state is reached from the one before it.
STATES: dict[str, list[Callable[[Page], Awaitable[None]]]] = {
    "reading": [read, go_to_older_people, search, search_without_result],
    "registering": [
        type_a_name,
        show_the_password,
        choose_a_weak_password,
        register_again,
        register,
        register_somebody_else,
    ],
    "account": [
        open_the_sign_in_form,
        sign_in_with_a_wrong_password,
        sign_in,
        open_the_account,
        delete_with_a_wrong_password,
    ],
}


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: locale.language)
@pytest.mark.parametrize("states", STATES)
async def test_axe_finds_no_violation_in_any_state(
    visit: Visit, psql: psycopg.Connection, states: str, locale: Locale
) -> None:
    add_users(psql, 52 if states == "reading" else 3)
    async with visiting(visit, "/", locale) as page:
        for reach in STATES[states]:
            await reach(page)
            assert await violations(page) == [], reach.__name__


async def test_axe_finds_no_violation_on_small_pages_and_in_a_chosen_language(
    visit: Visit, psql: psycopg.Connection
) -> None:
    add_users(psql, 3)
    for path, locales in (
        ("/share", [*LOCALES, CHOSEN]),
        ("/nowhere", [*LOCALES, CHOSEN]),
        ("/", [CHOSEN]),
        ("/?q=user", [CHOSEN]),
        ("/?registered=user1", LOCALES),
    ):
        for locale in locales:
            async with visiting(visit, path, locale) as page:
                assert await violations(page) == [], path


async def open_a_menu(page: Page) -> None:
    await page.locator(".person > summary").first.click()
    await page.locator(".person[open] details > summary").click()
    await expect(page.locator(".person[open] .danger")).to_be_visible()


async def open_the_panel(page: Page) -> None:
    for summary in await page.locator("#organiser-panel summary").all():
        await summary.click()
    await expect(page.locator("#new-description")).to_be_visible()


async def choose_a_wrong_capacity(page: Page) -> None:
    await page.locator("#new-capacity").fill("many")
    await page.locator("#new-capacity").press("Enter")
    await expect(page.locator("#new-capacity")).to_have_attribute("aria-invalid", "true")


async def ask_for_a_code(page: Page) -> None:
    await page.locator("#organiser-invitation [value=new]").click()
    await expect(page.locator("#organiser-invitation [value=off]")).to_be_visible()
    await expect(page.locator("#invitation")).to_be_visible()


async def make_a_reset_link(page: Page) -> None:
    await page.locator(".person[open] form[action*=reset] button").click()
    await expect(page.locator(".reset-link")).to_be_focused()


async def close_registration(page: Page) -> None:
    await page.locator("#organiser-open button").click()
    await expect(page.locator("#register-form")).to_be_hidden()
    await expect(page.locator("#organiser-open button")).to_be_enabled()


ORGANISER_STATES: list[Callable[[Page], Awaitable[None]]] = [
    open_a_menu,
    open_the_panel,
    choose_a_wrong_capacity,
    ask_for_a_code,
    make_a_reset_link,
    close_registration,
]


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: locale.language)
async def test_axe_finds_no_violation_on_the_page_of_an_organiser(
    visit: Visit, psql: psycopg.Connection, locale: Locale
) -> None:
    add_users(psql, 3)
    async with visiting(visit, "/", locale) as page:
        await become_organiser(page, psql)
        for reach in ORGANISER_STATES:
            await reach(page)
            assert await violations(page) == [], reach.__name__


async def test_axe_finds_no_violation_on_the_pages_of_one_time_links(
    visit: Visit, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    [user_id] = psql.execute("SELECT id FROM users").fetchone() or [0]
    paths = f"/organise/{insert_link(psql)}", f"/reset/{insert_link(psql, user_id)}", "/reset/gone"
    for path in paths:
        for locale in LOCALES:
            async with visiting(visit, path, locale) as page:
                assert await violations(page) == [], path
    async with visiting(visit, paths[1], LOCALES[0]) as page:
        await page.locator("#new-password").fill("password")
        await page.keyboard.press("Enter")
        await expect(page.locator("#new-password-error")).to_be_visible()
        assert await violations(page) == []


async def test_axe_finds_no_violation_on_an_empty_or_changed_list(
    visit: Visit, psql: psycopg.Connection
) -> None:
    for locale in LOCALES:
        psql.execute("TRUNCATE users")
        async with visiting(visit, "/", locale) as page:
            await expect(page.locator("#live")).to_be_visible()
            await expect(page.locator(".empty")).to_be_visible()
            assert await violations(page) == []
            add_users(psql, 1)
            await search(page)
            add_users(psql, 1, "more")
            await expect(page.locator("#to-newest a")).to_be_visible()
            assert await violations(page) == []


async def test_axe_finds_no_violation_while_the_database_is_away(
    visit: Visit, psql: psycopg.Connection, server_url: str
) -> None:
    name = psql.info.dbname
    for locale in LOCALES:
        async with visiting(visit, "/", locale) as page:
            with psycopg.connect(server_url, autocommit=True) as operator:
                operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                terminate_others(psql)
                await expect(page.locator("#away")).not_to_be_empty()
                assert await violations(page) == []
                operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_axe_finds_no_violation_when_a_rate_limit_is_exceeded(
    visit: Visit, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    async with serving(create_app(Settings(database_url=database_url))) as url:
        for locale in LOCALES:
            async with visiting(visit, "/", locale, url) as page:
                await page.request.post(f"{url}/register", form={})
                await page.request.get(f"{url}/?q=a")
                psql.execute("UPDATE rate_limits SET full_at = now() + interval '90 seconds'")
                # Its request would remove the notice below.
                async with page.expect_response(is_password_check):
                    await submit_registration(page, "zoe")
                await expect(page.locator("#register-message")).not_to_be_empty()
                await page.locator("#q").fill("a")
                await expect(page.locator("#notice")).not_to_be_empty()
                assert await violations(page) == []
                await page.locator("#register-form").evaluate("form => form.submit()")
                await expect(page.locator("#register-form")).to_have_count(0)
                await expect(page.locator("html")).to_have_attribute("lang", locale.tag)
                assert await violations(page) == []
