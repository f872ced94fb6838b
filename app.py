"""The routes: a request in, a page or a fragment out."""

import json
import shutil
import tempfile
from collections.abc import AsyncGenerator
from functools import cache, partial
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlencode

import psycopg
from markupsafe import Markup
from quart import Blueprint, Quart, Response, abort, current_app, redirect, render_template, request
from servestatic import ServeStaticASGI
from servestatic.cli import main as build_static
from werkzeug.exceptions import HTTPException, ServiceUnavailable

import db
from accounts import BusyError, Passwords, RefusedError, Username, fold_prefix, parse_username
from live import Live, Snapshot
from security import BODY_LIMIT, FORM_TYPE, SAFE_METHODS, ResponseHeaders, is_cross_site, read_fields
from settings import Settings

HERE = Path(__file__).parent
SCRIPTS = "htmx.min.js", "hx-sse.min.js", "roster.js"
YEAR = "public, max-age=31536000, immutable"
RETRY_SECONDS = 5
CLOSE_SECONDS = 1.0  # for connections that are just being made
OLD_AFTER_SECONDS = 1.0  # without a database connection, after which the visitor gets the last snapshot

SENTENCES = {
    400: "This request cannot be read. Reload the page and try again.",
    403: "This form was sent from another site. Open this page and try again here.",
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    413: "This is too large. A user name and a password need far less.",
    415: "This is not a form. Send user name and password as a URL-encoded form.",
    500: "Something went wrong here. It has been noted; please try again.",
    503: "Roster cannot do this just now. Nothing is lost: please try again in a few seconds.",
}


UNSET = dict.fromkeys(("registered", "refusal", "typed", "free", "changes", "away_since"))

routes = Blueprint("roster", __name__)


