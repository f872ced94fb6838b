"""The lesson's program repaired: Flask with hashed passwords, sessions and the newest people alone."""

import os
from http import HTTPStatus
from typing import Any

from flask import Flask, redirect, render_template, request, session
from psycopg import Connection
from psycopg.errors import UniqueViolation
from psycopg.rows import namedtuple_row
from psycopg_pool import ConnectionPool
from werkzeug import Response

from benchmarks.peers.shared import (
    ACCOUNT,
    CREDENTIALS,
    INSERT,
    NEWEST,
    POOL_SIZE,
    STYLE,
    TAKEN,
    WRONG,
    hash_password,
    verify_password,
)

app = Flask(__name__)
app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
app.jinja_env.globals["style"] = STYLE
pool: ConnectionPool[Connection[Any]] = ConnectionPool(
    os.environ["DATABASE_URL"],
    kwargs={"autocommit": True, "row_factory": namedtuple_row},
    max_size=POOL_SIZE,
    open=True,
)


@app.get("/")
def index() -> str:
    """Show the page."""
    return render_page()


@app.get("/users")
def users() -> str:
    """Show the list alone."""
    with pool.connection() as connection:
        people = connection.execute(NEWEST).fetchall()
    return render_template("_users.html", people=people, size=people[0].size if people else 0)


@app.post("/register")
def register() -> Response | tuple[str, HTTPStatus]:
    """Register somebody and sign them in."""
    password_hash = hash_password(request.form["password"])
    try:
        with pool.connection() as connection:
            [person] = connection.execute(INSERT, [request.form["username"], password_hash]).fetchall()
    except UniqueViolation:
        return render_page(TAKEN), HTTPStatus.CONFLICT
    return sign_in_as(person.id)


@app.post("/sign-in")
def sign_in() -> Response | tuple[str, HTTPStatus]:
    """Begin a session, if user name and password are right."""
    with pool.connection() as connection:
        person = connection.execute(CREDENTIALS, [request.form["username"]]).fetchone()
    if person is None or not verify_password(person.password_hash, request.form["password"]):
        return render_page(WRONG), HTTPStatus.UNAUTHORIZED
    return sign_in_as(person.id)


@app.post("/sign-out")
def sign_out() -> Response:
    """End the session."""
    session.clear()
    return redirect("/", HTTPStatus.SEE_OTHER)


def sign_in_as(user_id: int) -> Response:
    """Begin a session and go to the page."""
    session.clear()
    session["user_id"] = user_id
    return redirect("/", HTTPStatus.SEE_OTHER)


def render_page(error: str = "") -> str:
    """Return the page for whoever is signed in."""
    user_id = session.get("user_id")
    with pool.connection() as connection:
        account = connection.execute(ACCOUNT, [user_id]).fetchone() if user_id else None
        people = connection.execute(NEWEST).fetchall()
    size = people[0].size if people else 0
    return render_template("page.html", account=account, people=people, size=size, error=error)
