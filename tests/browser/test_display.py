"""The page on every screen and on paper: narrow, wide, dark, with forced colors, with motion or without."""

from base64 import b64encode
from typing import Any, Literal

import psycopg
import pytest
from playwright.async_api import Browser, FloatRect, Locator, Page, Route, expect

from tests.browser.helpers import (
    FROM_ROSTER,
    PHONE,
    TOO_OFTEN,
    Visit,
    add_listed_users,
    fill_register_form,
    register,
    sign_in,
    wait_until_live,
    without_response,
)
from tests.helpers import PASSWORD, add_users

# The two colors of a picture that stand out the most from each other, as a WCAG 2 contrast ratio.
CONTRAST = """
async (picture) => {
    const bytes = Uint8Array.from(atob(picture), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    canvas.drawImage(bitmap, 0, 0);
    const {data} = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
    const linear = (value) => value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    const luminances = [];
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue] = [...data.slice(at, at + 3)].map(linear);
        luminances.push(0.2126 * red + 0.7152 * green + 0.0722 * blue);
    }
    return (Math.max(...luminances) + 0.05) / (Math.min(...luminances) + 0.05);
}
"""
# What moves in the list after a swap, with the properties that change, and how opaque the total is.
NOTE_ANIMATIONS = """
() => {
    animated = new Set();
    opacities = new Set();
    document.addEventListener("htmx:after:swap", () => {
        opacities.add(getComputedStyle(document.querySelector("#count")).opacity);
        for (const {effect} of document.getAnimations()) {
            if (!effect.target.closest(".list")) continue;
            const name = effect.target.querySelector("bdi")?.textContent ?? effect.target.id;
            const {offset, computedOffset, easing, composite, ...properties} = effect.getKeyframes()[0];
            animated.add(`${name}: ${Object.keys(properties)}`);
        }
        document.body.dataset.newest = document.querySelector("#newest bdi")?.textContent;
    });
}
"""
# What a reader sees and uses, except what scripts add, and the times, whose own text they replace.
MEASURE = """
() => [...document.querySelectorAll("h1, h2, p, li, bdi, a, button, input, label, summary, section, form")]
    .filter((element) => element.checkVisibility())
    .filter((element) => !element.closest("#event-stream, .reveal, #share div"))  // only with scripts
    .map((element) => {
        const {x, y, width, height} = element.getBoundingClientRect();
        const name = element.id || element.textContent.trim().slice(0, 30);
        return [element.localName, name, x, y, width, height];
    })
"""
PRINTED_BESIDE_THE_LIST = """
() => {
    const list = document.querySelector("#newest");
    return [...document.querySelectorAll("body *")]
        .filter((element) => element.checkVisibility() && element.getClientRects().length)
        .filter((element) => !list.contains(element) && !element.contains(list))
        .map(({outerHTML}) => outerHTML);
}
"""
TEXT_BOX = """
(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect().toJSON();
}
"""
MARK = """(element) => getComputedStyle(element, "::before").content[1]"""  # after a quotation mark
# The mark stands before the first line of text, in the same line box.
MARK_BOX = """
(element) => {
    element.scrollIntoView({block: "center"});
    const range = document.createRange();
    range.selectNodeContents(element);
    const {left, top, height} = range.getClientRects()[0];
    const size = 1.5 * parseFloat(getComputedStyle(element).fontSize);
    return {x: left - size, y: top, width: size, height};
}
"""
TIMES = """
() => [...document.querySelectorAll("relative-time")]
    .map(({textContent, shadowRoot}) => shadowRoot?.textContent || textContent)
"""
PARSED = """
new Promise((done) => {
    if (document.readyState !== "loading") done();
    else document.addEventListener("readystatechange", done, {once: true});
})
"""
RELATIVE = """
() => new Promise((done) => {
    const times = [...document.querySelectorAll("relative-time")];
    const look = () => {
        if (times.every(({shadowRoot}) => shadowRoot?.textContent)) done();
        else requestAnimationFrame(look);
    };
    look();
})
"""


