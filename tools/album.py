"""Screenshots of the page, and a page that shows them all."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.browser.helpers import FLAGS
from tests.helpers import ROOT
from tools.programs import find_browser

FOLDER = ROOT / "docs" / "screenshots"
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 720}
PROJECTOR: ViewportSize = {"width": 1920, "height": 1080}
VIEWPORTS = {"phone": PHONE, "desktop": DESKTOP, "projector": PROJECTOR}
FONTS = """
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <match target="pattern">
    <edit name="family" mode="append" binding="strong">
      <string>Inter</string>
      <string>Noto Sans CJK SC</string>
      <string>Noto Sans Arabic</string>
      <string>Noto Sans Hebrew</string>
    </edit>
  </match>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
</fontconfig>
"""


class Album:
    """Takes screenshots, and writes a page that shows them."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._captions: dict[str, str] = {}

    @contextmanager
    def open(self, path: str = "/", viewport: ViewportSize = DESKTOP, **options: Any) -> Iterator[Page]:  # noqa: ANN401
        """Open a page in a context of its own, and wait until it follows the list."""
        options = {"base_url": self._url, "viewport": viewport, "reduced_motion": "reduce"} | options
        page = self._browser.new_page(**options)
        page.goto(path)
        if options.get("java_script_enabled", True) and page.locator("#live").count():
            page.locator("#live").wait_for()
        yield page
        page.context.close()

    def save(self, page: Page, name: str, caption: str) -> None:
        """Save what is in sight."""
        page.screenshot(path=FOLDER / f"{name}.png")
        self._captions[name] = caption

    def take(self, name: str, caption: str, path: str = "/", **options: Any) -> None:  # noqa: ANN401
        """Save a page as it is at first sight."""
        with self.open(path, **options) as page:
            self.save(page, name, caption)

    def write_index(self) -> None:
        """Write the page that shows all of them."""
        pictures = [f"## {text}\n\n![{text}]({name}.png)\n" for name, text in self._captions.items()]
        text = "\n".join(
            ["# Screenshots\n\n`make screenshots` takes them from a running Roster.\n", *pictures]
        )
        (FOLDER / "README.md").write_text(text)


@contextmanager
def launched(folder: Path) -> Iterator[Browser]:
    """Start a browser in which system-ui is Inter, with a font for each script, where they are there."""
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=FLAGS, env={**os.environ, "FONTCONFIG_FILE": str(fonts)}
        )
        yield browser
        browser.close()


def make_small() -> None:
    """Reduce the pictures to 256 colours, where pngquant is there: a third of the bytes."""
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", *FOLDER.glob("*.png")], check=True)
