"""All that can be done on the page, by mouse, by keyboard and without JavaScript, in both languages."""

import re
from itertools import pairwise
from typing import Literal

import psycopg
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from app import create_app
from settings import Settings
from tests.browser.helpers import (
    PHONE,
    PUBLIC_ORIGIN,
    Visit,
    add_listed_users,
    fill_register_form,
    note_requests,
    register,
)
from tests.helpers import OTHER_PASSWORD, PASSWORD, serving
from web.i18n import Locale, force_locale, format_ordinal, gettext

SEARCH = "Search: names that begin with"
Way = Literal["mouse", "keyboard", "no JavaScript"]


class Visitor:
    """Uses the page in one way, and names its parts in the language that is spoken there."""

    def __init__(self, page: Page, way: Way, language: str) -> None:
        self.page = page
        self._keyboard = way == "keyboard"
        self.has_javascript = way != "no JavaScript"
        self._locale = Locale(language)

    def translate(self, sentence: str, **values: str) -> str:
        with force_locale(self._locale):
            return gettext(sentence) % values

    def ordinal(self, value: int) -> str:
        with force_locale(self._locale):
            return format_ordinal(value)

    async def tab_to(self, element: Locator) -> None:
        """Move the focus to an element with the Tab key alone."""
        for _ in range(60):
            if await element.evaluate("(element) => element === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        pytest.fail(f"{element} is out of the keyboard's reach")

    async def press(self, element: Locator, key: str = "Enter") -> None:
        if self._keyboard:
            await self.tab_to(element)
            await self.page.keyboard.press(key)
        else:
            await element.click()

    async def fill(self, element: Locator, text: str) -> None:
        if self._keyboard:
            await self.tab_to(element)
            await self.page.keyboard.press("Control+A")
            await self.page.keyboard.insert_text(text)
        else:
            await element.fill(text)

    def link(self, sentence: str) -> Locator:
        return self.page.get_by_role("link", name=self.translate(sentence), exact=True)

    def button(self, sentence: str) -> Locator:
        return self.page.get_by_role("button", name=self.translate(sentence), exact=True)

    def field(self, place: str, sentence: str) -> Locator:
        return self.page.locator(place).get_by_label(self.translate(sentence), exact=True)

    async def expect_message(self, selector: str, sentence: str, **values: str) -> None:
        said = self.translate(sentence, **values).replace("<strong><bdi>", "").replace("</bdi></strong>", "")
        await expect(self.page.locator(selector)).to_contain_text(said)

    async def expect_same_language(self) -> None:
        await expect(self.page).to_have_url(re.compile(rf"[?&]lang={self._locale.language}(&|#|$)"))
        await expect(self.page.locator("html")).to_have_attribute("lang", self._locale.tag)


@pytest.mark.parametrize(
    ("way", "language"), [("mouse", "en"), ("mouse", "zh"), ("keyboard", "zh"), ("no JavaScript", "zh")]
)
async def test_everything_works_in_the_language_of_the_link(
    visit: Visit, psql: psycopg.Connection, way: Way, language: str
) -> None:
    page = await visit(
        "/share", locale="en-US" if language == "zh" else "zh-CN", javascript=way != "no JavaScript"
    )
    await add_listed_users(page, psql, 60)
    await page.goto("/")
    visitor = Visitor(page, way, language)
    await expect(page.locator("html")).not_to_have_attribute("lang", Locale(language).tag)
    await visitor.press(page.get_by_role("link", name={"en": "English", "zh": "简体中文"}[language]))
    await visitor.expect_same_language()
    for journey in (
        registers,
        registers_somebody_else,
        searches,
        pages,
        shares,
        changes_the_password,
        deletes_the_account,
    ):
        await journey(visitor)
        await visitor.expect_same_language()


async def registers(visitor: Visitor) -> None:
    await visitor.fill(visitor.field("#register", "User name"), "user1")
    await visitor.fill(visitor.field("#register", "Password"), PASSWORD)
    await visitor.press(visitor.button("Register"))
    await visitor.expect_message(
        "#register-message", "%(username)s already exists. Choose another user name.", username="user1"
    )
    await visitor.fill(visitor.field("#register", "User name"), "Zoe")
    await visitor.fill(visitor.field("#register", "Password"), PASSWORD)
    await visitor.press(visitor.button("Register"))
    await visitor.expect_message(
        "#register-message", "<strong><bdi>%(username)s</bdi></strong>, you are in", username="Zoe"
    )
    await visitor.expect_message(
        "#register-message", "You are the %(place)s person here.", place=visitor.ordinal(61)
    )
    await visitor.expect_message(
        "#account-panel", "Signed in as <strong><bdi>%(username)s</bdi></strong>", username="Zoe"
    )
    await expect(visitor.page.locator("#newest li").first).to_contain_text(f"Zoe {visitor.translate('you')}")


async def registers_somebody_else(visitor: Visitor) -> None:
    await visitor.press(visitor.page.locator("#register summary"))
    await visitor.fill(visitor.field("#register", "User name"), "Kim")
    await visitor.fill(visitor.field("#register", "Password"), PASSWORD)
    await visitor.press(visitor.button("Register"))
    await visitor.expect_message(
        "#register-message", "<strong><bdi>%(username)s</bdi></strong> is registered.", username="Kim"
    )
    await visitor.expect_message(
        "#register-message", "This is the %(place)s person here.", place=visitor.ordinal(62)
    )
    await visitor.expect_message(
        "#account-panel", "Signed in as <strong><bdi>%(username)s</bdi></strong>", username="Zoe"
    )


async def searches(visitor: Visitor) -> None:
    await visitor.fill(visitor.field("#search", SEARCH), "USER1")
    await visitor.press(visitor.button("Search"))
    await expect(visitor.page.locator("#users li")).to_have_count(11)
    await visitor.fill(visitor.field("#search", SEARCH), "nobody")
    await visitor.press(visitor.button("Search"))
    await expect(visitor.page.locator(".empty bdi")).to_have_text("nobody")
    await visitor.expect_same_language()
    await visitor.press(visitor.page.get_by_role("link", name="Roster"))
    await expect(visitor.page.locator("#newest li")).to_have_count(50)


async def pages(visitor: Visitor) -> None:
    await visitor.press(visitor.link("Older"))
    await expect(visitor.page.locator("#users li")).to_have_count(12)
    await visitor.expect_same_language()
    await visitor.press(visitor.link("Newer"))
    await expect(visitor.page.locator("#newest li")).to_have_count(50)


async def shares(visitor: Visitor) -> None:
    await expect(visitor.page.locator("#share .qr")).to_be_visible(visible=visitor.has_javascript)
    await visitor.press(visitor.link("Share this page"))
    await expect(visitor.page.locator("main .qr")).to_be_visible()
    await visitor.expect_same_language()
    await visitor.press(visitor.link("Back to the list"))


async def changes_the_password(visitor: Visitor) -> None:
    await visitor.press(visitor.page.locator("#account summary"))
    await visitor.fill(visitor.field("#account", "Current password"), PASSWORD)
    await visitor.fill(visitor.field("#account", "New password"), OTHER_PASSWORD)
    await visitor.press(visitor.button("Change password"))
    await visitor.expect_message(
        "#account-message", "Your password is changed. You are signed out everywhere else."
    )
    await visitor.press(visitor.button("Sign out"))
    await visitor.expect_message("#account-message", "You are signed out.")
    for password, place, sentence in (
        (PASSWORD, "#sign-in-password-error", "User name or password is wrong."),
        (OTHER_PASSWORD, "#account-message", "You are signed in."),
    ):
        if not await visitor.field("#sign-in", "User name").is_visible():
            await visitor.press(visitor.page.locator("#account summary"))
        await visitor.fill(visitor.field("#sign-in", "User name"), "zoe")
        await visitor.fill(visitor.field("#sign-in", "Password"), password)
        await visitor.press(visitor.button("Sign in"))
        await visitor.expect_message(place, sentence)


async def deletes_the_account(visitor: Visitor) -> None:
    await visitor.press(visitor.page.locator("#account summary"))
    await visitor.press(visitor.button("Sign out everywhere"))
    await visitor.expect_message("#account-message", "You are signed out everywhere.")
    await visitor.press(visitor.page.locator("#account summary"))
    await visitor.fill(visitor.field("#sign-in", "User name"), "ZOE")
    await visitor.fill(visitor.field("#sign-in", "Password"), OTHER_PASSWORD)
    await visitor.press(visitor.button("Sign in"))
    await visitor.expect_message("#account-message", "You are signed in.")
    await visitor.press(visitor.page.locator("#account summary"))
    await visitor.fill(visitor.field("#account", "Password, to delete the account"), OTHER_PASSWORD)
    await visitor.press(visitor.button("Delete account"))
    await visitor.expect_message("#account-message", "Your account is deleted.")
    await expect(visitor.page.locator("#newest li bdi").first).to_have_text("Kim")


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_a_password_can_be_shown_and_hidden(visit: Visit, way: Way, lang: str) -> None:
    visitor = Visitor(await visit(f"/?lang={lang}"), way, lang)
    password, reveal = visitor.field("#register", "Password"), visitor.page.locator("#register .reveal")
    await visitor.fill(visitor.field("#register", "User name"), "Zoe")
    await visitor.fill(password, PASSWORD)
    await expect(reveal).to_have_accessible_description(visitor.translate("Password"))
    await expect(reveal).to_have_accessible_name(visitor.translate("Show"))
    for is_shown in (True, False, True):
        await visitor.press(reveal, "Space")
        await expect(password).to_have_attribute("type", "text" if is_shown else "password")
        await expect(reveal).to_have_accessible_name(visitor.translate("Hide" if is_shown else "Show"))
        await expect(password).to_have_value(PASSWORD)
    await visitor.press(visitor.button("Register"))
    await visitor.expect_message(
        "#register-message", "<strong><bdi>%(username)s</bdi></strong>, you are in", username="Zoe"
    )
    await expect(password).to_have_attribute("type", "password")


async def test_no_button_is_useless_without_javascript(visit: Visit) -> None:
    page = await visit("/", javascript=False)
    await expect(page.get_by_role("button", name="Register")).to_be_visible()
    await expect(page.locator("#password")).to_be_visible()
    await expect(page.get_by_role("button", name="Show")).to_have_count(0)


async def test_password_managers_know_every_field(page: Page) -> None:
    register_fields = {"username": "username", "password": "new-password", "invitation": "off"}
    await expect_autocomplete(page, register_fields, "#register-form")
    await expect_autocomplete(page, {"username": "username", "password": "current-password"}, "#sign-in")
    await register(page, "zoe")
    await expect(page.locator("#sign-out")).to_be_visible()
    change, delete = "form[action='/account/password']", "form[action='/account/delete']"
    await expect_autocomplete(
        page,
        {"username": "username", "current_password": "current-password", "new_password": "new-password"},
        change,
    )
    await expect_autocomplete(page, {"username": "username", "password": "current-password"}, delete)
    for form in (change, delete):
        await expect(page.locator(form).locator("[name=username]")).to_have_value("zoe")


async def expect_autocomplete(page: Page, expected: dict[str, str], form: str) -> None:
    """Expect the fields of a form, and nothing else in it, with their `autocomplete`."""
    found = (
        await page.locator(form)
        .locator("input")
        .evaluate_all(
            "(fields) => Object.fromEntries(fields.map(({name, autocomplete}) => [name, autocomplete]))"
        )
    )
    assert found == expected


async def test_the_qr_code_is_loaded_once_and_only_where_it_is_shown(visit: Visit) -> None:
    page = await visit("/nowhere")
    await page.set_viewport_size(PHONE)
    requests = note_requests(page, "share")
    await page.goto("/")
    await page.locator("#share a").scroll_into_view_if_needed()
    await page.locator("#username").fill("zoe")
    await expect(page.locator("#availability")).to_have_text("zoe is free.")
    assert requests == []
    for width in (1280, 390, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(page.locator("#share .qr")).to_be_visible(visible=width == 1280)
    await page.locator("#username").fill("eve")
    await expect(page.locator("#availability")).to_have_text("eve is free.")
    assert requests == ["share"]


async def test_no_qr_code_is_shown_where_others_cannot_open_the_page(
    browser: Browser, database_url: str
) -> None:
    async with serving(create_app(Settings(database_url=database_url))) as url:
        page = await browser.new_page(base_url=url)
        await page.goto("/")
        await expect(page.locator("#share")).to_contain_text("BIND=0.0.0.0")
        await expect(page.locator("#share .qr")).to_have_count(0)
        await page.context.close()


async def test_a_password_can_be_pasted(page: Page) -> None:
    await page.locator("#username").fill(PASSWORD)
    await page.locator("#username").press("Control+A")
    await page.locator("#username").press("Control+C")
    await page.locator("#account summary").click()
    for selector in ("#password", "#sign-in-password"):
        await page.locator(selector).press("Control+V")
        await expect(page.locator(selector)).to_have_value(PASSWORD)


ORDER = """
() => {
    const {activeElement} = document, {x, y, height} = activeElement.getBoundingClientRect();
    return [activeElement.id || activeElement.innerText.trim(), x, y + scrollY, height];
}
"""


@pytest.mark.parametrize("state", ["at first", "registered", "refused"])
async def test_the_tab_key_follows_the_order_on_the_screen(
    page: Page, psql: psycopg.Connection, state: str
) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    await expect(page.locator("#share .qr")).to_be_visible()
    if state != "at first":
        await fill_register_form(page, "zoe" if state == "registered" else "user1")
        await page.locator("#password").press("Enter")
        await expect(page.locator("#register-message")).not_to_be_empty()
        await expect(page.locator("#register-form > button")).to_be_enabled()
        await page.locator("body").click(position={"x": 1, "y": 1})
    stops: list[tuple[str, float, float, float]] = []
    while not stops or stops[-1][0] != "Older":
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(ORDER))
    names = [name for name, *_ in stops]
    forms = (
        ["Sign out", "Change password, delete account", "Register somebody else"]
        if state == "registered"
        else ["Sign in", "username", "password", "Show", "Register"]
    )
    assert names == [
        *("Roster", "English", "简体中文", *forms),
        *("Share this page", PUBLIC_ORIGIN, "q", "Search", "Older"),
    ]
    for (upper, x, y, height), (lower, next_x, next_y, _) in pairwise(stops):
        assert next_y >= y + height / 2 or next_x > x, f"{lower} comes after {upper}, but stands before it"
