"""The routes: a request in, a page or a fragment out."""

import json
import tempfile
from collections.abc import AsyncGenerator
from functools import cache
from pathlib import Path
from typing import cast
from urllib.parse import quote

import psycopg
from quart import Blueprint, Quart, Response, abort, current_app, redirect, render_template, request
from servestatic import ServeStaticASGI
from servestatic.cli import main as build_static
from werkzeug.exceptions import HTTPException, ServiceUnavailable

import db
from accounts import BusyError, Passwords, RefusedError, Username, parse_username
from security import BODY_LIMIT, FORM_TYPE, SAFE_METHODS, ResponseHeaders, is_cross_site, read_fields
from settings import Settings

HERE = Path(__file__).parent
YEAR = "public, max-age=31536000, immutable"
RETRY_SECONDS = 5

SENTENCES = {
    400: "This request cannot be read. Reload the page and try again.",
    403: "This form was sent from another site. Open this page and try again here.",
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    413: "This is too large. A user name and a password need far less.",
    415: "This is not a form. Send user name and password as a URL-encoded form.",
    500: "Something went wrong here. It has been noted; please try again.",
    503: "Roster is busy right now. Nothing is lost: please try again in a few seconds.",
}


routes = Blueprint("roster", __name__)


def create_app(settings: Settings, database_url: str) -> Quart:
    """Return the application on a database whose schema is up to date.

    It opens its pool and threads when it starts serving and closes them when it ends.
    """
    app = Quart(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.config["PUBLIC_ORIGIN"] = settings.public_origin
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals["password_min_length"] = settings.password_min_length
    app.register_blueprint(routes)
    serve_static(app)
    app.asgi_app = ResponseHeaders(app.asgi_app, settings.public_origin)  # type: ignore[method-assign]

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with db.create_pool(database_url, settings.pool_size) as pool:
            passwords = Passwords(settings.password_min_length)
            app.extensions.update(pool=pool, passwords=passwords)
            yield
            passwords.close()

    return app


def pool() -> db.Pool:
    """Return the connection pool of the application."""
    return cast("db.Pool", current_app.extensions["pool"])


@routes.before_app_request
async def refuse_cross_site() -> None:
    """Let no other site act through a visitor's browser."""
    own_origin = current_app.config["PUBLIC_ORIGIN"] or f"{request.scheme}://{request.host}"
    if request.method not in SAFE_METHODS and is_cross_site(request.headers, own_origin):
        abort(403)


@routes.get("/")
async def index() -> Response:
    """Show the page: the newest people, or those before or after a cursor."""
    before, after, registered = read_fields(request.query_string, "before", "after", "registered")
    roster = await db.select_roster(pool(), before=before, after=after)
    user = await find_user(registered)
    return await answer("page.html", roster=roster, registered=user and user.username)


@routes.get("/users")
async def users() -> Response:
    """Show the list's region alone, and the address at which the page shows the same."""
    address = f"/?{request.query_string.decode(errors='replace')}".rstrip("?")
    if not wants_fragment():
        return see_other(address)
    before, after = read_fields(request.query_string, "before", "after")
    response = await answer("_users.html", roster=await db.select_roster(pool(), before=before, after=after))
    response.headers["HX-Push-Url"] = address
    return response


@routes.post("/register")
async def register() -> Response:
    """Register a user, and say by the form whether it worked."""
    typed, password = await read_form("username", "password")
    try:
        username = parse_username(typed)
        password_hash = await current_app.extensions["passwords"].hash_new(password, username)
        if not await db.insert_user(pool(), username.shown, username.key, password_hash):
            raise ExistsError(username)
    except RefusedError as refusal:
        return await answer_refusal(refusal, typed)
    if not wants_fragment():
        return see_other(f"/?registered={quote(username.shown, safe='')}")
    roster = await db.select_roster(pool())
    return await answer("_registered.html", roster=roster, registered=username.shown)


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
    unset = dict.fromkeys(("registered", "refusal", "typed", "free"))
    response = Response(await render_template(template, **unset | context), status)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "HX-Request"
    return response


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
    """Return a folder, removed when the process ends, with the hashed and compressed files."""
    folder = tempfile.TemporaryDirectory(prefix="roster-static-")
    build_static(["--all", "--no-zstd", "--quiet", str(HERE / "static"), folder.name])
    return folder