def create_app(settings: Settings) -> Quart:
    """Return the application on the database of `settings`, whose schema is up to date.

    It opens its connections and threads when it starts serving and closes them when it ends.
    """
    app = Quart(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.config["PUBLIC_ORIGIN"] = settings.public_origin
    app.config["MAX_VIEWERS"] = settings.max_viewers
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals["password_min_length"] = settings.password_min_length
    app.register_blueprint(routes)
    serve_static(app)
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


async def render_snapshot(app: Quart, roster: db.Roster, is_live: bool) -> tuple[str, str]:  # noqa: FBT001
    """Return the page and the changes that everybody sees alike."""
    async with app.app_context():
        context = UNSET | {"roster": roster, "away_since": None if is_live else live().read_at}
        return await render_template("page.html", **context), await render_template(
            "_changes.html", **context
        )


def pool() -> db.Pool:
    """Return the connection pool of the application."""
    return cast("db.Pool", current_app.extensions["pool"])


def live() -> Live:
    """Return the live list of the application."""
    return cast("Live", current_app.extensions["live"])


@routes.before_app_request
async def refuse_cross_site() -> None:
    """Let no other site act through a visitor's browser."""
    own_origin = current_app.config["PUBLIC_ORIGIN"] or f"{request.scheme}://{request.host}"
    if request.method not in SAFE_METHODS and is_cross_site(request.headers, own_origin):
        abort(403)


@routes.get("/")
async def index() -> Response:
    """Show the page: the newest people, those before or after a cursor, or those of a search."""
    if not request.query_string and live().is_fresh:
        return await answer_snapshot()
    [registered] = read_fields(request.query_string, "registered")
    last = None if request.query_string else live().snapshot
    try:
        roster = await select_roster(OLD_AFTER_SECONDS if last else None)
    except psycopg.OperationalError:
        if not last:
            raise
        return await answer("page.html", roster=last.roster, away_since=live().read_at)
    user = await find_user(registered)
    return await answer("page.html", roster=roster, registered=user and user.username)


@routes.get("/users")
async def users() -> Response:
    """Show the list's region alone, and the address at which the page shows the same."""
    names = "q", "before", "after"
    query = {k: v for k, v in zip(names, read_fields(request.query_string, *names), strict=True) if v}
    address = f"/?{urlencode(query)}".rstrip("?")
    if not wants_fragment():
        return see_other(address)
    response = await answer("_users.html", roster=await select_roster())
    response.headers["HX-Push-Url"] = address
    return response


@routes.get("/live")
async def follow() -> Response:
    """Send every change of the list as it happens (Server-Sent Events)."""
    if live().viewers >= current_app.config["MAX_VIEWERS"]:
        raise ServiceUnavailable
    [version] = read_fields(request.query_string, "version")
    events = live().events(request.headers.get("Last-Event-ID", version))
    response = Response(b"" if request.method == "HEAD" else events, content_type="text/event-stream")
    response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


@routes.post("/register")
async def register() -> Response:
    """Register a user, and say by the form whether it worked."""
    typed, password = await read_form("username", "password")
    try:
        username = parse_username(typed)
        password_hash = await current_app.extensions["passwords"].hash_new(password, username)
        version = await db.insert_user(pool(), username.shown, username.key, password_hash)
        if version is None:
            raise ExistsError(username)
    except RefusedError as refusal:
        return await answer_refusal(refusal, typed)
    snapshot = await live().reach(version)
    if not wants_fragment():
        return see_other(f"/?registered={quote(username.shown, safe='')}")
    if snapshot:
        changes = snapshot.changes
    else:
        changes = await render_template("_changes.html", **UNSET, roster=await db.select_roster(pool()))
    return await answer("_registered.html", registered=username.shown, changes=Markup(changes))  # noqa: S704


@routes.get("/register/check")
async def check() -> Response:
    """Say in a line whether a user name is free."""
    [typed] = read_fields(request.query_string, "username")
    try:
        username = parse_username(typed)
        if await db.select_user(pool(), username.key):
            raise ExistsError(username)
    except RefusedError as refusal:
        return await answer("_availability.html", refusal=refusal)
    return await answer("_availability.html", free=username.shown)


async def find_user(username: str) -> db.User | None:
    """Return the user of that name, None if there is none or can be none."""
    try:
        return await db.select_user(pool(), parse_username(username).key)
    except RefusedError:
        return None


async def select_roster(patience: float | None = None) -> db.Roster:
    """Return the page of the list that the request asks for; `patience` as in `db.select_roster`."""
    q, before, after = read_fields(request.query_string, "q", "before", "after")
    return await db.select_roster(
        pool(), prefix=fold_prefix(q), before=before, after=after, patience=patience
    )


class ExistsError(RefusedError):
    """The user name exists already."""

    def __init__(self, username: Username) -> None:
        super().__init__("username", f"{username.shown} already exists. Choose another user name.")


def wants_fragment() -> bool:
    """Return whether HTMX asks, and a fragment of the page is the answer."""
    return request.headers.get("HX-Request") == "true"


async def read_form(*names: str) -> list[str]:
    """Return the named fields of the form that was sent; see `read_fields`."""
    body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    if body and request.mimetype != FORM_TYPE:
        abort(415)
    return read_fields(body, *names)


async def answer(template: str, status: int = 200, **context: object) -> Response:
    """Return a page or fragment, which only its reader may keep and must ask for again."""
    q = read_fields(request.query_string, "q")[0]
    response = Response(await render_template(template, **UNSET | {"q": q} | context), status)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "HX-Request"
    return response


async def answer_snapshot() -> Response:
    """Return the page that every visitor sees alike, from memory; 304 if the reader has it."""
    snapshot = cast("Snapshot", live().snapshot)
    coding = request.accept_encodings.best_match(snapshot.encoded, default="identity")
    response = Response(snapshot.encoded[coding], content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if coding != "identity":
        response.headers["Content-Encoding"] = coding
    response.set_etag(snapshot.etag, weak=True)
    return await response.make_conditional(request)


async def answer_refusal(refusal: RefusedError, typed: str) -> Response:
    """Return the form with the sentence by its field, the user name kept; 409 if it exists, else 422."""
    status = 409 if isinstance(refusal, ExistsError) else 422
    if wants_fragment():
        return await answer("_registered.html", status, typed=typed, refusal=refusal)
    roster = await db.select_roster(pool())
    return await answer("page.html", status, roster=roster, typed=typed, refusal=refusal)


@routes.app_errorhandler(HTTPException)
async def answer_problem(error: HTTPException) -> Response:
    """Return the small page or the fragment for an error, and nothing about its cause."""
    status = error.code or 500
    sentence = SENTENCES.get(status, SENTENCES[400 if status < 500 else 500])  # noqa: PLR2004
    place = "#register-message" if request.path == "/register" else "#notice"
    template = "_problem.html" if wants_fragment() else "problem.html"
    response = await answer(template, status, sentence=sentence, place=place)
    response.headers.update({k: v for k, v in error.get_headers() if k == "Allow"})
    if status == ServiceUnavailable.code:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


@routes.app_errorhandler(BusyError)
@routes.app_errorhandler(psycopg.OperationalError)
@routes.app_errorhandler(psycopg.InterfaceError)
@routes.app_errorhandler(psycopg.errors.ReadOnlySqlTransaction)
async def answer_try_again(_error: Exception) -> Response:
    """Return the answer for what a few seconds may mend: a full queue, a database that is away."""
    return await answer_problem(ServiceUnavailable())


def see_other(address: str) -> Response:
    """Return a redirect after which the browser asks with GET."""
    return redirect(address, 303)  # type: ignore[return-value]


def serve_static(app: Quart) -> None:
    """Serve `static/` compressed, under addresses that change with the content and never expire.

    Templates write `static("style.css")` for the address.
    """
    folder = static_folder()
    names = json.loads((Path(folder.name) / "staticfiles.json").read_text())["paths"]
    app.add_template_global(lambda name: f"/static/{names[name]}", "static")
    app.asgi_app = ServeStaticASGI(  # type: ignore[method-assign]
        app.asgi_app,
        folder.name,
        "static",
        allow_all_origins=False,
        add_headers_function=lambda headers, _path, _url: headers.__setitem__("Cache-Control", YEAR),
    )


@cache
def static_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder, removed when the process ends, with the hashed and compressed files.

    The scripts become one, `scripts.js`: HTMX starts a moment after its own, whether or not another
    file with its extension or our listeners has arrived by then.
    """
    folder = tempfile.TemporaryDirectory(prefix="roster-static-")
    with tempfile.TemporaryDirectory() as source:
        shutil.copytree(HERE / "static", source, dirs_exist_ok=True)
        scripts = [Path(source, name) for name in SCRIPTS]
        Path(source, "scripts.js").write_text("\n".join(script.read_text() for script in scripts))
        for script in scripts:
            script.unlink()
        build_static(["--all", "--no-zstd", "--quiet", source, folder.name])
    return folder
