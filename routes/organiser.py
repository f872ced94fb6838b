"""What an organiser does from the page."""

import re
from collections.abc import AsyncGenerator

from quart import Blueprint, Response, g

from queries import one_time_links, organisers, users
from queries.roster import StaleFormError, select_roster, update_roster
from services.csv_export import generate_csv
from services.logs import log_organiser
from services.registration_rules import new_invitation
from services.roster_choices import parse_capacity, parse_description, parse_title
from services.share_origin import share_origin
from services.tokens import hash_token, new_token
from services.validation import ValidationError, gettext_noop
from web.client_address import client_address
from web.cookies import ORGANISER, delete_cookie, flash, read_cookie
from web.current_organiser import is_organiser
from web.error_responses import NotOrganiserError, message_target
from web.forms import read_body, read_form
from web.rate_limits import ORGANISER_ACTION, check_rate_limit
from web.request_context import is_htmx, own_origin, services
from web.responses import read_snapshot, render, render_fragment_or_page, render_list_update
from web.urls import build_one_time_url, build_url, see_other

MESSAGE_TARGET = "#organiser-message"
INCOMPLETE = gettext_noop("This form is incomplete. Reload the page and try again.")

bp = Blueprint("organiser", __name__, url_prefix="/organiser")


class PersonGoneError(ValidationError):
    """The person is no longer on the list."""

    def __init__(self) -> None:
        super().__init__("user_id", gettext_noop("This person is not on the list any more."))


class StaleError(ValidationError):
    """Somebody else has changed what the form shows."""

    status = 409

    def __init__(self, field: str) -> None:
        message = gettext_noop("Somebody else has changed this: see the page now. Save again to replace it.")
        super().__init__(field, message)


@bp.before_request
async def require_organiser() -> None:
    """Refuse everybody but organisers.

    Organisers do not share a limit with strangers, who could keep them out.
    """
    await read_body()  # first: who sends it slowly may be no organiser any more at its end
    g.roster = await select_roster(services().database)
    if not is_organiser(g.roster):
        await check_rate_limit(ORGANISER_ACTION, client_address())
        raise NotOrganiserError
    await check_rate_limit(ORGANISER_ACTION, hash_token(read_cookie(ORGANISER)).hex())


@bp.post("/page")
@message_target(MESSAGE_TARGET)
async def change_page() -> Response:
    """Change title and description."""
    title, description, etag = await read_form("title", "description", "etag")
    await change("page", etag, title=parse_title(title), description=parse_description(description))
    return await render_success("page-changed")


@bp.post("/registration")
@message_target(MESSAGE_TARGET)
async def change_registration() -> Response:
    """Open or close registration, and bound it."""
    state, capacity, etag = await read_form("open", "capacity", "etag")
    if state not in ("on", "off"):
        raise ValidationError("registration", INCOMPLETE)
    was_open = g.roster.open
    await change("registration", etag, open=state == "on", capacity=parse_capacity(capacity))
    if was_open == (state == "on"):
        return await render_success("places-changed")
    return await render_success("registration-closed" if was_open else "registration-open")


@bp.post("/invitation")
@message_target(MESSAGE_TARGET)
async def change_invitation() -> Response:
    """Ask for a new invitation code, or for none."""
    action, etag = await read_form("action", "etag")
    if action not in ("new", "off"):
        raise ValidationError("invitation-form", INCOMPLETE)
    await change("invitation-form", etag, invitation=new_invitation() if action == "new" else None)
    return await render_success(f"invitation-{action}")


@bp.post("/remove")
@message_target(MESSAGE_TARGET)
async def remove() -> Response:
    """Remove a person.

    That is done, too, if somebody else has removed them before.
    """
    user_id = await read_user_id()
    await users.delete_users(services().database, [user_id])
    log_organiser(f"removed the person with the id {user_id}")
    return await render_success("removed", removed_id=user_id)


@bp.post("/reset")
@message_target(MESSAGE_TARGET)
async def reset() -> Response:
    """Show a link with which a person sets a new password."""
    user = await users.select_user(services().database, await read_user_id())
    token = new_token()
    if not user or not await one_time_links.insert_link(services().database, hash_token(token), user):
        raise PersonGoneError
    log_organiser(f"made a link to set a new password for the person with the id {user.id}")
    url = build_one_time_url("reset", token)
    is_local = share_origin(own_origin(), services().settings.bind) is None
    link = {
        "user": user,
        "url": url,
        "is_local": is_local,
        "qr_code": await services().qr_codes.draw_secret(url),
    }
    if is_htmx():
        return await render_organiser(reset_link=link)
    return await render("reset_link_page.html", reset_link=link)


@bp.post("/leave")
@message_target(MESSAGE_TARGET)
async def leave() -> Response:
    """Let this browser be no organiser's any more."""
    await organisers.delete_organiser(services().database, hash_token(read_cookie(ORGANISER)))
    delete_cookie(ORGANISER)
    log_organiser("left")
    if not is_htmx():
        flash("organiser-left")
        return see_other(build_url("/"))
    list_update = await render_list_update(await read_snapshot())
    return await render("_organiser_left.html", flashed="organiser-left", list_update=list_update)


@bp.get("/export.csv")
async def export() -> Response:
    """Send the whole list as CSV, a part at a time."""
    parts = generate_csv(services().database)
    first = await anext(parts)  # before the response begins, so that it can still be an error

    async def body() -> AsyncGenerator[bytes, None]:
        yield first
        async for part in parts:
            yield part

    log_organiser("downloaded the list")
    response = Response(body(), content_type="text/csv; charset=utf-8")
    response.timeout = None  # Quart would cut it after 60 s
    response.headers["Content-Disposition"] = 'attachment; filename="roster.csv"'
    return response


@bp.errorhandler(ValidationError)
async def handle_validation_error(error: ValidationError) -> Response:
    """Return the organiser's region with the error's message.

    What was typed stays in its fields.
    """
    if is_htmx():
        return await render_organiser(error.status, error=error, typed=g.form)
    return await render_fragment_or_page("home.html", error.status, error=error, typed=g.form)


async def change(field: str, etag: str, **choices: object) -> None:
    """Change the roster, unless the form shows an older one.

    Raises StaleError then.
    """
    try:
        await update_roster(services().database, choices, etag)
    except StaleFormError:
        raise StaleError(field) from None
    log_organiser(f"changed {', '.join(choices)}")


async def read_user_id() -> int:
    """Return the id that the form names.

    Raises PersonGoneError where nobody can have it.
    """
    [user_id] = await read_form("user_id")
    if not re.fullmatch(r"-?[0-9]{1,19}", user_id) or abs(int(user_id)) >= users.BIGINT:
        raise PersonGoneError
    return int(user_id)


async def render_success(message: str, removed_id: int | None = None) -> Response:
    """Return the organiser's region, with what was done.

    `removed_id` is of a row to take away from whatever part of the list is shown.
    Without HTMX it redirects to the page, which says so.
    """
    if is_htmx():
        return await render_organiser(flashed=message, removed_id=removed_id)
    await read_snapshot()  # the page that is asked for next shows the change
    flash(message)
    return see_other(build_url("/"))


async def render_organiser(status: int = 200, **context: object) -> Response:
    """Return the organiser's region, and what changed."""
    snapshot = await read_snapshot()
    roster = snapshot.user_page.roster if snapshot else await select_roster(services().database)
    return await render(
        "_organiser_response.html",
        status,
        roster=roster,
        list_update=await render_list_update(snapshot),
        **context,
    )
