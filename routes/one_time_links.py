"""The pages of links that work once."""

from quart import Blueprint, Response

from queries import one_time_links, organisers, sessions
from queries.users import Account
from services.logs import log_organiser
from services.tokens import hash_token, new_token
from services.usernames import Username
from services.validation import ValidationError
from web.client_address import client_address
from web.cookies import flash, set_organiser_cookie
from web.credentials import NewTokens
from web.error_responses import LinkGoneError
from web.forms import read_form
from web.rate_limits import ONE_TIME_LINK, check_rate_limit
from web.request_context import services
from web.responses import read_snapshot, render
from web.urls import build_url, see_other

bp = Blueprint("one_time_links", __name__)


@bp.before_request
async def limit() -> None:
    """Count the request."""
    await check_rate_limit(ONE_TIME_LINK, client_address())


@bp.get("/organise/<token>")
async def show_organise(token: str) -> Response:
    """Show a page with one button.

    Previews of links only GET, and so use nothing up.
    """
    if not await one_time_links.is_organiser_link(services().database, hash_token(token)):
        raise LinkGoneError
    return await render_page("organise_page.html")


@bp.post("/organise/<token>")
async def organise(token: str) -> Response:
    """Make this browser an organiser's."""
    cookie = new_token()
    if not await organisers.insert_organiser(services().database, hash_token(token), hash_token(cookie)):
        raise LinkGoneError
    log_organiser("a browser became an organiser's")
    set_organiser_cookie(cookie)
    await read_snapshot()  # the page that is asked for next follows the list as an organiser's
    flash("organiser")
    return see_other(build_url("/"))


@bp.get("/reset/<token>")
async def show_reset(token: str) -> Response:
    """Show a page to set a new password."""
    return await render_page("reset_page.html", linked_account=await linked_account(token))


@bp.post("/reset/<token>")
async def reset(token: str) -> Response:
    """Set the new password, end all sessions, and sign in."""
    account = await linked_account(token)
    [new_password] = await read_form("new_password")
    username = Username(account.username, account.username_key)
    try:
        password_hash = await services().password_hasher.hash_validated(
            new_password, username, "new-password"
        )
    except ValidationError as error:
        return await render_page("reset_page.html", error.status, linked_account=account, error=error)
    tokens = NewTokens()
    if not await sessions.reset_password(
        services().database, account, hash_token(token), password_hash, tokens.hashes()
    ):
        raise LinkGoneError
    tokens.set_cookies()
    flash("password-reset")
    return see_other(build_url("/"))


async def linked_account(token: str) -> Account:
    """Return the account of a link. Raises LinkGoneError."""
    account = await one_time_links.select_linked_account(services().database, hash_token(token))
    if account is None:
        raise LinkGoneError
    return account


async def render_page(template: str, status: int = 200, **context: object) -> Response:
    """Return a page of which nothing keeps a copy."""
    response = await render(template, status, **context)
    response.headers["Cache-Control"] = "no-store"
    return response
