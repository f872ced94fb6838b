"""Answers: reading a request, and the page, fragment, error or redirect that it gets."""

from datetime import timedelta
from typing import cast

import psycopg
from markupsafe import Markup
from quart import Blueprint, Response, abort, current_app, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable, TooManyRequests

import db
import security
import words
from accounts import BusyError, Passwords, RefusedError, digest
from live import Live, Snapshot
from security import FORM_TYPE, SAFE_METHODS, Limit, is_cross_site, read_fields
from words import spoken

RETRY_SECONDS = 5
SEARCH_LENGTH = 100
DONE_TIME = timedelta(minutes=1)  # for the page that says what was done to be asked for


def N_(sentence: str) -> str:  # noqa: N802 (gettext's name for it)
    """Mark a sentence for the catalogues."""
    return sentence


def NN_(singular: str, plural: str) -> tuple[str, str]:  # noqa: N802
    """Mark a sentence with a number in it for the catalogues."""
    return singular, plural


SENTENCES = {
    400: N_("This request cannot be read. Reload the page and try again."),
    403: N_("This form was sent from another site. Open this page and try again here."),
    404: N_("There is nothing at this address."),
    405: N_("This address does not take that kind of request."),
    413: N_("This is too large. A user name and a password need far less."),
    415: N_("This is not a form. Send user name and password as a URL-encoded form."),
    500: N_("Something went wrong here. It has been noted; please try again."),
    503: N_("Roster cannot do this just now. Nothing is lost: please try again in a few seconds."),
}
TOO_OFTEN = NN_(
    "That was too often. Please try again in %(seconds)s second.",
    "That was too often. Please try again in %(seconds)s seconds.",
)
UNKNOWN = N_(
    "The database did not answer, so Roster cannot say whether this was done. Look before you try again."
)

PLACES = {
    "/register": "#register-message",
    "/register/check": "#availability",
    "/sign-in": "#account-message",
    "/sign-out": "#account-message",
    "/account/password": "#account-message",
    "/account/sign-out-everywhere": "#account-message",
    "/account/delete": "#account-message",
}

UNSET = dict.fromkeys(
    ("account", "away_since", "changes", "done", "free", "refusal", "registered", "signing_in", "typed")
)

answering = Blueprint("answers", __name__)


def pool() -> db.Pool:
    """Return the connection pool of the application."""
    return cast("db.Pool", current_app.extensions["pool"])


def live() -> Live:
    """Return the live list of the application."""
    return cast("Live", current_app.extensions["live"])


def passwords() -> Passwords:
    """Return the password threads of the application."""
    return cast("Passwords", current_app.extensions["passwords"])


@answering.before_app_request
async def choose_language() -> None:
    """Answer in the language that the address names or the visitor's browser prefers."""
    [named] = read_fields(request.query_string, "lang")
    words.speak(words.choose_language(named, request.accept_languages))


@answering.before_app_request
async def refuse_cross_site() -> None:
    """Let no other site act through a visitor's browser."""
    if request.method not in SAFE_METHODS and is_cross_site(request.headers, own_origin()):
        abort(403)


@answering.after_app_request
async def keep_private(response: Response) -> Response:
    """Hand out cookies; let only its reader keep an answer, and not even them one that is personal."""
    cookies = g.get("cookies", {})
    for name, (value, max_age) in cookies.items():
        response.set_cookie(
            name,
            value,
            max_age=max_age if value else 0,
            secure=is_tls(),
            httponly=True,
            samesite="Lax",
        )
    if cookies or {cookie_name("session"), cookie_name("done")} & request.cookies.keys():
        response.headers["Cache-Control"] = "no-store"
    response.headers.setdefault("Cache-Control", "private, no-cache")
    response.vary.update(["Accept-Language", "Cookie", "HX-Request"])
    return response


def own_origin() -> str:
    """Return the origin at which the visitor's browser sees us."""
    return current_app.config["PUBLIC_ORIGIN"] or f"{request.scheme}://{request.host}"


def is_tls() -> bool:
    """Return whether the visitor's browser speaks TLS, to us or to the proxy in front."""
    return request.scheme == "https" or current_app.config["PUBLIC_ORIGIN"].startswith("https:")


def address() -> str:
    """Return what tells the visitor from others; see `security.client_address`."""
    return security.client_address(
        request.remote_addr, request.headers, current_app.config["TRUSTED_PROXY_HOPS"]
    )


async def limit(kind: Limit, *who: str) -> None:
    """Count one towards a limit, unless they are off; see `security.spend`."""
    if current_app.config["RATE_LIMITS"]:
        await security.spend(pool(), kind, *who)


def wants_fragment() -> bool:
    """Return whether HTMX asks, and a fragment of the page is the answer."""
    return request.headers.get("HX-Request") == "true"


