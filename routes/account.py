"""Signing in and out, the password, deleting the account."""

from contextlib import suppress

import psycopg
from markupsafe import Markup
from quart import Blueprint, Response

from queries import sessions, users
from queries.users import Account
from services.passwords import BusyError
from services.tokens import hash_token
from services.usernames import Username, username_key
from services.validation import ValidationError
from web.client_address import client_address
from web.cookies import DEVICE, SESSION, delete_cookie, flash, read_cookie
from web.credentials import NewTokens, begin_session, renew_hash, verify_current_account, verify_sign_in
from web.current_account import current_account
from web.error_responses import message_target
from web.forms import read_form, submitted
from web.rate_limits import ACCOUNT, check_rate_limit
from web.request_context import is_htmx, services
from web.responses import read_snapshot, render, render_fragment_or_page, render_list_update
from web.urls import build_url, see_other

MESSAGE_TARGET = "#account-message"

bp = Blueprint("account", __name__)


@bp.post("/sign-in")
@message_target(MESSAGE_TARGET)
async def sign_in() -> Response:
    """Begin a session, if user name and password are right."""
    username, password = await read_form("username", "password")
    key = username_key(username)
    account = await verify_sign_in(key, password)
    # Between the two the password may have been changed, or its hash renewed: verify it again.
    while not await begin_session(account):
        account = await verify_sign_in(key, password)
    with suppress(psycopg.Error, BusyError):  # the session has begun, and this can wait
        await renew_hash(account, password)
    return await render_success("signed-in", account)


@bp.post("/sign-out")
@message_target(MESSAGE_TARGET)
async def sign_out() -> Response:
    """End the session, if there is one."""
    await check_rate_limit(ACCOUNT, client_address())
    await sessions.delete_session(services().database, hash_token(read_cookie(SESSION)))
    delete_cookie(SESSION)
    return await render_success("signed-out")


@bp.post("/account/sign-out-everywhere")
@message_target(MESSAGE_TARGET)
async def sign_out_everywhere() -> Response:
    """End all sessions of the account, this one too."""
    await check_rate_limit(ACCOUNT, client_address())
    if account := await current_account():
        await sessions.delete_sessions(services().database, account)
    delete_cookie(SESSION)
    delete_cookie(DEVICE)
    return await render_success("signed-out-everywhere")


@bp.post("/account/password")
@message_target(MESSAGE_TARGET)
async def change_password() -> Response:
    """Change the password, and end all other sessions.

    This one continues with a new token.
    """
    current_password, new_password, shown = await read_form("current_password", "new_password", "username")
    account = await verify_current_account(current_password, "current-password", shown)
    username = Username(account.username, account.username_key)
    password_hash = await services().password_hasher.hash_validated(new_password, username, "new-password")
    tokens = NewTokens()
    # Between the two the password may have been changed, or its hash renewed: verify it again.
    while not await sessions.change_password(services().database, account, password_hash, tokens.hashes()):
        account = await verify_current_account(current_password, "current-password", shown)
    tokens.set_cookies()
    return await render_success("password-changed", account)


@bp.post("/account/delete")
@message_target(MESSAGE_TARGET)
async def delete_account() -> Response:
    """Delete the account, with everything that is stored of it."""
    password, shown = await read_form("password", "username")
    account = await verify_current_account(password, "delete-password", shown)
    await users.delete_user(services().database, account)
    delete_cookie(SESSION)
    delete_cookie(DEVICE)
    return await render_success("deleted", list_update=await render_list_update(await read_snapshot()))


@bp.errorhandler(ValidationError)
async def handle_validation_error(error: ValidationError) -> Response:
    """Return the account's region with the error's message.

    The user name stays in its field.
    """
    return await render_fragment_or_page(
        "_account_response.html",
        error.status,
        account=await current_account(),
        error=error,
        sign_in_username=submitted("username"),
    )


async def render_success(
    message: str, account: Account | None = None, list_update: Markup | None = None
) -> Response:
    """Return the account's region, with what was done.

    Without HTMX it redirects to the page, which says so.
    """
    if not is_htmx():
        flash(message)
        return see_other(build_url("/"))
    return await render("_account_response.html", flashed=message, account=account, list_update=list_update)
