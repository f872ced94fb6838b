"""Screenshots of what an organiser sees, and of what their choices look like to everybody."""

import psycopg
from playwright.sync_api import Page

from tests.helpers import insert_link
from tools.album import DESKTOP, PHONE, PROJECTOR, Album


def take_organiser(album: Album, psql: psycopg.Connection) -> None:
    """Take the panel, a row's menu, a link for somebody else, and the page when it is closed and full."""
    for name, viewport in (("phone", PHONE), ("desktop", DESKTOP)):
        link = f"/organise/{insert_link(psql)}"
        if viewport is PHONE:
            album.take("organise", "The link that makes a browser the organiser's", link, viewport=viewport)
        with album.open(link, viewport) as page:
            page.locator("main button").click()
            page.locator("#live").wait_for()
            configure(page)
            album.save(page, f"organiser-{name}", f"The organiser's panel, {name}")
            row = page.locator("#newest li").nth(1)
            row.locator("summary").first.click()
            row.locator(".person details summary").click()
            row.locator(".danger").scroll_into_view_if_needed()
            album.save(page, f"organiser-menu-{name}", f"What an organiser can do for a person, {name}")
            row.locator("button").first.click()
            page.locator(".reset-link").wait_for()
            album.save(page, f"organiser-reset-{name}", f"A link for a lost password, {name}")
            path = page.locator(".reset-link a").get_attribute("href") or ""
            if viewport is PHONE:
                path = path[path.index("/reset/") :]
                album.take("reset", "Setting a new password by that link", path, viewport=viewport)
    with album.open(viewport=PHONE) as page:
        album.save(page, "invitation-phone", "An invitation code is needed")
        psql.execute("UPDATE roster SET open = false")
        page.locator("#closed").wait_for()
        album.save(page, "closed-phone", "Registration is closed")
    psql.execute("UPDATE roster SET open = true, invitation = NULL, capacity = size")
    album.take("full-projector", "All places are taken", viewport=PROJECTOR)
    psql.execute("UPDATE roster SET title = '', description = '', capacity = NULL")


def configure(page: Page) -> None:
    """Name the page, bound it, and ask for a code, by hand."""
    page.locator("summary", has_text="Title and description").click()
    page.locator("#new-title").fill("Chess club · 国际象棋")
    page.locator("#new-description").fill("Fridays at six, room 12. Bring a board if you have one.")
    page.locator("#organiser-page button").click()
    page.locator("#title", has_text="Chess").wait_for()
    page.locator("summary", has_text="Title and description").click()
    page.locator("summary", has_text="Places").click()
    page.locator("#new-capacity").fill("1200")
    page.locator("#organiser-places button").click()
    page.locator("#total", has_text="1,200").wait_for()
    page.locator("summary", has_text="Invitation code").click()
    page.locator("#organiser-invitation button").first.click()
    page.locator("#invitation").wait_for()
    page.locator("h1").scroll_into_view_if_needed()
