"""The routes: a request in, a page or a fragment out."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import psycopg
import segno
from markupsafe import Markup
from quart import Blueprint, Quart, Response, abort, current_app, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable

import db
import security
import words
from accounts import (
    BusyError,
    Passwords,
    RefusedError,
    Username,
    digest,
    fold_prefix,
    new_token,
    parse_username,
    username_key,
)
from assets import serve_static
from live import Live, Snapshot
from security import BODY_LIMIT, FORM_TYPE, SAFE_METHODS, Limit, ResponseHeaders, is_cross_site, read_fields
from settings import Settings, share_origin
from words import Language, link, spoken

RETRY_SECONDS = 5
SEARCH_LENGTH = 100
DONE_TIME = timedelta(minutes=1)  # for the page that says what was done to be asked for
CLOSE_SECONDS = 1.0  # for connections that are just being made
OLD_AFTER_SECONDS = 1.0  # without a database connection, after which the visitor gets the last snapshot

N_ = str  # marks a sentence for the catalogues

SENTENCES = {
    400: N_("This request cannot be read. Reload the page and try again."),
    403: N_("This form was sent from another site. Open this page and try again here."),
    404: N_("There is nothing at this address."),
    405: N_("This address does not take that kind of request."),
    413: N_("This is too large. A user name and a password need far less."),
    415: N_("This is not a form. Send user name and password as a URL-encoded form."),
    429: N_("That was too often. Please try again in %(seconds)s seconds."),
    500: N_("Something went wrong here. It has been noted; please try again."),
    503: N_("Roster cannot do this just now. Nothing is lost: please try again in a few seconds."),
}
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

routes = Blueprint("roster", __name__)


def create_app(settings: Settings) -> Quart:
    """Return the application on the database of `settings`, whose schema is up to date.

    It opens its connections and threads when it starts serving and closes them when it ends.
    """
    app = Quart(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.config["PUBLIC_ORIGIN"] = settings.public_origin
    app.config["BIND"] = settings.bind
    app.config["MAX_VIEWERS"] = settings.max_viewers
    app.config["RATE_LIMITS"] = settings.rate_limits
    app.config["TRUSTED_PROXY_HOPS"] = settings.trusted_proxy_hops
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals["password_min_length"] = settings.password_min_length
    app.jinja_env.globals["public_origin"] = settings.public_origin
    app.register_blueprint(routes)
    serve_static(app)
    words.serve_words(app)
    app.asgi_app = ResponseHeaders(app.asgi_app, settings.public_origin)  # type: ignore[method-assign]

    live_list = Live(settings.listen_database_url or settings.database_url, partial(render_snapshot, app))
    app.extensions["live"] = live_list

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        pool = db.create_pool(settings.database_url, settings.pool_size)
        passwords = Passwords(settings.password_min_length)
        app.extensions.update(pool=pool, passwords=passwords)
        await pool.open()
        async with live_list.running():
            yield
        await pool.close(CLOSE_SECONDS)
        passwords.close()

    return app


async def render_snapshot(
    app: Quart, roster: db.Roster, away_since: datetime | None, language: Language
) -> tuple[str, str]:
    """Return the page and the changes that everybody who speaks a language sees alike."""
    with words.speaking(language):
        async with app.app_context():
            context = UNSET | {"roster": roster, "away_since": away_since}
            page = await render_template("page.html", **context)
            return page, await render_template("_changes.html", **context)


def pool() -> db.Pool:
    """Return the connection pool of the application."""
    return cast("db.Pool", current_app.extensions["pool"])


def live() -> Live:
    """Return the live list of the application."""
    return cast("Live", current_app.extensions["live"])


def passwords() -> Passwords:
    """Return the password threads of the application."""
    return cast("Passwords", current_app.extensions["passwords"])


@routes.before_app_request
async def choose_language() -> None:
    """Answer in the language that the address names or the visitor's browser prefers."""
    [named] = read_fields(request.query_string, "lang")
    words.speak(words.choose_language(named, request.accept_languages))


@routes.before_app_request
async def refuse_cross_site() -> None:
    """Let no other site act through a visitor's browser."""
    if request.method not in SAFE_METHODS and is_cross_site(request.headers, own_origin()):
        abort(403)


@routes.after_app_request
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


