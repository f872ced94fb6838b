"""Takes a screenshot of every state of the page, and draws the card that a shared link shows."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from psycopg.conninfo import make_conninfo

from services.usernames import parse_username
from tests.browser.helpers import FLAGS
from tests.helpers import PASSWORD, ROOT, run_cli, running, terminate_others
from tools.programs import find_browser, install_packages

FOLDER = ROOT / "docs" / "screenshots"
ORIGIN = "https://signup.example.org"  # in the QR code
NAMES = (  # from the oldest; nobody in particular
    "Amélie Björn Ελένη 李娜 Tomás Priya Ayşe Łukasz 지우 Thandiwe Дмитро Mei.Lin สมชาย Jonas_92 नेहा "
    "Søren さくら o'hara Oluwaseun Γιάννης Chloé 王芳 Mateo נועה Kwame Inês 山田ノリ نور Зоя 张伟"
)
INSERT = """
INSERT INTO users (username, username_key, password_hash, registered_at)
VALUES (%s, %s, 'demo', now() - 0.35 * interval '1 minute' * %s ^ 2)
"""  # as the numbers fall from 29 to 0, ever more people come within five hours
MANY = 965  # more people, which makes 1,000
WEAK_PASSWORD = "sunshine24"  # noqa: S105
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 720}
PROJECTOR: ViewportSize = {"width": 1920, "height": 1080}
VIEWPORTS = {"phone": PHONE, "desktop": DESKTOP, "projector": PROJECTOR}
CARD = """
<body style="margin: 0; height: 100vh; display: grid; place-content: center; justify-items: center;
  gap: 2rem; background: #fbfaf7; color: #1b2422; font: 700 6rem system-ui">{icon}Roster</body>
