"""The page: `/`, its list alone, and the address to share."""

import psycopg
from quart import Blueprint, Response, request

from db import pool_timeout
from queries import users
from queries.roster import Roster, select_roster
from queries.users import User
from services.share_origin import is_loopback, share_origin
from services.usernames import username_key
from web.client_address import client_address
from web.cookies import FLASH, ORGANISER, SESSION, has_personal_cookies, pop_flash, read_cookie
from web.current_account import current_account
from web.current_organiser import current_invitation, is_organiser, remember_invitation
from web.forms import read_list_query, read_query
from web.rate_limits import DRAW_INVITATION, DRAW_QR_CODE, check_rate_limit
from web.request_context import is_htmx, own_origin, services
from web.responses import read_user_page, render
from web.urls import build_url, see_other

SHARE_SECONDS = 60  # that a browser keeps the address: it changes with the network
FALLBACK_SECONDS = 1.0  # without a database connection, after which the last snapshot is shown

bp = Blueprint("home", __name__)


@bp.get("/")
async def index() -> Response:
    """Show the page with the part of the list that is asked for.

    `web/home_page_cache.py` answers anonymous visitors in its stead while the list is live.
    """
    live_list = services().live_list
    [registered] = read_query("registered")
    is_signed_in = bool(read_cookie(SESSION))  # or was: only the database knows
    snapshot = None if any(read_list_query()) else live_list.snapshot
    # After a redirect, people must see what they have changed, even if the snapshot of this process comes
    # later. An organiser may have changed something in another window.
    has_changed = registered or read_cookie(FLASH) or read_cookie(ORGANISER)
    newest = snapshot if live_list.is_live and not has_changed else None
    try:
        with pool_timeout(FALLBACK_SECONDS if snapshot else None):
            account = await current_account()
            user_page = newest.user_page if newest else await read_user_page()
            registered_user = await find_user(registered)
    except psycopg.OperationalError:
        if not snapshot:
            raise
        listed = {user.username: user for user in snapshot.user_page.users}
        return await render(
            "home.html",
            user_page=snapshot.user_page,
            is_live=False,
            away_since=live_list.read_at,
            account_is_unknown=is_signed_in,
            registered=listed.get(registered),
            flashed=pop_flash(),
        )
    if user_page.roster.invitation:
        remember_invitation()
    response = await render(
        "home.html",
        user_page=user_page,
        account=account,
        registered=registered_user,
        place=user_page.place_of(registered_user) if registered_user else None,
        flashed=pop_flash(),
    )
    if newest:
        response.headers["Cache-Control"] = "no-cache"
    return response


@bp.get("/users")
async def show_users() -> Response:
    """Show the list alone, and the URL of the page with it."""
    url = build_url("/", **read_list_query()._asdict())
    if not is_htmx():
        return see_other(url)
    response = await render(
        "_user_list.html", account=await current_account(), user_page=await read_user_page()
    )
    response.headers["HX-Push-Url"] = url
    return response


@bp.get("/share")
async def share() -> Response:
    """Show the address for others, and its QR code.

    Whoever has the invitation code passes it on with them.
    """
    bind = services().settings.bind
    origin = share_origin(own_origin(), bind)
    roster = await current_roster()
    invitation = current_invitation(roster)
    is_guess = bool(invitation) and not is_organiser(roster)
    url = f"{origin}/?invitation={invitation}" if origin and invitation else origin
    response = await render(
        "_share_qr_code.html" if is_htmx() else "share_page.html",
        url=url,
        qr_code=await draw_qr_code(url, is_guess=is_guess) if url else "",
        invitation=invitation,
        is_bound_to_loopback=is_loopback(bind[0]),
        port=bind[1],
    )
    if not invitation:  # an organiser may end it at any moment
        response.headers["Cache-Control"] = f"private, max-age={SHARE_SECONDS}"
    return response


async def draw_qr_code(url: str, *, is_guess: bool) -> str:
    """Return the QR code of the address to share.

    `is_guess` says that it has a code which the visitor may have made up.
    """
    qr_codes = services().qr_codes
    # The limit is for those who make up hosts and codes. While the database is away nothing can be counted.
    if services().live_list.is_live and (is_guess or url not in qr_codes):
        await check_rate_limit(DRAW_INVITATION if is_guess else DRAW_QR_CODE, client_address())
    return await (qr_codes.draw_secret(url) if is_guess else qr_codes.draw(url))


async def current_roster() -> Roster:
    """Return the roster as a personal page needs it.

    Other pages use that of the snapshot.
    """
    snapshot = services().live_list.snapshot
    if snapshot and not has_personal_cookies(request.cookies):
        return snapshot.user_page.roster
    try:
        with pool_timeout(FALLBACK_SECONDS if snapshot else None):
            return await select_roster(services().database)
    except psycopg.OperationalError:
        if not snapshot:
            raise
        return snapshot.user_page.roster


async def find_user(username: str) -> User | None:
    """Return the user of that name, None without one."""
    return await users.select_account(services().database, username_key(username)) if username else None