@routes.get("/")
async def index() -> Response:
    """Show the page: the newest people, those before or after a cursor, or those of a search."""
    done = read_cookie("done")
    is_first_page = link("/") == f"/?{request.query_string.decode(errors='replace')}".rstrip("?")
    if is_first_page and not (read_cookie("session") or done) and live().is_fresh:
        return await answer_snapshot()
    [registered] = read_fields(request.query_string, "registered")
    last = live().snapshot if is_first_page else None
    patience = OLD_AFTER_SECONDS if last else None
    try:
        account = await signed_in(patience)
        roster = await select_roster(patience)
    except psycopg.OperationalError:
        if not last:
            raise
        return await answer("page.html", roster=last.roster, away_since=live().read_at)
    user = await find_user(registered)
    name = user and user.username
    if done:
        set_cookie("done", "")
    return await answer(
        "page.html", roster=roster, account=account, registered=name, signing_in=name, done=done
    )


@routes.get("/users")
async def users() -> Response:
    """Show the list's region alone, and the address at which the page shows the same."""
    q, before, after = read_query()
    address = link("/", q=q, before=before, after=after)
    if not wants_fragment():
        return see_other(address)
    response = await answer("_users.html", account=await signed_in(), roster=await select_roster())
    response.headers["HX-Push-Url"] = address
    return response


@routes.get("/share")
async def share() -> Response:
    """Show the address at which others reach the page, and its QR code."""
    origin, only_here = share_origin(own_origin(), current_app.config["BIND"])
    code = segno.make(origin, error="m", micro=False)
    drawing = code.svg_inline(svgclass="qr", lineclass=None, omitsize=True, light="#fff")
    template = "_share.html" if wants_fragment() else "small.html"
    return await answer(template, shared=origin, only_here=only_here, qr_code=drawing)


@routes.get("/live")
async def follow() -> Response:
    """Send every change of the list as it happens (Server-Sent Events)."""
    if live().viewers >= current_app.config["MAX_VIEWERS"]:
        raise ServiceUnavailable(retry_after=RETRY_SECONDS)
    [version] = read_fields(request.query_string, "version")
    events = live().events(request.headers.get("Last-Event-ID", version), spoken())
    response = Response(b"" if request.method == "HEAD" else events, content_type="text/event-stream")
    response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


@routes.post("/register")
async def register() -> Response:
    """Register a user, and say by the form whether it worked."""
    await limit(security.REGISTER, address())
    typed, password = await read_form("username", "password")
    username = parse_username(typed)
    password_hash = await passwords().hash_new(password, username)
    version = await db.insert_user(pool(), username.shown, username.key, password_hash)
    if version is None:
        raise ExistsError(username)
    changes = await changes_since(version)
    if not wants_fragment():
        return see_other(link("/", registered=username.shown))
    return await answer(
        "_registered.html",
        account=await signed_in(),
        registered=username.shown,
        signing_in=username.shown,
        changes=changes,
    )


@routes.get("/register/check")
async def check() -> Response:
    """Say in a line whether a user name is free."""
    await limit(security.CHECK, address())
    [typed] = read_fields(request.query_string, "username")
    try:
        username = parse_username(typed)
        if await db.select_user(pool(), username.key):
            raise ExistsError(username)
    except RefusedError as refusal:
        return await answer("_availability.html", refusal=refusal)
    return await answer("_availability.html", free=username.shown)


@routes.post("/sign-in")
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


@routes.post("/sign-out")
async def sign_out() -> Response:
    """End the session, if there is one."""
    await limit(security.ACCOUNT, address())
    await db.delete_session(pool(), digest(read_cookie("session")))
    set_cookie("session", "")
    return await answer_done("signed-out")


@routes.post("/account/sign-out-everywhere")
async def sign_out_everywhere() -> Response:
    """End all sessions of the account, this one too."""
    await limit(security.ACCOUNT, address())
    if account := await signed_in():
        await db.delete_sessions(pool(), account)
    set_cookie("session", "")
    return await answer_done("signed-out-everywhere")


@routes.post("/account/password")
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


@routes.post("/account/delete")
async def delete_account() -> Response:
    """Delete the account, with everything that is stored of it."""
    [password] = await read_form("password")
    account = await verify_signed_in(password, "delete-password")
    version = await db.delete_user(pool(), account)
    set_cookie("session", "")
    return await answer_done("deleted", changes=await changes_since(version))


async def verify(key: str, password: str, field: str) -> db.Account:
    """Return the account of that user name and password. Raises WrongError, with no hint which is wrong."""
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


