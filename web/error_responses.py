"""Responses to HTTP errors, and to a database that is away."""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from quart import Quart, Response, current_app, request
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)

from db import OutcomeUnknownError
from services.live_list import TooManyViewersError
from services.logs import log_unavailable
from services.passwords import BusyError
from services.validation import gettext_noop
from web.i18n import gettext, ngettext, ngettext_noop
from web.request_context import is_htmx
from web.responses import render
from web.urls import build_url, see_other

RETRY_SECONDS = 5
DEFAULT_TARGET = "#notice"
KEPT_HEADERS = {"Allow", "Retry-After"}

MESSAGES = {
    400: gettext_noop("This request cannot be read. Reload the page and try again."),
    403: gettext_noop("This form was sent from another site. Open this page and try again here."),
    404: gettext_noop("There is nothing at this address."),
    405: gettext_noop("This address does not take that kind of request."),
    413: gettext_noop("This is too large. A user name and a password need far less."),
    415: gettext_noop("This is not a form. Send user name and password as a URL-encoded form."),
    500: gettext_noop("Something went wrong here. It has been noted; please try again."),
    503: gettext_noop("Roster cannot do this just now. Nothing is lost: please try again in a few seconds."),
}
TOO_OFTEN = ngettext_noop(
    "That was too often. Please try again in %(seconds)s second.",
    "That was too often. Please try again in %(seconds)s seconds.",
)

OUTCOME_UNKNOWN = gettext_noop(
    "The database did not answer, so Roster cannot say whether this was done. Look before you try again."
)

View = TypeVar("View", bound=Callable[..., Any])


class NotOrganiserError(Forbidden):
    """Only an organiser may do this."""

    message = gettext_noop("Only the organiser can do this, and this browser is not the organiser's.")


class LinkGoneError(NotFound):
    """The one-time link was never there, or is no longer."""

    message = gettext_noop("This link has been used or has expired. Ask for a new one.")


def init_app(app: Quart) -> None:
    """Answer every error with a sentence."""
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(MethodNotAllowed, _handle_method_not_allowed)
    for error in (
        BusyError,
        TooManyViewersError,
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.ReadOnlySqlTransaction,
    ):
        app.register_error_handler(error, _handle_unavailable)


def message_target(selector: str) -> Callable[[View], View]:
    """Decorate a route with where its error messages appear."""

    def decorate(view: View) -> View:
        view.message_target = selector  # type: ignore[attr-defined]
        return view

    return decorate


async def handle_http_exception(error: HTTPException) -> Response:
    """Return the page or the fragment for an error.

    It says nothing about the cause.
    """
    status = error.code or 500
    headers = dict(error.get_headers())
    if isinstance(error, TooManyRequests):
        seconds = int(headers["Retry-After"])
        message = ngettext(*TOO_OFTEN, seconds) % {"seconds": seconds}
    elif isinstance(error, _OutcomeUnknown | NotOrganiserError | LinkGoneError):
        message = gettext(error.message)
    else:
        message = gettext(MESSAGES.get(status, MESSAGES[400 if status < 500 else 500]))  # noqa: PLR2004
    view = current_app.view_functions.get(request.endpoint or "")
    response = await render(
        "_error_message.html" if is_htmx() else "error_page.html",
        status,
        error=error,
        message=message,
        target=getattr(view, "message_target", DEFAULT_TARGET),
    )
    response.headers.update({name: value for name, value in headers.items() if name in KEPT_HEADERS})
    return response


async def _handle_method_not_allowed(error: MethodNotAllowed) -> Response:
    """Redirect GET of a form's address to the page.

    Without JavaScript that address is in the address bar after a refusal, where people press Enter.
    """
    is_form = "POST" in (error.valid_methods or ())
    if is_form and request.method in {"GET", "HEAD"} and not is_htmx():
        return see_other(build_url("/"))
    return await handle_http_exception(error)


class _OutcomeUnknown(ServiceUnavailable):
    """The database did not say whether it has done it."""

    message = OUTCOME_UNKNOWN


async def _handle_unavailable(error: Exception) -> Response:
    """Return the response to what may be over in seconds.

    That is a full queue, too many viewers, or a database that is away.
    """
    log_unavailable(error)
    kind = _OutcomeUnknown if isinstance(error, OutcomeUnknownError) else ServiceUnavailable
    return await handle_http_exception(kind(retry_after=RETRY_SECONDS))