def read_query() -> tuple[str, str, str]:
    """Return what the request asks of the list: a search, cut to a length that no name has, and cursors."""
    q, before, after = read_fields(request.query_string, "q", "before", "after")
    return q[:SEARCH_LENGTH], before, after


async def read_form(*names: str) -> list[str]:
    """Return the named fields of the form that was sent; see `read_fields`."""
    body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    if body and request.mimetype != FORM_TYPE:
        abort(415)
    return read_fields(body, *names)


def read_cookie(name: str) -> str:
    """Return a cookie's value, "" without one or if there are two, of which one is not ours."""
    values = request.cookies.getlist(cookie_name(name))
    return values[0] if len(values) == 1 else ""


def set_cookie(name: str, value: str, max_age: timedelta = db.SESSION) -> None:
    """Let the answer set a cookie, or with "" remove it."""
    g.setdefault("cookies", {})[cookie_name(name)] = value, max_age


def cookie_name(name: str) -> str:
    """Return the cookie's full name, which over TLS no other site or path can set (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{name}" if is_tls() else name


async def signed_in(patience: float | None = None) -> db.Account | None:
    """Return the account whose session the visitor's cookie names, None without one."""
    token = read_cookie("session")
    session = await db.select_session(pool(), digest(token), patience) if token else None
    if session and session.extended:
        set_cookie("session", token)
    return session.account if session else None


async def changes_since(version: int) -> Markup:
    """Return the changes to an open page, as soon as they hold that version."""
    snapshot = await live().reach(version)
    if snapshot:
        return Markup((await snapshot.rendered(spoken())).changes)  # noqa: S704
    return Markup(await render_template("_changes.html", **UNSET, roster=await db.select_roster(pool())))  # noqa: S704


async def answer(template: str, status: int = 200, **context: object) -> Response:
    """Return a page or fragment."""
    query = dict(zip(("q", "before", "after"), read_query(), strict=True))
    return Response(await render_template(template, **UNSET | query | context), status)


async def answer_form(fragment: str, status: int, **context: object) -> Response:
    """Return what a form led to: the fragment for HTMX, else the whole page."""
    if wants_fragment():
        return await answer(fragment, status, **context)
    return await answer("page.html", status, roster=await db.select_roster(pool()), **context)


async def answer_snapshot() -> Response:
    """Return the page that every visitor sees alike, from memory; 304 if the reader has it."""
    snapshot = await cast("Snapshot", live().snapshot).rendered(spoken())
    coding = request.accept_encodings.best_match(snapshot.encoded, default="identity")
    response = Response(snapshot.encoded[coding], content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.vary.add("Accept-Encoding")
    if coding != "identity":
        response.headers["Content-Encoding"] = coding
    response.set_etag(snapshot.etag, weak=True)
    return await response.make_conditional(request)


@answering.app_errorhandler(RefusedError)
async def answer_refusal(refusal: RefusedError) -> Response:
    """Return the form with the sentence by its field and the user name kept."""
    [typed] = await read_form("username")
    registering = request.path == "/register"
    return await answer_form(
        "_registered.html" if registering else "_signed.html",
        refusal.status,
        account=await signed_in(),
        refusal=refusal,
        **{"typed" if registering else "signing_in": typed},
    )


@answering.app_errorhandler(HTTPException)
async def answer_problem(error: HTTPException) -> Response:
    """Return the small page or the fragment for an error, and nothing about its cause."""
    status = error.code or 500
    headers = dict(error.get_headers())
    sentence = words.gettext(SENTENCES.get(status, SENTENCES[400 if status < 500 else 500]))  # noqa: PLR2004
    if isinstance(error, TooManyRequests):
        seconds = int(headers["Retry-After"])
        sentence = words.ngettext(*TOO_OFTEN, seconds) % {"seconds": seconds}
    elif error.description == UNKNOWN:
        sentence = words.gettext(UNKNOWN)
    template = "_problem.html" if wants_fragment() else "small.html"
    place = PLACES.get(request.path, "#notice")
    response = await answer(template, status, sentence=sentence, place=place)
    response.headers.update({k: v for k, v in headers.items() if k in {"Allow", "Retry-After"}})
    return response


@answering.app_errorhandler(BusyError)
@answering.app_errorhandler(psycopg.OperationalError)
@answering.app_errorhandler(psycopg.InterfaceError)
@answering.app_errorhandler(psycopg.errors.ReadOnlySqlTransaction)
async def answer_try_again(error: Exception) -> Response:
    """Return the answer for what a few seconds may mend: a full queue, a database that is away."""
    unknown = isinstance(error, db.NoAnswerError) and request.method not in SAFE_METHODS
    return await answer_problem(ServiceUnavailable(UNKNOWN if unknown else None, retry_after=RETRY_SECONDS))


def see_other(address: str) -> Response:
    """Return a redirect after which the browser asks with GET."""
    return redirect(address, 303)  # type: ignore[return-value]