async def signed_in(patience: float | None = None) -> db.Account | None:
    """Return the account whose session the visitor's cookie names, None without one."""
    token = read_cookie("session")
    session = await db.select_session(pool(), digest(token), patience) if token else None
    if token and session is None:
        set_cookie("session", "")
    elif session and session.extended:
        set_cookie("session", token)
    return session.account if session else None


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


async def changes_since(version: int) -> Markup:
    """Return the changes to an open page, as soon as they hold that version."""
    snapshot = await live().reach(version)
    if snapshot:
        return Markup((await snapshot.rendered(spoken())).changes)  # noqa: S704
    return Markup(await render_template("_changes.html", **UNSET, roster=await db.select_roster(pool())))  # noqa: S704


async def find_user(username: str) -> db.User | None:
    """Return the user of that name, None if there is none or can be none."""
    try:
        return await db.select_user(pool(), parse_username(username).key)
    except RefusedError:
        return None


async def select_roster(patience: float | None = None) -> db.Roster:
    """Return the page of the list that the request asks for; `patience` as in `db.select_roster`."""
    q, before, after = read_query()
    if q:
        await limit(security.SEARCH, address())
    return await db.select_roster(
        pool(), prefix=fold_prefix(q), before=before, after=after, patience=patience
    )


class ExistsError(RefusedError):
    """The user name exists already."""

    status = 409

    def __init__(self, username: Username) -> None:
        sentence = N_("%(username)s already exists. Choose another user name.")
        super().__init__("username", sentence, username=username.shown)


class WrongError(RefusedError):
    """The password is not that of the user name, or there is none of it."""

    status = 401

    def __init__(self, field: str, sentence: str = "") -> None:
        signing_in = field == "sign-in-password"
        wrong = N_("User name or password is wrong.") if signing_in else N_("This password is wrong.")
        super().__init__(field, sentence or wrong)


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


async def answer(template: str, status: int = 200, **context: object) -> Response:
    """Return a page or fragment."""
    q, *_ = read_query()
    return Response(await render_template(template, **UNSET | {"q": q} | context), status)


async def answer_form(fragment: str, status: int, **context: object) -> Response:
    """Return what a form led to: the fragment for HTMX, else the whole page."""
    if wants_fragment():
        return await answer(fragment, status, **context)
    return await answer("page.html", status, roster=await db.select_roster(pool()), **context)


async def answer_done(done: str, account: db.Account | None = None, changes: str = "") -> Response:
    """Return the account's region as it is now, saying what was done; without HTMX go to the page."""
    if not wants_fragment():
        set_cookie("done", done, DONE_TIME)
        return see_other(link("/"))
    return await answer("_signed.html", done=done, account=account, changes=changes)


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


@routes.app_errorhandler(RefusedError)
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


@routes.app_errorhandler(HTTPException)
async def answer_problem(error: HTTPException) -> Response:
    """Return the small page or the fragment for an error, and nothing about its cause."""
    status = error.code or 500
    headers = dict(error.get_headers())
    sentence = SENTENCES.get(status, SENTENCES[400 if status < 500 else 500])  # noqa: PLR2004
    sentence = UNKNOWN if error.description == UNKNOWN else sentence
    sentence = words.gettext(sentence) % {"seconds": headers.get("Retry-After")}
    template = "_problem.html" if wants_fragment() else "small.html"
    place = PLACES.get(request.path, "#notice")
    response = await answer(template, status, sentence=sentence, place=place)
    response.headers.update({k: v for k, v in headers.items() if k in {"Allow", "Retry-After"}})
    return response


@routes.app_errorhandler(BusyError)
@routes.app_errorhandler(psycopg.OperationalError)
@routes.app_errorhandler(psycopg.InterfaceError)
@routes.app_errorhandler(psycopg.errors.ReadOnlySqlTransaction)
async def answer_try_again(error: Exception) -> Response:
    """Return the answer for what a few seconds may mend: a full queue, a database that is away."""
    unknown = isinstance(error, db.NoAnswerError) and request.method not in SAFE_METHODS
    return await answer_problem(ServiceUnavailable(UNKNOWN if unknown else None, retry_after=RETRY_SECONDS))


def see_other(address: str) -> Response:
    """Return a redirect after which the browser asks with GET."""
    return redirect(address, 303)  # type: ignore[return-value]
