"""The database: the shared connection pool, migrations, and one function per query."""

import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

PAGE_SIZE = 50
MIGRATIONS = Path(__file__).parent / "migrations"
CONNECT_SECONDS = "5"  # a host; libpq's own default is to wait for ever
WAIT_SECONDS = 5.0  # for a free connection, before the visitor is asked to try again

Pool: TypeAlias = AsyncConnectionPool[psycopg.AsyncConnection]
T = TypeVar("T")


class SchemaError(Exception):
    """The database cannot be used; the text says why in one line."""


@dataclass(frozen=True)
class User:
    """A person on the list."""

    id: int
    username: str
    registered_at: datetime


@dataclass(frozen=True)
class Roster:
    """One page of the list, newest first, and the number of people in all of it.

    `older` and `newer` are the cursors of the neighbouring pages, None where there is none.
    """

    size: int
    users: list[User]
    older: str | None
    newer: str | None

    @property
    def is_newest(self) -> bool:
        """Whether this page shows the newest people."""
        return self.newer is None


def create_pool(conninfo: str, size: int) -> Pool:
    """Return a closed pool of at most `size` connections in autocommit mode."""
    return AsyncConnectionPool(
        with_timeout(conninfo),
        kwargs={"autocommit": True},
        min_size=1,
        max_size=size,
        timeout=WAIT_SECONDS,
        max_waiting=1000,
        reconnect_timeout=5,
        open=False,
    )


def with_timeout(conninfo: str) -> str:
    """Return the connection string with a bounded connection time, unless it sets its own."""
    return make_conninfo(conninfo, **({"connect_timeout": CONNECT_SECONDS} | conninfo_to_dict(conninfo)))


def migrate(conninfo: str) -> None:
    """Bring the schema up to date: each new file of `migrations/`, in order, all or nothing.

    Processes that start together wait for each other. Raises SchemaError when the database cannot
    be reached or used.
    """
    try:
        with psycopg.connect(with_timeout(conninfo)) as connection:
            if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
                message = f"the database is encoded in {encoding}; Roster needs UTF8"
                raise SchemaError(message)
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('roster.migrate'))")
            connection.execute(
                """
                CREATE TABLE IF NOT EXISTS migrations (
                    name       text PRIMARY KEY,
                    applied_at timestamptz NOT NULL DEFAULT now()
                )
                """,
            )
            applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
            for file in sorted(MIGRATIONS.glob("*.sql")):
                if file.name not in applied:
                    connection.execute(file.read_bytes())
                    connection.execute("INSERT INTO migrations (name) VALUES (%s)", [file.name])
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise SchemaError(reason) from None


async def select_roster(pool: Pool, *, before: str = "", after: str = "") -> Roster:
    """Return the newest page, or the page before or after a cursor in the order of registering.

    A cursor that cannot be read counts as none; so does an `after` with no full page behind it.
    """
    older_than, newer_than = _decode_cursor(before), _decode_cursor(after)
    if newer_than is not None:
        size, users = await _select_page(pool, "u.id > %(id)s ORDER BY u.id", newer_than)
        if len(users) > PAGE_SIZE:
            shown = users[PAGE_SIZE - 1 :: -1]
            return Roster(size, shown, _encode_cursor(shown[-1]), _encode_cursor(shown[0]))
    elif older_than is not None:
        size, users = await _select_page(pool, "u.id < %(id)s ORDER BY u.id DESC", older_than)
        if users:
            shown = users[:PAGE_SIZE]
            older = _encode_cursor(shown[-1]) if len(users) > PAGE_SIZE else None
            return Roster(size, shown, older, _encode_cursor(shown[0]))
    size, users = await _select_page(pool, "true ORDER BY u.id DESC")
    shown = users[:PAGE_SIZE]
    return Roster(size, shown, _encode_cursor(shown[-1]) if len(users) > PAGE_SIZE else None, None)


async def _select_page(pool: Pool, page: str, cursor: int = 0) -> tuple[int, list[User]]:
    """Return the number of users and, in the same snapshot, one more than fit on a page."""

    async def select(connection: psycopg.AsyncConnection) -> tuple[int, list[User]]:
        async with connection.cursor() as rows:
            await rows.execute(
                f"""
                SELECT roster.size, shown.*
                FROM roster LEFT JOIN LATERAL (
                    SELECT u.id, u.username, u.registered_at FROM users AS u
                    WHERE {page} LIMIT {PAGE_SIZE + 1}
                ) AS shown ON true
                """,  # noqa: S608 (`page` is one of the three literals above)
                {"id": cursor},
            )
            found = await rows.fetchall()
        return found[0][0], [User(*row[1:]) for row in found if row[1] is not None]

    return await _with_retry(pool, select)


async def select_user(pool: Pool, username_key: str) -> User | None:
    """Return the user of that key, if there is one."""

    async def select(connection: psycopg.AsyncConnection) -> User | None:
        async with connection.cursor(row_factory=class_row(User)) as rows:
            await rows.execute(
                "SELECT id, username, registered_at FROM users WHERE username_key = %s",
                [username_key],
            )
            return await rows.fetchone()

    return await _with_retry(pool, select)


async def insert_user(pool: Pool, username: str, username_key: str, password_hash: str) -> bool:
    """Insert a user and return True, or False if the key exists already.

    When the connection broke midway the insert may have committed, so it is repeated once; then a
    conflict with our own hash, whose salt is random, means that it had.
    """

    async def insert(connection: psycopg.AsyncConnection) -> bool:
        inserted = await connection.execute(
            """
            INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, %s)
            ON CONFLICT (username_key) DO NOTHING
            """,
            [username, username_key, password_hash],
        )
        if inserted.rowcount:
            return True
        own = await connection.execute(
            "SELECT FROM users WHERE username_key = %s AND password_hash = %s",
            [username_key, password_hash],
        )
        return own.rowcount == 1

    return await _with_retry(pool, insert)


async def _with_retry(pool: Pool, work: Callable[[psycopg.AsyncConnection], Awaitable[T]]) -> T:
    """Do `work` on a pooled connection; if the connection was broken, once more on a fresh one."""
    connection = None
    try:
        async with pool.connection() as connection:
            return await work(connection)
    except psycopg.OperationalError:
        if connection is None or not connection.closed:
            raise
    await pool.check()
    async with pool.connection() as connection:
        return await work(connection)


def _encode_cursor(user: User) -> str:
    return base64.urlsafe_b64encode(f"id{user.id}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> int | None:
    """Return the id in a cursor, None if it is no cursor of ours."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    found = re.fullmatch(rb"id([0-9]{1,18})", text)
    return int(found[1]) if found else None
