"""FastAPI: an asynchronous pool, Starlette's signed session cookie, hashing in threads."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from psycopg.errors import UniqueViolation
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool
from starlette.middleware.sessions import SessionMiddleware

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

pool = AsyncConnectionPool(
    os.environ["DATABASE_URL"],
    kwargs={"autocommit": True, "row_factory": namedtuple_row},
    max_size=POOL_SIZE,
    open=False,
)
templates = Jinja2Templates(TEMPLATES)
templates.env.globals["style"] = STYLE


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Hold the pool open while the server runs."""
    async with pool:
        yield


app = FastAPI(lifespan=lifespan, default_response_class=HTMLResponse)
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])


@app.get("/")
async def index(request: Request) -> Response:
    """Show the page."""
    return await render_page(request)


@app.get("/users")
async def users(request: Request) -> Response:
    """Show the list alone."""
    async with pool.connection() as connection:
        people = await (await connection.execute(NEWEST)).fetchall()
    size = people[0].size if people else 0
    return templates.TemplateResponse(request, "_users.html", {"people": people, "size": size})


@app.post("/register")
async def register(
    request: Request, username: Annotated[str, Form()], password: Annotated[str, Form()]
) -> Response:
    """Register somebody and sign them in."""
    password_hash = await run_in_threadpool(hash_password, password)
    try:
        async with pool.connection() as connection:
            [person] = await (await connection.execute(INSERT, [username, password_hash])).fetchall()
    except UniqueViolation:
        return await render_page(request, TAKEN, HTTPStatus.CONFLICT)
    return sign_in_as(request, person.id)


@app.post("/sign-in")
async def sign_in(
    request: Request, username: Annotated[str, Form()], password: Annotated[str, Form()]
) -> Response:
    """Begin a session, if user name and password are right."""
    async with pool.connection() as connection:
        person = await (await connection.execute(CREDENTIALS, [username])).fetchone()
    if person is None or not await run_in_threadpool(verify_password, person.password_hash, password):
        return await render_page(request, WRONG, HTTPStatus.UNAUTHORIZED)
    return sign_in_as(request, person.id)


@app.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session."""
    request.session.clear()
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


def sign_in_as(request: Request, user_id: int) -> Response:
    """Begin a session and go to the page."""
    request.session.clear()
    request.session["user_id"] = user_id
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


async def render_page(request: Request, error: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
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
    return templates.TemplateResponse(request, "page.html", context, status)
