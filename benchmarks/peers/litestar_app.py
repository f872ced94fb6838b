"""Litestar: an asynchronous pool, its encrypted session cookie, hashing in threads."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

from anyio.to_thread import run_sync
from litestar import Litestar, Request, get, post
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.enums import RequestEncodingType
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig
from psycopg.errors import UniqueViolation
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.shared import (
    ACCOUNT,
    CREDENTIALS,
    INSERT,
    NEWEST,
    POOL_SIZE,
    STYLE,
    TAKEN,
    TEMPLATES,
    WRONG,
    hash_password,
    verify_password,
)

AnyRequest: TypeAlias = Request[Any, Any, Any]


@dataclass
class Credentials:
    """What the two forms send."""

    username: str
    password: str


Form: TypeAlias = Annotated[Credentials, Body(media_type=RequestEncodingType.URL_ENCODED)]

pool = AsyncConnectionPool(
    os.environ["DATABASE_URL"],
    kwargs={"autocommit": True, "row_factory": namedtuple_row},
    max_size=POOL_SIZE,
    open=False,
)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    """Hold the pool open while the server runs."""
    async with pool:
        yield


@get("/")
async def index(request: AnyRequest) -> Template:
    """Show the page."""
    return await render_page(request)


@get("/users")
async def users() -> Template:
    """Show the list alone."""
    async with pool.connection() as connection:
        people = await (await connection.execute(NEWEST)).fetchall()
    return Template("_users.html", context={"people": people, "size": people[0].size if people else 0})


@post("/register")
async def register(request: AnyRequest, data: Form) -> Redirect | Template:
    """Register somebody and sign them in."""
    password_hash = await run_sync(hash_password, data.password)
    try:
        async with pool.connection() as connection:
            [person] = await (await connection.execute(INSERT, [data.username, password_hash])).fetchall()
    except UniqueViolation:
        return await render_page(request, TAKEN, HTTPStatus.CONFLICT)
    return sign_in_as(request, person.id)


@post("/sign-in")
async def sign_in(request: AnyRequest, data: Form) -> Redirect | Template:
    """Begin a session, if user name and password are right."""
    async with pool.connection() as connection:
        person = await (await connection.execute(CREDENTIALS, [data.username])).fetchone()
    if person is None or not await run_sync(verify_password, person.password_hash, data.password):
        return await render_page(request, WRONG, HTTPStatus.UNAUTHORIZED)
    return sign_in_as(request, person.id)


@post("/sign-out")
async def sign_out(request: AnyRequest) -> Redirect:
    """End the session."""
    request.clear_session()
    return Redirect("/", status_code=HTTPStatus.SEE_OTHER)


def sign_in_as(request: AnyRequest, user_id: int) -> Redirect:
    """Begin a session and go to the page."""
    request.set_session({"user_id": user_id})
    return Redirect("/", status_code=HTTPStatus.SEE_OTHER)


async def render_page(request: AnyRequest, error: str = "", status: HTTPStatus = HTTPStatus.OK) -> Template:
    """Return the page for whoever is signed in."""
    user_id = request.session.get("user_id")
    async with pool.connection() as connection:
        account = await (await connection.execute(ACCOUNT, [user_id])).fetchone() if user_id else None
        people = await (await connection.execute(NEWEST)).fetchall()
    context = {
        "account": account,
        "people": people,
        "size": people[0].size if people else 0,
        "error": error,
    }
    return Template("page.html", context=context, status_code=status)


templates = JinjaTemplateEngine(TEMPLATES)
templates.engine.globals["style"] = STYLE
app = Litestar(
    [index, users, register, sign_in, sign_out],
    lifespan=[lifespan],
    middleware=[CookieBackendConfig(secret=os.environ["SECRET_KEY"].encode()).middleware],
    openapi_config=None,
    template_config=TemplateConfig(instance=templates),
)
