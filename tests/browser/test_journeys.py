"""All that can be done on the page, by mouse, by keyboard and without JavaScript, in both languages."""

import re
from itertools import pairwise
from typing import Literal

import psycopg
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.conftest import PASSWORD, add_users
from words import Language, gettext, speaking

OTHER = "amber-heron-kite-52"
Way = Literal["mouse", "keyboard", "no JavaScript"]


class Person:
    """Uses the page in one way, and names its parts in the language that is spoken there."""

    def __init__(self, page: Page, way: Way, language: str) -> None:
        self.page = page
        self._keyboard = way == "keyboard"
        self.has_javascript = way != "no JavaScript"
        self._language = Language(language)

    def says(self, sentence: str, **values: str) -> str:
        with speaking(self._language):
            return gettext(sentence) % values

    async def reach(self, element: Locator) -> None:
        """Move the focus to an element with the Tab key alone."""
        for _ in range(60):
            if await element.evaluate("(element) => element === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        pytest.fail(f"{element} is out of the keyboard's reach")

    async def press(self, element: Locator, key: str = "Enter") -> None:
        if self._keyboard:
            await self.reach(element)
            await self.page.keyboard.press(key)
        else:
            await element.click()

    async def fill(self, element: Locator, text: str) -> None:
        if self._keyboard:
            await self.reach(element)
            await self.page.keyboard.press("Control+A")
            await self.page.keyboard.insert_text(text)
        else:
            await element.fill(text)

    def link(self, sentence: str) -> Locator:
        return self.page.get_by_role("link", name=self.says(sentence), exact=True)

    def button(self, sentence: str) -> Locator:
        return self.page.get_by_role("button", name=self.says(sentence), exact=True)

    def field(self, place: str, sentence: str) -> Locator:
        return self.page.locator(place).get_by_label(self.says(sentence), exact=True)

    async def hears(self, place: str, sentence: str, **values: str) -> None:
        said = self.says(sentence, **values).replace("<strong><bdi>", "").replace("</bdi></strong>", "")
        await expect(self.page.locator(place)).to_contain_text(said)

    async def stays_in_language(self) -> None:
        await expect(self.page).to_have_url(re.compile(rf"[?&]lang={self._language.code}(&|#|$)"))
        await expect(self.page.locator("html")).to_have_attribute("lang", self._language.tag)


@pytest.mark.parametrize(
    ("way", "language"), [("mouse", "en"), ("mouse", "zh"), ("keyboard", "zh"), ("no JavaScript", "zh")]
)
async def test_everything_can_be_done_in_the_language_that_was_chosen_by_its_link(
    visit: Visit, database: psycopg.Connection, way: Way, language: str
) -> None:
    add_users(database, 60)
    page = await visit(
        "/", locale="en-US" if language == "zh" else "zh-CN", javascript=way != "no JavaScript"
    )
    person = Person(page, way, language)
    await expect(page.locator("html")).not_to_have_attribute("lang", Language(language).tag)
    await person.press(page.get_by_role("link", name={"en": "English", "zh": "简体中文"}[language]))
    await person.stays_in_language()
    for journey in (registers, signs_in, searches, pages, shares, changes_the_password, deletes_the_account):
        await journey(person)
        await person.stays_in_language()


async def registers(person: Person) -> None:
    await person.fill(person.field("#register", "User name"), "user1")
    await person.fill(person.field("#register", "Password"), PASSWORD)
    await person.press(person.button("Register"))
    await person.hears(
        "#register-message", "%(username)s already exists. Choose another user name.", username="user1"
    )
    await person.fill(person.field("#register", "User name"), "Zoe")
    await person.fill(person.field("#register", "Password"), PASSWORD)
    await person.press(person.button("Register"))
    await person.hears(
        "#register-message", "<strong><bdi>%(username)s</bdi></strong> is registered.", username="Zoe"
    )
    await expect(person.page.locator("#newest li bdi").first).to_have_text("Zoe")


async def signs_in(person: Person) -> None:
    await person.press(person.link("Sign in"))
    await expect(person.field("#sign-in", "User name")).to_have_value("Zoe")
    await person.fill(person.field("#sign-in", "Password"), PASSWORD)
    await person.press(person.button("Sign in"))
    await person.hears("#account-message", "You are signed in.")
    await expect(person.page.locator("#newest li").first).to_contain_text(f"Zoe {person.says('you')}")


async def searches(person: Person) -> None:
    await person.fill(person.field("#search", "Search"), "USER1")
    await person.press(person.button("Search"))
    await expect(person.page.locator("#users li")).to_have_count(11)
    await person.fill(person.field("#search", "Search"), "nobody")
    await person.press(person.button("Search"))
    await expect(person.page.locator(".empty bdi")).to_have_text("nobody")
    await person.stays_in_language()
    await person.press(person.page.get_by_role("link", name="Roster"))
    await expect(person.page.locator("#newest li")).to_have_count(50)


async def pages(person: Person) -> None:
    await person.press(person.link("Older"))
    await expect(person.page.locator("#users li")).to_have_count(11)
    await person.stays_in_language()
    await person.press(person.link("Newer"))
    await expect(person.page.locator("#newest li")).to_have_count(50)


async def shares(person: Person) -> None:
    await person.press(person.page.locator("#share summary"))
    if person.has_javascript:
        await expect(person.page.locator("#share .qr")).to_be_visible()
        return
    await person.press(person.link("Address and QR code"))
    await expect(person.page.locator("main .qr")).to_be_visible()
    await person.stays_in_language()
    await person.press(person.link("Back to the list"))


async def changes_the_password(person: Person) -> None:
    await person.press(person.page.locator("#account summary"))
    await person.fill(person.field("#account", "Current password"), PASSWORD)
    await person.fill(person.field("#account", "New password"), OTHER)
    await person.press(person.button("Change password"))
    await person.hears("#account-message", "Your password is changed. You are signed out everywhere else.")
    await person.press(person.button("Sign out"))
    await person.hears("#account-message", "You are signed out.")
    for password, place, sentence in (
        (PASSWORD, "#sign-in-password-error", "User name or password is wrong."),
        (OTHER, "#account-message", "You are signed in."),
    ):
        if not await person.field("#sign-in", "User name").is_visible():
            await person.press(person.page.locator("#account summary"))
        await person.fill(person.field("#sign-in", "User name"), "zoe")
        await person.fill(person.field("#sign-in", "Password"), password)
        await person.press(person.button("Sign in"))
        await person.hears(place, sentence)


async def deletes_the_account(person: Person) -> None:
    await person.press(person.page.locator("#account summary"))
    await person.press(person.button("Sign out everywhere"))
    await person.hears("#account-message", "You are signed out everywhere.")
    await person.press(person.page.locator("#account summary"))
    await person.fill(person.field("#sign-in", "User name"), "ZOE")
    await person.fill(person.field("#sign-in", "Password"), OTHER)
    await person.press(person.button("Sign in"))
    await person.hears("#account-message", "You are signed in.")
    await person.press(person.page.locator("#account summary"))
    await person.fill(person.field("#account", "Password, to delete the account"), OTHER)
    await person.press(person.button("Delete account"))
    await person.hears("#account-message", "Your account is deleted.")
    await expect(person.page.locator("#newest li bdi").first).to_have_text("user60")


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_a_password_can_be_shown_and_hidden_again_and_is_hidden_when_the_form_is_new(
    visit: Visit, way: Way, lang: str
) -> None:
    person = Person(await visit(f"/?lang={lang}"), way, lang)
    password, show = person.field("#register", "Password"), person.button("Show").first
    await person.fill(person.field("#register", "User name"), "Zoe")
    await person.fill(password, PASSWORD)
    await expect(show).to_have_accessible_description(person.says("Password"))
    for shown in (True, False, True):
        await person.press(show, "Space")
        await expect(password).to_have_attribute("type", "text" if shown else "password")
        await expect(show).to_have_attribute("aria-pressed", str(shown).lower())
        await expect(password).to_have_value(PASSWORD)
    await person.press(person.button("Register"))
    await person.hears(
        "#register-message", "<strong><bdi>%(username)s</bdi></strong> is registered.", username="Zoe"
    )
    await expect(password).to_have_attribute("type", "password")


async def test_without_javascript_no_button_is_there_that_does_nothing(visit: Visit) -> None:
    page = await visit("/", javascript=False)
    await expect(page.get_by_role("button", name="Register")).to_be_visible()
    await expect(page.locator("#password")).to_be_visible()
    await expect(page.get_by_role("button", name="Show")).to_have_count(0)


async def test_password_managers_are_told_what_each_field_is(page: Page) -> None:
    await page.request.post("/register", form={"username": "zoe", "password": PASSWORD})
    await kinds(page, {"username": "username", "password": "new-password"}, "#register-form")
    await kinds(page, {"username": "username", "password": "current-password"}, "#sign-in")
    await page.request.post("/sign-in", form={"username": "zoe", "password": PASSWORD})
    await page.reload()
    change, delete = "form[action='/account/password']", "form[action='/account/delete']"
    await kinds(
        page,
        {"username": "username", "current_password": "current-password", "new_password": "new-password"},
        change,
    )
    await kinds(page, {"username": "username", "password": "current-password"}, delete)
    for form in (change, delete):
        await expect(page.locator(form).locator("[name=username]")).to_have_value("zoe")


async def kinds(page: Page, expected: dict[str, str], form: str) -> None:
    """Expect the fields of a form, and nothing else in it, with their `autocomplete`."""
    found = (
        await page.locator(form)
        .locator("input")
        .evaluate_all(
            "(fields) => Object.fromEntries(fields.map(({name, autocomplete}) => [name, autocomplete]))"
        )
    )
    assert found == expected


async def test_a_password_can_be_pasted(page: Page) -> None:
    await page.locator("#q").fill(PASSWORD)
    await page.locator("#q").press("Control+A")
    await page.locator("#q").press("Control+C")
    await page.locator("#account summary").click()
    for selector in ("#password", "#sign-in-password"):
        await page.locator(selector).press("Control+V")
        await expect(page.locator(selector)).to_have_value(PASSWORD)


async def test_going_back_keeps_what_was_typed_into_the_form(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 60)
    await page.reload()
    username = page.locator("#username")
    await username.fill("half a na")
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#newest")).to_have_count(0)
    await expect(username).to_have_value("half a na")
    await page.go_back()
    await expect(page.locator("#newest")).to_have_count(1)
    await expect(username).to_have_value("half a na")
    await page.get_by_role("link", name="简体中文").click()
    await expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    await page.go_back()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(username).to_have_value("half a na")


LISTEN = """
() => {
    regions = [...document.querySelectorAll("[role=status], [role=alert]")];
    said = [];
    for (const region of regions) {
        let last = region.textContent;
        new MutationObserver(() => {
            const text = region.textContent.trim();
            if (text && text !== last) said.push([region.id, text]);
            last = text;
        }).observe(region, {childList: true, characterData: true, subtree: true});
    }
}
"""
SAME = "regions.every((region) => region === document.getElementById(region.id))"


async def test_each_message_is_said_once_by_a_region_that_was_there_from_the_start(
    page: Page, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await page.reload()
    await page.evaluate(LISTEN)
    for username, message in (
        ("user1", "user1 already exists. Choose another user name."),
        ("admin", "The user name admin is reserved: choose another."),
        ("Zoe", "Zoe is registered. Sign in"),
        ("Eve", "Eve is registered. Sign in"),
    ):
        await page.locator("#username").fill(username)
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#password").press("Enter")
        await expect(page.locator("#register-message")).to_have_text(message)
    await page.locator("#account summary").click()
    for password, place, message in (
        (OTHER, "#sign-in-password-error", "User name or password is wrong."),
        (PASSWORD, "#account-message", "You are signed in."),
    ):
        await page.locator("#sign-in-username").fill("Zoe")
        await page.locator("#sign-in-password").fill(password)
        await page.locator("#sign-in-password").press("Enter")
        await expect(page.locator(place)).to_have_text(message)
    assert await page.evaluate(SAME)
    told = [tuple(each) for each in await page.evaluate("said") if each[0].endswith("-message")]
    assert told == [
        ("register-message", "user1 already exists. Choose another user name."),
        ("register-message", "The user name admin is reserved: choose another."),
        ("register-message", "Zoe is registered. Sign in"),
        ("register-message", "Eve is registered. Sign in"),
        ("account-message", "You are signed in."),
    ]


ORDER = """
() => {
    const {activeElement} = document, {x, y, height} = activeElement.getBoundingClientRect();
    return [activeElement.id || activeElement.textContent.trim(), x, y + scrollY, height];
}
"""


@pytest.mark.parametrize("state", ["at first", "registered", "refused"])
async def test_the_tab_key_goes_through_the_page_from_top_to_bottom(
    page: Page, database: psycopg.Connection, state: str
) -> None:
    add_users(database, 60)
    await page.reload()
    if state != "at first":
        await page.locator("#username").fill("zoe" if state == "registered" else "user1")
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#password").press("Enter")
        await expect(page.locator("#register-message")).not_to_be_empty()
        await expect(page.get_by_role("button", name="Register")).to_be_enabled()
        await page.locator("body").click(position={"x": 1, "y": 1})
    stops: list[tuple[str, float, float, float]] = []
    while not stops or stops[-1][0] != "简体中文":
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(ORDER))
    names = [name for name, *_ in stops]
    message = ["Sign in"] if state == "registered" else []
    assert names == [
        *("Roster", *message, "username", "password", "Show", "Register", "Sign in"),
        *("q", "Search", "Older", "Share this page", "English", "简体中文"),
    ]
    for (upper, x, y, height), (lower, next_x, next_y, _) in pairwise(stops):
        assert next_y >= y + height / 2 or next_x > x, f"{lower} comes after {upper}, but stands before it"
