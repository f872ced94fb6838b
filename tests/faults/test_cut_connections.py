"""What a visitor is told when the connection to the database is cut, at every point of an action."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest
from jinja2 import FileSystemBytecodeCache
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from quart import Quart

import db
from app import create_app
from routes import home
from services.tokens import hash_token, new_token
from settings import Settings
from tests.faults.helpers import NOTHING_IS_LOST, OUTCOME_UNKNOWN
from tests.helpers import PASSWORD, http_client, is_signed_in, usernames
from web import responses
from web.request_context import get_services

NEW_PASSWORD = "another unlikely phrase"
MANY = 200  # more messages than any action exchanges


@dataclass
class CuttingProxy:
    """Passes on what program and database say, and drops one message and all connections with it.

    With `stays_away` it refuses new connections after the cut.
    """

    target: str
    stays_away: bool
    messages_left: int | None = None
    has_cut: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def arm(self, messages: int) -> None:
        """Drop the message that follows so many others."""
        self.messages_left, self.has_cut = messages, False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Yield a connection string of the database that leads through here."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            yield make_conninfo(self.target, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
            self._abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = conninfo_to_dict(self.target)
        host, port = str(target["host"]), target.get("port", 5432)
        if self.has_cut and self.stays_away:
            writer.close()
            return
        there_reader, there_writer = (
            await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host.startswith("/")
            else await asyncio.open_connection(host, port)
        )
        self._open |= {writer, there_writer}
        with suppress(OSError):
            await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))
        self._open -= {writer, there_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.messages_left is not None and not self.has_cut:
                if self.messages_left == 0:
                    self.has_cut = True
                    self._abort()
                self.messages_left -= 1
            if writer.is_closing():
                return
            writer.write(data)
        writer.close()

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()


@dataclass(frozen=True)
class Action:
    """Something a visitor does, and how to see by hand whether it was done."""

    path: str
    fields: dict[str, str]
    is_done: Callable[[psycopg.Connection, Quart, str], Awaitable[bool]]
    needs_account: bool = True
    needs_session: bool = False


async def is_registered(psql: psycopg.Connection, _: Quart, username: str) -> bool:
    return username in usernames(psql)


async def is_deleted(psql: psycopg.Connection, _: Quart, username: str) -> bool:
    return username not in usernames(psql)


async def has_session(psql: psycopg.Connection, _: Quart, username: str) -> bool:
    found = psql.execute("SELECT FROM sessions JOIN users ON id = user_id WHERE username = %s", [username])
    return bool(found.rowcount)


async def has_no_session(psql: psycopg.Connection, app: Quart, username: str) -> bool:
    return not await has_session(psql, app, username)


async def has_new_password(_: psycopg.Connection, app: Quart, username: str) -> bool:
    client = http_client(app)
    await client.post("/sign-in", data={"username": username, "password": NEW_PASSWORD})
    return await is_signed_in(client)


def add_account(psql: psycopg.Connection, username: str, password_hash: str) -> None:
    psql.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, %s)",
        [username, username, password_hash],
    )


def add_session(psql: psycopg.Connection, username: str) -> str:
    """Sign somebody in; return the token."""
    token = new_token()
    psql.execute(
        """
        INSERT INTO sessions (token_hash, user_id, expires_at)
        SELECT %s, id, now() + '1 day' FROM users WHERE username = %s
        """,
        [hash_token(token), username],
    )
    return token


ACTIONS = {
    "register": Action("/register", {"password": PASSWORD}, is_registered, needs_account=False),
    "sign in": Action("/sign-in", {"password": PASSWORD}, has_session),
    "sign out": Action("/sign-out", {}, has_no_session, needs_session=True),
    "sign out everywhere": Action("/account/sign-out-everywhere", {}, has_no_session, needs_session=True),
    "change the password": Action(
        "/account/password",
        {"current_password": PASSWORD, "new_password": NEW_PASSWORD},
        has_new_password,
        needs_session=True,
    ),
    "delete the account": Action("/account/delete", {"password": PASSWORD}, is_deleted, needs_session=True),
}


@pytest.mark.parametrize("stays_away", [False, True], ids=["back at once", "away"])
@pytest.mark.parametrize("name", ACTIONS)
async def test_wherever_the_connection_is_cut_the_sentence_is_true(  # noqa: PLR0913, PLR0917 (fixtures)
    app: Quart,
    database_url: str,
    psql: psycopg.Connection,
    compiled_templates: FileSystemBytecodeCache,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    *,
    stays_away: bool,
) -> None:
    for module, constant in (db, "POOL_SECONDS"), (home, "FALLBACK_SECONDS"), (responses, "WAIT_SECONDS"):
        monkeypatch.setattr(module, constant, 0.1)
    action = ACTIONS[name]
    seen = set()
    password_hash = await get_services(app).password_hasher.hash(PASSWORD)
    for messages in range(MANY):
        username = f"user{messages}x"
        if action.needs_account:
            add_account(psql, username, password_hash)
        proxy = CuttingProxy(database_url, stays_away)
        async with proxy.run() as proxy_url:
            through = create_app(
                Settings(database_url=proxy_url, listen_database_url=database_url, rate_limits=False)
            )
            through.jinja_env.bytecode_cache = compiled_templates
            async with through.test_app():
                client = http_client(through, htmx=messages % 2 == 0)
                if action.needs_session:
                    client.cookies.set("session", add_session(psql, username), domain="roster.test")
                await client.get("/users?q=x")  # so that a connection is there
                proxy.arm(messages)
                response = await client.post(action.path, data={"username": username} | action.fields)
                if response.is_redirect and proxy.has_cut:
                    assert (await client.get(response.headers["Location"])).status_code == 200
        is_done = await action.is_done(psql, app, username)
        outcome = read_outcome(response)
        seen.add(outcome)
        assert outcome == "unknown" or is_done is (outcome == "done"), (messages, outcome, response.text)
        if not proxy.has_cut:
            break
    else:
        pytest.fail("every run was cut")
    assert "done" in seen
    assert not stays_away or len(seen) > 1


def read_outcome(response: httpx.Response) -> str:
    if response.status_code == 503:
        assert response.headers["Retry-After"]
        assert (NOTHING_IS_LOST in response.text) is not (OUTCOME_UNKNOWN in response.text)
        return "unknown" if OUTCOME_UNKNOWN in response.text else "not done"
    assert response.status_code in {200, 303}, response.text
    return "done"