async def background_color(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


async def test_the_page_follows_the_dark_color_scheme(page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    light = await background_color(page)
    await page.emulate_media(color_scheme="dark")
    assert light == "rgb(251, 250, 247)"
    assert await background_color(page) == "rgb(20, 24, 26)"
    assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(233, 238, 236)"


async def expect_no_sideways_scrolling(page: Page) -> None:
    """Expect that nothing needs sideways scrolling, and that no button, link or field is cut off."""
    width = await page.evaluate("innerWidth")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    cut_off = """(elements) => elements.filter((element) => {
        const {left, right, width} = element.getBoundingClientRect();
        return width && (left < 0 || right > innerWidth);
    }).map(({outerHTML}) => outerHTML)"""
    assert await page.locator("a, button, input, summary, li, svg").evaluate_all(cut_off) == []


@pytest.mark.parametrize(
    ("width", "size", "lang"),
    [
        (320, "100%", "en"),
        (320, "100%", "zh"),
        (390, "100%", "en"),
        (390, "200%", "en"),  # text alone is enlarged
        (1280, "100%", "en"),
        (640, "100%", "en"),  # a window of 1280 px at a zoom of 200 %
    ],
)
async def test_no_state_needs_sideways_scrolling(
    visit: Visit, psql: psycopg.Connection, lang: str, width: int, size: str
) -> None:
    for name in ("w" * 31, "字" * 31, "mm-" * 9):
        add_users(psql, 9 if len(name) > 30 else 40, name)
    page = await visit("/share", width=width)
    await add_listed_users(page, psql, 1)
    await page.goto(f"/?lang={lang}")
    await page.evaluate("size => document.documentElement.style.fontSize = size", size)
    await expect_no_sideways_scrolling(page)
    await fill_register_form(page, "w" * 31 + "1")
    await page.locator("#password").press("Enter")
    await expect(page.locator("#register-message")).to_contain_text("w" * 31 + "1")
    await expect_no_sideways_scrolling(page)
    await page.locator("#username").fill("W" * 32)
    await expect(page.locator("#availability")).to_contain_text("W" * 32)
    await expect_no_sideways_scrolling(page)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#password").press("Enter")
    await expect(page.locator("#register-message")).to_contain_text("W" * 32)
    await expect_no_sideways_scrolling(page)
    await expect(page.locator("#sign-out")).to_contain_text("W" * 32)
    await page.locator("#account summary").click()
    await expect(page.locator("#delete-password")).to_be_visible()
    await page.locator("#register summary").click()
    await expect(page.locator("#username")).to_be_visible()
    await expect_no_sideways_scrolling(page)
    await page.locator(".list nav a").click()
    await expect(page.locator("#newest")).to_have_count(0)
    await expect_no_sideways_scrolling(page)
    await page.locator("#q").fill("w" * 100)
    await expect(page.locator(".empty")).to_be_visible()
    await expect_no_sideways_scrolling(page)


async def contrast(page: Page, area: FloatRect, measuring: Page) -> float:
    """Return how much what is painted there stands out, as a WCAG 2 contrast ratio."""
    picture = await page.screenshot(clip=area)
    return float(await measuring.evaluate(CONTRAST, b64encode(picture).decode()))


async def box(locator: Locator) -> FloatRect:
    await locator.scroll_into_view_if_needed()
    found = await locator.bounding_box()
    assert found
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced", ["active", "none"])
async def test_fields_buttons_focus_and_live_dot_have_contrast(
    browser: Browser, page: Page, scheme: Literal["light", "dark"], forced: Literal["active", "none"]
) -> None:
    measuring = await browser.new_page()
    await page.emulate_media(color_scheme=scheme, forced_colors=forced)
    await expect(page.locator("#live")).to_be_visible()
    live = await page.locator("#live").evaluate(TEXT_BOX)
    dot = FloatRect(x=live["x"] - 16, y=live["y"], width=11, height=live["height"])
    assert await contrast(page, dot, measuring) >= 3
    for selector in ("#username", "#register .reveal", "#register-form > button"):
        element = page.locator(selector)
        around = await box(element)
        edge, ring = (
            FloatRect(x=around["x"] - distance, y=around["y"] + around["height"] / 2, width=6, height=1)
            for distance in (3, 7)
        )
        if selector != "#register .reveal":  # stands in its field, as a word
            assert await contrast(page, edge, measuring) >= 3, selector
        assert await contrast(page, ring, measuring) == 1, selector
        await element.press("Shift")
        assert await contrast(page, ring, measuring) >= 3, selector
    await measuring.close()


async def test_a_new_user_is_animated_unless_motion_is_reduced(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 1)
    await page.reload()
    await wait_until_live(page)
    await expect(page.locator("#newest li")).to_have_count(1)
    await page.evaluate(NOTE_ANIMATIONS)
    # Of changes in quick succession only one in 400 ms moves.
    for milliseconds, name in (1000, "a"), (1399, "b"), (1400, "c"):
        await page.evaluate("(time) => { performance.now = () => time; }", milliseconds)
        add_users(psql, 1, name)
        await expect(page.locator("body")).to_have_attribute("data-newest", f"{name}1")
    assert await page.evaluate("[...animated]") == ["a1: translate", "c1: translate"]
    assert await page.evaluate("[...opacities]") == ["1"]
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    await page.evaluate("animated.clear(); performance.now = () => 9000;")
    add_users(psql, 1, "last")
    await expect(page.locator("body")).to_have_attribute("data-newest", "last1")
    assert await page.evaluate("[...animated]") == []
    assert await page.evaluate("document.getAnimations().length") == 0


async def test_an_own_registration_is_animated_but_no_page_of_the_list(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 60)
    await page.goto("/share")
    async with without_response(page, "**/live**"):
        await page.goto("/")
        await page.evaluate(NOTE_ANIMATIONS)
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("#users li")).to_have_count(10)
        await page.get_by_role("link", name="Newer").click()
        await expect(page.locator("#newest li")).to_have_count(50)
        assert await page.evaluate("[...animated]") == []
        await register(page, "zoe")
        await expect(page.locator("#newest li bdi").first).to_have_text("zoe")
        assert await page.evaluate("[...animated]") == ["zoe: translate"]


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_the_first_screen_of_a_phone_has_the_form_the_number_and_the_search(
    page: Page, psql: psycopg.Connection, lang: str
) -> None:
    await add_listed_users(page, psql, 23)
    await page.set_viewport_size(PHONE)
    await page.goto(f"/?lang={lang}")
    for selector in ("#username", "#register-form > button", "#count", "#search"):
        await expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    await expect(page.locator("#share .qr")).to_be_hidden()


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_a_wide_screen_has_everything_at_once_and_a_projector_has_large_names(
    page: Page, psql: psycopg.Connection, lang: str
) -> None:
    await add_listed_users(page, psql, 23)
    await page.set_viewport_size({"width": 1280, "height": 720})
    await page.goto(f"/?lang={lang}")
    for selector in ("#count", "#register-form > button", "#share .qr", "#newest li:nth-child(5)"):
        await expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    await page.set_viewport_size({"width": 1920, "height": 1080})
    name = page.locator("#newest bdi").first
    assert await name.evaluate("(element) => parseFloat(getComputedStyle(element).fontSize)") >= 28
    await expect(page.locator("#share .qr")).to_be_in_viewport(ratio=1)


async def test_on_paper_there_is_only_the_list(page: Page, psql: psycopg.Connection) -> None:
    await add_listed_users(page, psql, 60)
    await page.reload()
    await page.emulate_media(media="print")
    await expect(page.locator("#newest li").last).to_be_visible()
    assert await page.evaluate(PRINTED_BESIDE_THE_LIST) == []


@pytest.mark.parametrize("forced", ["active", "none"])
async def test_an_error_has_a_mark_before_it(
    browser: Browser, page: Page, psql: psycopg.Connection, forced: Literal["active", "none"]
) -> None:
    measuring = await browser.new_page()
    await add_listed_users(page, psql, 1)
    await page.reload()
    await page.emulate_media(forced_colors=forced)
    await page.route(
        "**/users?q=x", lambda route: route.fulfill(status=429, headers=FROM_ROSTER, body=TOO_OFTEN)
    )

    async def expect_mark(selector: str) -> None:
        error = page.locator(selector)
        await expect(error).not_to_be_empty()
        assert await error.evaluate(MARK) == "!", selector
        around = await error.evaluate(MARK_BOX)
        assert await contrast(page, around, measuring) >= 3, selector

    await page.get_by_label("Search").fill("x")
    await expect_mark("#notice")
    await sign_in(page, "nobody")
    await expect_mark("#sign-in-password-error")
    await register(page, "user1", "password")
    await expect_mark("#register-message")
    await expect_mark("#availability")
    await measuring.close()


async def test_the_label_of_a_refused_field_is_in_sight_on_a_phone(
    page: Page, psql: psycopg.Connection
) -> None:
    await add_listed_users(page, psql, 50)
    await page.set_viewport_size(PHONE)
    await page.reload()
    await fill_register_form(page, "user1")
    await page.locator("#newest li").last.scroll_into_view_if_needed()
    await page.locator("#register-form").evaluate("(form) => form.requestSubmit()")
    await expect(page.locator("#username")).to_be_focused()
    await expect(page.locator("[for=username]")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_nothing_moves_while_the_page_loads(
    visit: Visit, psql: psycopg.Connection, width: int, locale: str
) -> None:
    for name in ("user", "a-longer-name-than-most-"):
        add_users(psql, 9, name)
    psql.execute("UPDATE users SET registered_at = now() - id * id * interval '1 hour'")
    page = await visit("/nowhere", width=width, locale=locale)
    await add_listed_users(page, psql, 9, "w" * 30)
    before: list[Any] = []

    async def hold(route: Route) -> None:
        await page.evaluate(PARSED)
        before.extend(await page.evaluate(f"[({TIMES})(), ({MEASURE})()]"))
        await route.continue_()

    await page.route("**/static/scripts.*.js", hold)
    await page.goto("/")
    await wait_until_live(page)
    absolute, boxes = before
    assert len(absolute) == 27
    assert all("UTC" in time for time in absolute)
    await page.evaluate(RELATIVE)
    assert not any("UTC" in time for time in await page.evaluate(TIMES))
    assert await page.evaluate(MEASURE) == boxes
