"""The page on every screen: narrow, enlarged, dark, with forced colours, with motion or without."""

from base64 import b64encode
from typing import Literal

import psycopg
import pytest
from playwright.async_api import Browser, FloatRect, Locator, Page, Route, expect

from tests.browser.conftest import Visit
from tests.conftest import PASSWORD, add_users

# The two colours of a picture that stand out the most from each other, as a WCAG 2 contrast ratio.
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


async def background(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


async def test_the_page_is_dark_where_the_reader_likes_it_dark(page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    light = await background(page)
    await page.emulate_media(color_scheme="dark")
    assert light == "rgb(251, 250, 247)"
    assert await background(page) == "rgb(20, 24, 26)"
    assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(233, 238, 236)"


async def fits(page: Page) -> None:
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
        (640, "100%", "en"),  # a window of 1280 px at a zoom of 200 %
    ],
)
async def test_no_state_needs_sideways_scrolling(
    visit: Visit, database: psycopg.Connection, lang: str, width: int, size: str
) -> None:
    for name in ("w" * 31, "字" * 31, "mm-" * 9):
        add_users(database, 9 if len(name) > 30 else 40, name)
    page = await visit(f"/?lang={lang}", width=width)
    await page.evaluate("size => document.documentElement.style.fontSize = size", size)
    await fits(page)
    await page.locator("#share summary").click()
    await expect(page.locator("#share .qr")).to_be_visible()
    await page.locator("#username").fill("W" * 32)
    await expect(page.locator("#availability")).to_contain_text("W" * 32)
    await fits(page)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#password").press("Enter")
    await expect(page.locator("#register-message")).to_contain_text("W" * 32)
    await fits(page)
    await page.locator("#register-message a").click()
    await page.locator("#sign-in-password").fill(PASSWORD)
    await fits(page)
    await page.locator("#sign-in-password").press("Enter")
    await expect(page.locator("#sign-out")).to_contain_text("W" * 32)
    await page.locator("#account summary").click()
    await expect(page.locator("#delete-password")).to_be_visible()
    await fits(page)
    await page.locator("nav a").click()
    await expect(page.locator("#newest")).to_have_count(0)
    await fits(page)
    await page.locator("#q").fill("w" * 100)
    await expect(page.locator(".empty")).to_be_visible()
    await fits(page)


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
async def test_fields_buttons_the_focus_and_the_live_dot_can_be_seen(
    browser: Browser, page: Page, scheme: Literal["light", "dark"], forced: Literal["active", "none"]
) -> None:
    measuring = await browser.new_page()
    await page.emulate_media(color_scheme=scheme, forced_colors=forced)
    await expect(page.locator("#live")).to_be_visible()
    live = await box(page.locator("#live"))
    dot = FloatRect(x=live["x"] - 2, y=live["y"], width=10, height=live["height"])
    assert await contrast(page, dot, measuring) >= 3
    for selector in ("#username", "[aria-controls=password]", "#register-form > button"):
        element = page.locator(selector)
        around = await box(element)
        edge, ring = (
            FloatRect(x=around["x"] - distance, y=around["y"] + around["height"] / 2, width=6, height=1)
            for distance in (3, 7)
        )
        assert await contrast(page, edge, measuring) >= 3, selector
        assert await contrast(page, ring, measuring) == 1, selector
        await element.press("Shift")
        assert await contrast(page, ring, measuring) >= 3, selector
    await measuring.close()


async def note_animations(page: Page) -> None:
    """Keep in `animated` the ids of what moves, from now on, whenever something was swapped in."""
    await page.evaluate(
        """() => {
            animated = new Set();
            document.addEventListener("htmx:after:swap", () => {
                for (const {effect} of document.getAnimations()) animated.add(effect.target.localName);
            });
        }"""
    )


async def test_a_new_person_arrives_with_a_movement_unless_the_reader_likes_none(
    page: Page, database: psycopg.Connection
) -> None:
    await expect(page.locator("#live")).to_be_visible()
    await note_animations(page)
    add_users(database, 1)
    await expect(page.locator("#newest li")).to_have_count(1)
    assert await page.evaluate("[...animated].sort()") == ["li", "strong"]
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    await page.evaluate("animated.clear()")
    add_users(database, 1, "more")
    await expect(page.locator("#newest li")).to_have_count(2)
    assert await page.evaluate("[...animated]") == []
    assert await page.evaluate("document.getAnimations().length") == 0


WATCH = """
shifts = [];
new PerformanceObserver((list) => {
    for (const {value, sources} of list.getEntries()) {
        shifts.push([value, ...sources.map(({node}) => node?.outerHTML ?? node?.textContent)]);
    }
}).observe({type: "layout-shift", buffered: true});
painted = new Promise((done) => {
    new PerformanceObserver(() => requestAnimationFrame(() => requestAnimationFrame(done)))
        .observe({type: "paint", buffered: true});
});
"""
TOLD = """
() => new Promise((done) => {
    const look = () => {
        const times = [...document.querySelectorAll("relative-time")];
        const told = times.map(({shadowRoot}) => shadowRoot?.textContent);
        requestAnimationFrame(told.every(Boolean) ? () => requestAnimationFrame(() => done(told)) : look);
    };
    look();
})
"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_nothing_moves_while_the_page_loads_however_late_its_script_comes(
    visit: Visit, database: psycopg.Connection, width: int, locale: str
) -> None:
    for name in ("user", "a-longer-name-than-most-", "w" * 30):
        add_users(database, 9, name)
    page = await visit("/nowhere", width=width, locale=locale)
    await page.set_viewport_size({"width": width, "height": 3000})  # what is out of sight is not measured
    times: list[list[str]] = []

    async def hold(route: Route) -> None:
        await page.evaluate("() => painted")
        times.append(await page.locator("relative-time").all_inner_texts())
        await route.continue_()

    await page.add_init_script(WATCH)
    await page.route("**/static/scripts.*.js", hold)
    await page.goto("/")
    await expect(page.locator("#live")).to_be_visible()
    told = await page.evaluate(TOLD)
    assert len(times[0]) == len(told) == 27
    assert all("UTC" in time for time in times[0])
    assert all("UTC" not in time for time in told)
    assert await page.evaluate("shifts") == []
