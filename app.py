"""The application, and the routes of the list and of registering: a request in, a page or a fragment out."""

from collections.abc import AsyncGenerator
from datetime import datetime
from functools import partial

import psycopg
import segno
from quart import Blueprint, Quart, Response, current_app, render_template, request
from werkzeug.exceptions import ServiceUnavailable

import db
import security
import words
from accounts import Passwords, RefusedError, Username, fold_prefix, parse_username
from answers import (
    N_,
    RETRY_SECONDS,
    UNSET,
    address,
    answer,
    answer_snapshot,
    answering,
    changes_since,
    limit,
    live,
    own_origin,
    passwords,
    pool,
    read_cookie,
    read_form,
    read_query,
    see_other,
    set_cookie,
    signed_in,
    wants_fragment,
)
from assets import serve_static
from live import Live
from security import BODY_LIMIT, ResponseHeaders, read_fields
from sessions import signing
from settings import Settings, share_origin
from words import Language, gettext, link, spoken

CLOSE_SECONDS = 1.0  # for connections that are just being made
OLD_AFTER_SECONDS = 1.0  # without a database connection, after which the visitor gets the last snapshot

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
    for blueprint in answering, routes, signing:
        app.register_blueprint(blueprint)
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
    return await answer(
        "_share.html" if wants_fragment() else "small.html",
        sentence=gettext("Share this page"),
        shared=origin,
        only_here=only_here,
        port=current_app.config["BIND"][1],
        qr_code=drawing,
    )


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


class ExistsError(RefusedError):
    """The user name exists already."""

    status = 409

    def __init__(self, username: Username) -> None:
        sentence = N_("%(username)s already exists. Choose another user name.")
        super().__init__("username", sentence, username=username.shown)


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
        if await db.select_account(pool(), username.key):
            raise ExistsError(username)
    except RefusedError as refusal:
        return await answer("_availability.html", refusal=refusal)
    return await answer("_availability.html", free=username.shown)


async def find_user(username: str) -> db.User | None:
    """Return the user of that name, None if there is none or can be none."""
    try:
        return await db.select_account(pool(), parse_username(username).key)
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