"""
PACKAGES = ("fonts-inter", "fonts-noto-core", "fonts-noto-cjk", "pngquant")
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


def main() -> None:
    """Take them all."""
    install_packages([name for name in PACKAGES if not Path("/usr/share/doc", name).exists()])
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        running(folder := Path(name), PUBLIC_ORIGIN=ORIGIN) as roster,
        psycopg.connect(roster.database, autocommit=True) as psql,
        launched(folder) as browser,
    ):
        album = Album(browser, roster.url)
        for device in ("phone", "desktop"):
            album.take(f"{device}-empty", f"Nobody yet, {device}", viewport=VIEWPORTS[device])
        add_people(psql)
        take_devices(album)
        take_registration(album)
        take_account(album)
        take_list(album)
        run_cli(folder, "demo", str(MANY), "--among-real-people", DATABASE_URL=roster.database)
        take_long_list(album)
        take_small_pages(album)
        take_database_away(album, roster.database)
        album.write_index()
        draw_card(browser)
    make_small()


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


def add_people(psql: psycopg.Connection) -> None:
    """Insert people as though they had registered over the last hours."""
    for number, name in reversed(list(enumerate(reversed(NAMES.split())))):
        username = parse_username(name)
        psql.execute(INSERT, [username.shown, username.key, number])


def take_devices(album: Album) -> None:
    """Take the page with some people, as it is at first sight."""
    looks = {
        "": {},
        "dark": {"color_scheme": "dark"},
        "Chinese": {"locale": "zh-CN"},
    }
    for device, (look, options) in product(VIEWPORTS, looks.items()):
        caption = f"{device.capitalize()}, {look}".removesuffix(", ")
        name = caption.lower().replace(", ", "-")
        album.take(name, caption, viewport=VIEWPORTS[device], **options)
    dark = {"locale": "zh-CN", "color_scheme": "dark"}
    album.take("phone-chinese-dark", "Phone, Chinese, dark", viewport=PHONE, **dark)


def take_registration(album: Album) -> None:
    """Take what somebody sees who registers: while typing, refusals, and the success."""
    with album.open() as page:
        fill(page, "zoe", WEAK_PASSWORD)
        page.locator("#availability:has(*)").wait_for()
        page.locator("#password-check", has_not_text="At least").wait_for()
        album.save(page, "typing-weak-password", "Typing: the name is free, the password is weak")
    with album.open(viewport=PHONE) as page:
        fill(page, "zoe", PASSWORD)
        page.locator("#availability:has(*)").wait_for()
        page.locator("#password-check:has(span)").wait_for()
        album.save(page, "typing-phone", "Typing: the name is free, the password will do")
    with album.open() as page:
        fill(page, "KWAME", PASSWORD)
        page.locator("#register .reveal").click()
        page.locator("#password").press("Enter")
        page.locator("#username[aria-invalid]").wait_for()
        album.save(page, "refused-name", "The name is taken; what was typed is kept, the password is shown")
    with album.open(viewport=PHONE) as page:
        fill(page, "zoe", WEAK_PASSWORD)
        page.locator("#register .reveal").click()
        page.locator("#password").press("Enter")
        page.locator("#password[aria-invalid]").wait_for()
        album.save(page, "refused-password-phone", "The password is weak, and shown")
    with album.open(viewport=PHONE) as page, album.open(viewport=PROJECTOR) as projector:
        register(page, "zoe")
        album.save(page, "success-phone", "Success on a phone")
        projector.locator("#newest", has_text="zoe").wait_for()
        album.save(projector, "projector-live", "The same moment on the projector")
    with album.open() as page:
        register(page, "leo")
        album.save(page, "success-desktop", "Success on a desktop")


def take_account(album: Album) -> None:
    """Take what somebody sees who is signed in."""
    with album.open() as page:
        register(page, "mia")
        page.reload()
        page.locator("#live").wait_for()
        album.save(page, "signed-in", "Signed in: the form is folded away")
        page.locator("#account summary").click()
        album.save(page, "account", "The account, opened")
        page.locator("#account summary").click()
        page.locator("#register summary").click()
        register(page, "noah")
        album.save(page, "signed-in-registered-another", "Signed in, and somebody else has been registered")
    with album.open(viewport=PHONE, java_script_enabled=False) as page:
        register(page, "ada")
        album.save(page, "without-javascript", "Success without JavaScript")


def take_list(album: Album) -> None:
    """Take searches, by name and without a result."""
    with album.open() as page:
        page.locator("#q").fill("m")
        page.locator("#users-title", has_text="found").wait_for()
        album.save(page, "search", "A search")
        page.locator("#q").fill("nobody")
        page.locator("#users .empty").wait_for()
        album.save(page, "search-without-result", "A search without a result")


def take_long_list(album: Album) -> None:
    """Take a list of many people."""
    with album.open() as page:
        page.locator("#count", has_text="1,000").wait_for()
        album.save(page, "desktop-1000", "1,000 people")
        page.locator("#users [rel=next]").click()
        page.locator("#users-title", has_text="Earlier").wait_for()
        page.locator("h1").scroll_into_view_if_needed()
        album.save(page, "older", "An older page")


def take_small_pages(album: Album) -> None:
    """Take the pages without the list."""
    album.take("share", "The page to share, without JavaScript", "/share", java_script_enabled=False)
    album.take("error", "An error page", "/nowhere")


def take_database_away(album: Album, database: str) -> None:
    """Take what is seen while the database is away, and let it return."""
    with (
        psycopg.connect(database, autocommit=True) as psql,
        psycopg.connect(make_conninfo(database, dbname="template1"), autocommit=True) as operator,
        album.open() as page,
    ):
        operator.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        terminate_others(psql)
        page.locator("#away:not(:empty)").wait_for()
        album.save(page, "database-away", "The database is away")
        operator.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS true")


def draw_card(browser: Browser) -> None:
    """Draw the social card."""
    page = browser.new_page(viewport={"width": 1200, "height": 630})
    icon = (ROOT / "static" / "favicon.svg").read_text().replace("<svg", '<svg width="240"', 1)
    page.set_content(CARD.format(icon=icon))
    page.screenshot(path=ROOT / "static" / "social_card.png")
    page.context.close()


def make_small() -> None:
    """Reduce the pictures to 256 colours, where pngquant is there: a third of the bytes."""
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", *FOLDER.glob("*.png")], check=True)


def fill(page: Page, username: str, password: str) -> None:
    """Fill the form as by hand."""
    page.locator("#username").fill(username)
    page.locator("#password").fill(password)


def register(page: Page, username: str) -> None:
    """Register by hand."""
    fill(page, username, PASSWORD)
    page.locator("#register-form button:not([type])").click()
    page.locator("#register-message", has_text=username).wait_for()


if __name__ == "__main__":
    main()
