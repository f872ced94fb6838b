"""Registering, and checking user name and password before."""

from contextlib import suppress

from quart import Blueprint, Response

from queries import users
from queries.registration import NewUser, insert_user
from queries.roster import select_roster
from services.registration_rules import check_open, check_registration, parse_invitation
from services.usernames import Username, parse_username
from services.validation import ValidationError, gettext_noop
from web.client_address import client_address
from web.credentials import NewTokens
from web.current_account import current_account
from web.error_responses import message_target
from web.forms import read_form, read_query, submitted
from web.rate_limits import (
    CHECK_PASSWORD,
    CHECK_USERNAME,
    REGISTER,
    WRONG_INVITATIONS,
    check_rate_limit,
    refund,
)
from web.request_context import is_htmx, services
from web.responses import read_snapshot, render, render_fragment_or_page, render_list_update
from web.urls import build_url, see_other

bp = Blueprint("registration", __name__)


class UsernameTakenError(ValidationError):
    """The user name exists already."""

    status = 409

    def __init__(self, username: Username) -> None:
        message = gettext_noop("%(username)s already exists. Choose another user name.")
        super().__init__("username", message, username=username.shown)


@bp.post("/register")
@message_target("#register-message")
async def register() -> Response:
    """Register a user, and say whether it worked."""
    await check_rate_limit(REGISTER, client_address())
    name, password, code = await read_form("username", "password", "invitation")
    invitation = parse_invitation(code)
    await check_before_hashing(invitation)
    username = parse_username(name)
    password_hash = await services().password_hasher.hash_validated(password, username)
    account = await current_account()  # before the insert: after it nothing may fail
    tokens = None if account else NewTokens()
    user, roster, version = await insert_user(
        services().database,
        NewUser(username.shown, username.key, password_hash, invitation),
        tokens.hashes() if tokens else None,
    )
    if user is None:
        check_registration(roster, invitation)
        raise UsernameTakenError(username)
    if tokens:
        tokens.set_cookies()
    snapshot = await read_snapshot(version)  # also without HTMX: the next page shows the user
    if not is_htmx():
        return see_other(build_url("/", registered=user.username))
    return await render(
        "_register_response.html",
        account=account or user,  # whose session has begun
        registered=user,
        invitation=code,
        place=snapshot.user_page.place_of(user) if snapshot else None,
        list_update=await render_list_update(snapshot),
    )


async def check_before_hashing(invitation: str) -> None:
    """Check whether the roster lets anybody in.

    A closed page then costs no hash, and tells nobody whether a code is right. The statement that
    inserts decides. Raises what `check_registration` does.
    """
    snapshot = services().live_list.live_snapshot
    if snapshot and snapshot.user_page.roster.is_open_to_all:
        return
    roster = await select_roster(services().database)
    check_open(roster)
    is_guess = roster.invitation and invitation
    if is_guess:
        await check_rate_limit(WRONG_INVITATIONS, client_address())
    check_registration(roster, invitation)
    if is_guess:
        await refund(WRONG_INVITATIONS, client_address())


@bp.errorhandler(ValidationError)
async def handle_validation_error(error: ValidationError) -> Response:
    """Return the form with the error's message.

    The user name stays in its field.
    """
    return await render_fragment_or_page(
        "_register_response.html",
        error.status,
        account=await current_account(),
        error=error,
        typed_username=submitted("username"),
        invitation=submitted("invitation"),
    )


@bp.get("/register/check")
@message_target("#availability")
async def check_username() -> Response:
    """Say in a line whether a user name is free."""
    await check_rate_limit(CHECK_USERNAME, client_address())
    [name] = read_query("username")
    try:
        username = parse_username(name)
        if await users.select_account(services().database, username.key):
            raise UsernameTakenError(username)
    except ValidationError as error:
        return await render("_username_availability.html", error=error)
    return await render("_username_availability.html", username=username.shown)


@bp.post("/register/check")
@message_target("#password-check")
async def check_password() -> Response:
    """Say in a line whether a password will do.

    The rule is that of `register`. A POST, since addresses are logged and kept.
    """
    await check_rate_limit(CHECK_PASSWORD, client_address())
    name, password = await read_form("username", "password")
    username = None
    with suppress(ValidationError):  # its own field says so
        username = parse_username(name)
    try:
        if password:
            await services().password_hasher.validate(password, username)
    except ValidationError as error:
        return await render("_password_check.html", error=error)
    return await render("_password_check.html", is_allowed=bool(password))
