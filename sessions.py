"""Sessions: the routes to sign in and out, and to what people can do with their account."""

from quart import Blueprint, Response, current_app

import db
import security
from accounts import RefusedError, Username, digest, new_token, username_key
from answers import (
    DONE_TIME,
    N_,
    address,
    answer,
    changes_since,
    limit,
    passwords,
    pool,
    read_cookie,
    read_form,
    see_other,
    set_cookie,
    signed_in,
    wants_fragment,
)
from words import link

signing = Blueprint("sessions", __name__)


class WrongError(RefusedError):
    """The password is not that of the user name, or there is none of it."""

    status = 401

    def __init__(self, field: str, sentence: str = "") -> None:
        signing_in = field == "sign-in-password"
        wrong = N_("User name or password is wrong.") if signing_in else N_("This password is wrong.")
        super().__init__(field, sentence or wrong)


@signing.post("/sign-in")
async def sign_in() -> Response:
    """Begin a session, and show the account or that user name or password is wrong."""
    typed, password = await read_form("username", "password")
    key, token = username_key(typed), new_token()
    account = await verify(key, password, "sign-in-password")
    # Between the two its password may have been changed, or its hash renewed.
    while not await db.insert_session(pool(), account, digest(token), digest(read_cookie("session"))):
        account = await verify(key, password, "sign-in-password")
    if passwords().is_outdated(account.password_hash):
        await db.update_password(pool(), account, await passwords().hash_old(password))
    set_cookie("session", token)
    return await answer_done("signed-in", account)


@signing.post("/sign-out")
async def sign_out() -> Response:
    """End the session, if there is one."""
    await limit(security.ACCOUNT, address())
    await db.delete_session(pool(), digest(read_cookie("session")))
    set_cookie("session", "")
    return await answer_done("signed-out")


@signing.post("/account/sign-out-everywhere")
async def sign_out_everywhere() -> Response:
    """End all sessions of the account, this one too."""
    await limit(security.ACCOUNT, address())
    if account := await signed_in():
        await db.delete_sessions(pool(), account)
    set_cookie("session", "")
    return await answer_done("signed-out-everywhere")


@signing.post("/account/password")
async def change_password() -> Response:
    """Change the password; all sessions end but this one, which gets a new token."""
    current, new = await read_form("current_password", "new_password")
    account = await verify_signed_in(current, "current-password")
    username = Username(account.username, username_key(account.username))
    try:
        password_hash = await passwords().hash_new(new, username)
    except RefusedError as refusal:
        refusal.field = "new-password"
        raise
    token = new_token()
    if not await db.update_password(pool(), account, password_hash, digest(token)):
        raise WrongError("current-password")
    set_cookie("session", token)
    return await answer_done("password-changed", account)


@signing.post("/account/delete")
async def delete_account() -> Response:
    """Delete the account, with everything that is stored of it."""
    [password] = await read_form("password")
    account = await verify_signed_in(password, "delete-password")
    version = await db.delete_user(pool(), account)
    set_cookie("session", "")
    return await answer_done("deleted", changes=await changes_since(version))


async def verify(key: str, password: str, field: str) -> db.Account:
    """Return the account of that user name and password. Raises WrongError, with no hint which is wrong."""
    await limit(security.SIGN_INS, address())
    await limit(security.SIGN_IN, address(), key)
    await limit(security.FAILURES, key)  # counted first, so that no crowd of guesses slips past
    account = await db.select_account(pool(), key)
    matches = await passwords().match(password, account.password_hash if account else None)
    if not account or not matches:
        raise WrongError(field)
    if current_app.config["RATE_LIMITS"]:
        await security.give_back(pool(), security.FAILURES, key)
    return account


async def verify_signed_in(password: str, field: str) -> db.Account:
    """Return the account that is signed in if the password is its own. Raises WrongError."""
    account = await signed_in()
    if account is None:
        await limit(security.ACCOUNT, address())
        raise WrongError("sign-in-password", N_("You are signed out. Sign in again."))
    return await verify(username_key(account.username), password, field)


async def answer_done(done: str, account: db.Account | None = None, changes: str = "") -> Response:
    """Return the account's region as it is now, saying what was done; without HTMX go to the page."""
    if not wants_fragment():
        set_cookie("done", done, DONE_TIME)
        return see_other(link("/"))
    return await answer("_signed.html", done=done, account=account, changes=changes)
