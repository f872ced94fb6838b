"""Pages, fragments of them, and the list as it is now."""

from contextlib import suppress

import psycopg
from markupsafe import Markup
from quart import Quart, Response

from db import pool_timeout
from queries.roster import select_version
from queries.user_list import UserPage, select_user_page
from services.live_list import WAIT_SECONDS, Snapshot
from services.registration_rules import format_invitation
from services.usernames import fold_prefix
from web.client_address import client_address
from web.current_organiser import current_invitation, is_organiser
from web.forms import read_list_query
from web.i18n import get_locale
from web.rate_limits import SEARCH, check_rate_limit
from web.request_context import get_services, is_htmx, services
from web.urls import build_url


def init_app(app: Quart) -> None:
    """Give templates what all of them share."""
    settings = get_services(app).settings
    app.jinja_env.globals.update(
        build_url=build_url,
        format_invitation=format_invitation,
        password_min_length=settings.password_min_length,
        public_origin=settings.public_origin,
    )


async def render(template: str, status: int = 200, **context: object) -> Response:
    """Return a page or a fragment.

    With a page of the list it shows the roster that was read with it, to an organiser as such.
    """
    if isinstance(user_page := context.get("user_page"), UserPage):
        roster = user_page.roster
        context = {
            "roster": roster,
            "is_organiser": is_organiser(roster),
            "invitation": current_invitation(roster),
        } | context
    text = services().templates.render(template, **(read_list_query()._asdict() | context))
    return Response(text, status)


async def render_fragment_or_page(template: str, status: int = 200, **context: object) -> Response:
    """Return a region for HTMX, else the whole page with it."""
    if is_htmx():
        return await render(template, status, **context)
    user_page = await select_user_page(services().database)
    return await render("home.html", status, user_page=user_page, **context)


async def read_user_page() -> UserPage:
    """Return the page of the list that the request asks for."""
    q, before, after = read_list_query()
    if q:
        await check_rate_limit(SEARCH, client_address())
    return await select_user_page(services().database, prefix=fold_prefix(q), before=before, after=after)


async def read_snapshot(version: int | None = None) -> Snapshot | None:
    """Return a snapshot that has the change that was just made.

    It has at least `version`, by default that which the database has. The change is done, so an error of
    the database is none of the response: return None then.
    """
    live_list, database = services().live_list, services().database
    with suppress(psycopg.Error), pool_timeout(WAIT_SECONDS):
        if version is None:
            version = await select_version(database)
        snapshot = await live_list.wait_for(version)
        return snapshot or Snapshot(await select_user_page(database), is_live=live_list.is_live)
    return None


async def render_list_update(snapshot: Snapshot | None) -> Markup | None:
    """Return what a snapshot changes on this visitor's page."""
    if snapshot is None:
        return None
    rendered = services().snapshot_renderer.render(
        snapshot, get_locale(), is_organiser=is_organiser(snapshot.user_page.roster)
    )
    return rendered.list_update
