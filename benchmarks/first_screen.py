"""What is in sight without scrolling, and what moves while people register."""

from itertools import product
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.roster import connect, fresh_roster, insert_person, section, table
from tests.browser.helpers import FLAGS
from tests.helpers import ROOT, Server
from tools.album import DESKTOP
from tools.programs import find_browser
from tools.screenshots import NAMES, ORIGIN, add_people

VIEWPORTS = ((390, 844), (768, 1024), (1280, 720), (1440, 900), (1920, 1080))
LOCALES = ("en-US", "zh-CN")
SETTLED = 1000  # milliseconds in which a page that is connected asks for whatever it still wants
CHANGES = 100
SECONDS = 10  # in which these changes come
NOTE_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
LOOK = """
() => {
  const isInSight = (element) => {
    const { top, bottom, height } = element?.getBoundingClientRect() ?? {};
    return height > 0 && top >= 0 && bottom <= innerHeight;
  };
  const [number, form, code] = ["#count", "#register-form button:not([type])", ".qr"]
    .map((selector) => isInSight(document.querySelector(selector)));
  const rows = [...document.querySelectorAll("#newest li")].filter(isInSight).length;
  const size = getComputedStyle(document.querySelector("#newest bdi")).fontSize;
  return { rows, size, number, form, code, shift };
}
"""
WATCH = """
() => {
  window.opacity = 1;
  window.moves = [];
  const seen = new WeakSet();
  const sample = (now) => {
    opacity = Math.min(opacity, getComputedStyle(document.querySelector("#count")).opacity);
    for (const animation of document.getAnimations()) {
      if (seen.has(animation) || !animation.effect.target.matches("li")) continue;
      seen.add(animation);
      moves.push(now);
    }
    requestAnimationFrame(sample);
  };
  requestAnimationFrame(sample);
}
"""
MOST_MOVES = (
    "Math.max(0, ...moves.map((start) => moves.filter((m) => m >= start && m < start + 1000).length))"
)


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster(PUBLIC_ORIGIN=ORIGIN) as roster, sync_playwright() as playwright:
        with connect(roster) as connection:
            add_people(connection)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        views = list(product(VIEWPORTS, LOCALES))
        looks = [_look(browser, roster.url, *view) for view in views]
        opacity, moves = _watch_changes(browser, roster)
        browser.close()
    rows = [
        (
            f"{width} x {height}",
            locale[:2],
            str(look["rows"]),
            look["size"],
            *("yes" if look[part] else "no" for part in ("number", "form", "code")),
        )
        for ((width, height), locale), look in zip(views, looks, strict=True)
    ]
    return (
        section(
            "The first screen",
            f"""
A list of {len(NAMES.split())} people in Chromium, not scrolled: how many rows are wholly in sight, in what
size names are, and whether the number of people, the form down to its button, and the QR code are in sight.
Then {CHANGES} people are inserted in {SECONDS} s, and every frame is looked at.
""",
            ("viewport", "language", "rows", "names", "number", "form", "QR code"),
            rows,
        )
        + "\n"
        + table(
            ("what", "figure", "target"),
            [
                (
                    "layout shift while loading, the most of any",
                    f"{max(look['shift'] for look in looks):.3g}",
                    "0",
                ),
                ("smallest opacity of the number", f"{opacity:.3g}", "1"),
                ("new rows that began to move within a second, at most", str(moves), "at most 3"),
                ("style.css", f"{(ROOT / 'static' / 'style.css').stat().st_size:,} bytes", ""),
            ],
        )
    )


def _look(browser: Browser, url: str, size: tuple[int, int], locale: str) -> dict[str, Any]:
    """Return what is in sight."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, locale=locale)
    page.add_init_script(NOTE_SHIFTS)
    _open(page, url)
    look: dict[str, Any] = page.evaluate(LOOK)
    page.context.close()
    return look


def _watch_changes(browser: Browser, roster: Server) -> tuple[float, int]:
    """Return the smallest opacity of the number, and how many rows moved within a second at most."""
    page = browser.new_page(viewport=DESKTOP)
    _open(page, roster.url)
    page.evaluate(WATCH)
    with connect(roster) as connection:
        for _ in range(CHANGES):
            insert_person(connection)
            page.wait_for_timeout(1000 * SECONDS / CHANGES)
    page.wait_for_timeout(SETTLED)
    opacity, moves = page.evaluate(f"[opacity, {MOST_MOVES}]")
    page.context.close()
    return opacity, moves


def _open(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("#live").wait_for()
    page.wait_for_timeout(SETTLED)
