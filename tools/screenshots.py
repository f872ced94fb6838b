"""Takes a screenshot of every state of the page, and draws the card that a shared link shows."""

import tempfile
from itertools import product
from pathlib import Path

import psycopg
from playwright.sync_api import Browser, Page
from psycopg.conninfo import make_conninfo

from services.usernames import parse_username
from tests.helpers import PASSWORD, ROOT, run_cli, running, terminate_others
from tools.album import FOLDER, PHONE, PROJECTOR, VIEWPORTS, Album, launched, make_small
from tools.organiser_screenshots import take_organiser
from tools.programs import install_packages

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
CARD = """
<body style="margin: 0; height: 100vh; display: grid; place-content: center; justify-items: center;
  gap: 2rem; background: #fbfaf7; color: #1b2422; font: 700 6rem system-ui">{icon}Roster</body>
"""
PACKAGES = ("fonts-inter", "fonts-noto-core", "fonts-noto-cjk", "pngquant")


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
        take_organiser(album, psql)
        take_database_away(album, roster.database)
        album.write_index()
        draw_card(browser)
    make_small()


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
