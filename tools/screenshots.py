"""Takes the README's pictures from the running program, and the card that a shared link shows."""

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers import PASSWORD, ROOT, running
from tools.programs import find_browser

PICTURES = ROOT / "docs"
NAMES = ("Amélie", "张伟", "Зоя", "Kwame", "نور", "山田ノリ", "o'hara", "Zoe")
DESKTOP = {"width": 1100, "height": 900}
PHONE = {"width": 390, "height": 844}
TALL = {"width": 390, "height": 1100}
CARD = """
<body style="margin: 0; height: 100vh; display: grid; place-content: center; justify-items: center;
  gap: 2rem; background: #fbfaf7; color: #1b2422; font: 700 6rem system-ui">{icon}Roster</body>
"""


def main() -> None:
    """Register a few people by hand, as it were, and save a picture of each kind."""
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as roster,
        sync_playwright() as playwright,
    ):
        flags = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=find_browser(), args=flags)
        with opened(browser, roster.url, viewport=DESKTOP) as page:
            for name in NAMES[:-1]:
                register(page, name)
        two_windows(browser, roster.url)
        with opened(browser, roster.url, viewport=DESKTOP) as page:
            save(page, "desktop")
        with opened(browser, roster.url, viewport=PHONE) as page:
            save(page, "phone")
        with opened(browser, roster.url, viewport=PHONE, color_scheme="dark") as page:
            save(page, "dark")
        with opened(browser, roster.url, viewport=PHONE, locale="zh-CN") as page:
            save(page, "chinese")
        with opened(browser, "about:blank", viewport={"width": 1200, "height": 630}) as page:
            icon = (ROOT / "static" / "favicon.svg").read_text().replace("<svg", '<svg width="240"', 1)
            page.set_content(CARD.format(icon=icon))
            page.screenshot(path=ROOT / "static" / "social_card.png")
        browser.close()


def two_windows(browser: Browser, url: str) -> None:
    """Save how one window shows what another one does, side by side."""
    with opened(browser, url, viewport=TALL) as one, opened(browser, url, viewport=TALL) as other:
        register(one, NAMES[-1])
        other.locator("#newest", has_text=NAMES[-1]).wait_for()
        images = [base64.b64encode(page.screenshot()).decode() for page in (one, other)]
    with opened(browser, "about:blank", viewport={"width": 844, "height": 1132}) as page:
        tags = "".join(f'<img src="data:image/png;base64,{image}" width=390>' for image in images)
        page.set_content(f'<body style="margin: 16px; display: flex; gap: 32px">{tags}</body>')
        page.screenshot(path=PICTURES / "live.png")


@contextmanager
def opened(browser: Browser, url: str, **context: object) -> Iterator[Page]:
    """Give a page of its own context, once it follows the list."""
    page = browser.new_page(reduced_motion="reduce", **context)  # type: ignore[arg-type]
    page.goto(url)
    if url.startswith("http"):
        page.locator("#live").wait_for()
    yield page
    page.context.close()


def register(page: Page, name: str) -> None:
    """Register by hand."""
    page.locator("#username").fill(name)
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    page.locator("#register-message", has_text=name).wait_for()


def save(page: Page, name: str) -> None:
    """Save a picture of what is seen first."""
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
