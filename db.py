"""The database: the shared connection pool, migrations, and one function per query."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

PAGE_SIZE = 50
LAST_CHARACTER = "\U0010ffff"  # Unicode's last code point, which no user name holds
BIGINT = 2**63
MIGRATIONS = Path(__file__).parent / "migrations"
CONNECT_SECONDS = "5"  # a host; libpq's own default is to wait for ever
WAIT_SECONDS = 5.0  # for a free connection, before the visitor is asked to try again
SESSION = timedelta(days=30)  # from its last use, to the day
STATEMENT_SECONDS = 4.0  # for PostgreSQL to do a statement, before it gives it up and says so
ANSWER_SECONDS = 5.0  # for PostgreSQL to answer, before its connection counts as dead

Pool: TypeAlias = AsyncConnectionPool[psycopg.AsyncConnection]
T = TypeVar("T")


class SchemaError(Exception):
    """The database cannot be used; the text says why in one line."""


class NoAnswerError(psycopg.OperationalError):
    """PostgreSQL did not answer, so that what it was sent may have been done or not."""


@dataclass(frozen=True)
class User:
    """A person on the list."""

    id: int
    username: str
    registered_at: datetime


@dataclass(frozen=True)
class Account(User):
    """A user as they themselves see it, with the hash of their password."""

    password_hash: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """A user's session; `extended` when it has just been extended, as its cookie must be too."""

    account: Account
    extended: bool


@dataclass(frozen=True)
class Roster:
    """A page of the list and, of the same moment, its version and the number of people in all of it.

    Without a `prefix` the newest people come first; with one, those whose key begins with it, in
    alphabetical order. `before` and `after` are the cursors of the neighbouring pages, None where
    there is none.
    """

    version: int
    size: int
    users: list[User]
    prefix: str
    before: str | None
    after: str | None

    @property
    def is_newest(self) -> bool:
        """Whether this page shows the newest people."""
        return not self.prefix and self.after is None


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
        configure=_configure,
        open=False,
    )


async def _configure(connection: psycopg.AsyncConnection) -> None:
    await connection.execute(f"SET statement_timeout = {STATEMENT_SECONDS * 1000:.0f}")


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


async def select_roster(
    pool: Pool, *, prefix: str = "", before: str = "", after: str = "", patience: float | None = None
) -> Roster:
    """Return the first page of the list, or the page before or after a cursor.

    A cursor that cannot be read, is of another order or has no (full) page beyond it counts as none.
    `patience` is how many seconds to wait for a connection, by default as long as the pool does.
    """
    onward, back = (after, before) if prefix else (before, after)
    backwards = _decode_cursor(back, prefix) is not None
    cursor = _decode_cursor(back if backwards else onward, prefix)

    async def select(connection: psycopg.AsyncConnection) -> Roster:
        if cursor is not None:
            roster = await _select_page(connection, prefix, cursor, backwards=backwards)
            if roster.users:
                return roster
        return await select_first_page(connection, prefix)

    return await _with_retry(pool, select, patience)


async def select_first_page(connection: psycopg.AsyncConnection, prefix: str = "") -> Roster:
    """Return the first page of the list, read on a connection of the caller's."""
    return await _select_page(connection, prefix)


async def _select_page(
    connection: psycopg.AsyncConnection,
    prefix: str,
    cursor: int | str | None = None,
    *,
    backwards: bool = False,
) -> Roster:
    """Return the page beyond the cursor; with no users if there is none or, backwards, no full one."""
    column = "username_key" if prefix else "id"
    descending = backwards if prefix else not backwards
    direction = "DESC" if descending else "ASC"
    conditions = ["true"]
    if prefix:  # a range, since LIKE with a parameter loses the index in a generic plan
        conditions += ["username_key >= %(prefix)s", "username_key < %(beyond)s"]
    if cursor is not None:
        conditions += [f"{column} {'<' if descending else '>'} %(cursor)s"]
    found = await connection.execute(
        f"""
        SELECT roster.version, roster.size, page.*
        FROM roster LEFT JOIN LATERAL (
            SELECT {column} AS place, id, username, registered_at FROM users
            WHERE {" AND ".join(conditions)}
            ORDER BY place {direction} LIMIT {PAGE_SIZE + 1}
        ) AS page ON true
        ORDER BY page.place {direction}
        """,  # noqa: S608 (put together from the literals above)
        {"prefix": prefix, "beyond": prefix + LAST_CHARACTER, "cursor": cursor},
    )
    rows = await found.fetchall()
    version, size = rows[0][:2]
    more = len(rows) > PAGE_SIZE
    shown = [row[2:] for row in rows[:PAGE_SIZE] if row[2] is not None and (more or not backwards)]
    if backwards:
        shown.reverse()
    onward = _encode_cursor(shown[-1][0]) if more else None
    back = _encode_cursor(shown[0][0]) if shown and cursor is not None else None
    before, after = (back, onward) if prefix else (onward, back)
    return Roster(version, size, [User(*row[1:]) for row in shown], prefix, before, after)


async def insert_user(pool: Pool, username: str, username_key: str, password_hash: str) -> int | None:
    """Insert a user and return a version of the roster that holds it, None if the key exists already.

    When the connection broke midway the insert may have committed, so it is repeated; then a
    conflict with our own hash, whose salt is random, means that it had.
    """

    async def insert(connection: psycopg.AsyncConnection) -> int | None:
        inserted = await connection.execute(
            """
            INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, %s)
            ON CONFLICT (username_key) DO NOTHING
            """,
            [username, username_key, password_hash],
        )
        if not inserted.rowcount:
            ours = await connection.execute(
                "SELECT FROM users WHERE username_key = %s AND password_hash = %s",
                [username_key, password_hash],
            )
            if not ours.rowcount:
                return None
        return await _select_version(connection)

    return await _with_retry(pool, insert)


async def insert_users(
    connection: psycopg.AsyncConnection, usernames: list[str], keys: list[str], hashes: list[str]
) -> int:
    """Insert users in one change, except those whose key exists already; return how many."""
    inserted = await connection.execute(
        """
        INSERT INTO users (username, username_key, password_hash)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
        ON CONFLICT (username_key) DO NOTHING
        """,
        [usernames, keys, hashes],
    )
    return inserted.rowcount


async def select_existing_keys(connection: psycopg.AsyncConnection, keys: list[str]) -> set[str]:
    """Return those of the keys that users have."""
    found = await connection.execute("SELECT username_key FROM users WHERE username_key = ANY (%s)", [keys])
    return {key async for (key,) in found}


async def select_account(pool: Pool, username_key: str) -> Account | None:
    """Return the user of that key with their password's hash, if there is one."""

    async def select(connection: psycopg.AsyncConnection) -> Account | None:
        async with connection.cursor(row_factory=class_row(Account)) as rows:
            await rows.execute(
                "SELECT id, username, registered_at, password_hash FROM users WHERE username_key = %s",
                [username_key],
            )
            return await rows.fetchone()

    return await _with_retry(pool, select)


async def update_password(
    pool: Pool, account: Account, password_hash: str, token_hash: bytes | None = None
) -> bool:
    """Give the account, unless its password has changed since it was read, a new hash.

    With a `token_hash` all its sessions end and one of that token begins. Return whether it was done.
    """

    async def update(connection: psycopg.AsyncConnection) -> bool:
        async with connection.transaction():
            await connection.execute(
                "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s",
                [password_hash, account.id, account.password_hash],
            )
            ours = await connection.execute(
                "SELECT FROM users WHERE id = %s AND password_hash = %s", [account.id, password_hash]
            )
            if ours.rowcount and token_hash:
                await connection.execute("DELETE FROM sessions WHERE user_id = %s", [account.id])
                await _insert_session(connection, account.id, password_hash, token_hash)
            return bool(ours.rowcount)

    return await _with_retry(pool, update)


async def delete_user(pool: Pool, user: User) -> int:
    """Delete a user and return a version of the roster without them."""

    async def delete(connection: psycopg.AsyncConnection) -> int:
        await connection.execute("DELETE FROM users WHERE id = %s", [user.id])
        return await _select_version(connection)

    return await _with_retry(pool, delete)


async def _select_version(connection: psycopg.AsyncConnection) -> int:
    found = await connection.execute("SELECT version FROM roster")
    [version] = await found.fetchone() or (0,)
    return int(version)


async def insert_session(pool: Pool, account: Account, token_hash: bytes, old_token_hash: bytes) -> bool:
    """Begin a session, unless the account's password has changed since it was read.

    The session of the old token ends, and so do those that have expired. Return whether it began.
    """

    async def insert(connection: psycopg.AsyncConnection) -> bool:
        await connection.execute(
            "DELETE FROM sessions WHERE expires_at < now() OR token_hash = %s", [old_token_hash]
        )
        return await _insert_session(connection, account.id, account.password_hash, token_hash)

    return await _with_retry(pool, insert)


async def _insert_session(
    connection: psycopg.AsyncConnection, user_id: int, password_hash: str, token_hash: bytes
) -> bool:
    # FOR SHARE waits for a password change or deletion under way, and then sees its result.
    await connection.execute(
        """
        INSERT INTO sessions (token_hash, user_id, expires_at)
        SELECT %s, id, now() + %s FROM users WHERE id = %s AND password_hash = %s FOR SHARE
        ON CONFLICT DO NOTHING
        """,
        [token_hash, SESSION, user_id, password_hash],
    )
    ours = await connection.execute("SELECT FROM sessions WHERE token_hash = %s", [token_hash])
    return bool(ours.rowcount)


async def select_session(pool: Pool, token_hash: bytes, patience: float | None = None) -> Session | None:
    """Return the session of a token unless it has ended; once a day it is extended by its use.

    `patience` as in `select_roster`.
    """

    async def select(connection: psycopg.AsyncConnection) -> Session | None:
        found = await connection.execute(
            """
            WITH extended AS (
                UPDATE sessions SET expires_at = now() + %(session)s
                WHERE token_hash = %(token_hash)s
                  AND expires_at BETWEEN now() AND now() + %(session)s - interval '1 day'
                RETURNING token_hash
            )
            SELECT users.id, username, registered_at, password_hash, extended.token_hash IS NOT NULL
            FROM sessions JOIN users ON users.id = user_id LEFT JOIN extended USING (token_hash)
            WHERE token_hash = %(token_hash)s AND expires_at > now()
            """,
            {"token_hash": token_hash, "session": SESSION},
        )
        row = await found.fetchone()
        return Session(Account(*row[:-1]), row[-1]) if row else None

    return await _with_retry(pool, select, patience)


async def delete_session(pool: Pool, token_hash: bytes) -> None:
    """End the session of a token."""
    await _execute(pool, "DELETE FROM sessions WHERE token_hash = %s", token_hash)


async def delete_sessions(pool: Pool, user: User) -> None:
    """End all sessions of a user."""
    await _execute(pool, "DELETE FROM sessions WHERE user_id = %s", user.id)


async def spend(pool: Pool, key: str, count: int, seconds: int) -> float:
    """Spend one of the `count` that `key` may at once; the seconds to wait if none is left, else 0.

    What is spent comes back evenly, all of it in `seconds` (GCRA, the generic cell rate algorithm of
    ATM Forum TM 4.0). A few keys that are whole again are forgotten on the way.
    """

    async def spend_one(connection: psycopg.AsyncConnection) -> float:
        await connection.execute(
            """
            DELETE FROM rate_limits WHERE key = ANY (ARRAY(
                SELECT key FROM rate_limits WHERE full_at < now()
                ORDER BY full_at LIMIT 4 FOR UPDATE SKIP LOCKED
            ))
            """
        )
        found = await connection.execute(
            """
            WITH spent AS (
                INSERT INTO rate_limits AS l VALUES (%(key)s, now() + %(one)s)
                ON CONFLICT (key) DO UPDATE SET full_at = %(one)s
                    + CASE WHEN l.full_at < now() + 2 * %(all)s THEN greatest(l.full_at, now()) ELSE now() END
                WHERE greatest(l.full_at, now()) + %(one)s <= now() + %(all)s
                   OR l.full_at >= now() + 2 * %(all)s  -- the clock was set back
                RETURNING key
            )
            SELECT CASE WHEN EXISTS (SELECT FROM spent) THEN 0 ELSE greatest(0.001, (
                SELECT extract(epoch FROM full_at + %(one)s - %(all)s - now())
                FROM rate_limits WHERE key = %(key)s
            )) END
            """,
            {"key": key, "one": timedelta(seconds=seconds / count), "all": timedelta(seconds=seconds)},
        )
        [wait] = await found.fetchone() or (0,)
        return float(wait)

    return await _with_retry(pool, spend_one)


async def give_back(pool: Pool, key: str, count: int, seconds: int) -> None:
    """Take back one that was spent of `key`; see `spend`."""
    one = timedelta(seconds=seconds / count)
    await _execute(pool, "UPDATE rate_limits SET full_at = full_at - %s WHERE key = %s", one, key)


async def _execute(pool: Pool, statement: LiteralString, *values: object) -> None:
    """Execute a statement that may be repeated."""

    async def execute(connection: psycopg.AsyncConnection) -> None:
        await connection.execute(statement, values)

    await _with_retry(pool, execute)


async def _with_retry(
    pool: Pool, work: Callable[[psycopg.AsyncConnection], Awaitable[T]], patience: float | None = None
) -> T:
    """Do `work` on a pooled connection; where the connection turns out to be broken, on another one.

    Raises NoAnswerError if it turned out so every time.
    """
    for _ in range(pool.max_size + 1):  # after a restart of PostgreSQL all of them are broken
        connection = None
        try:
            async with pool.connection(patience) as connection:
                with answer_expected(connection):
                    return await work(connection)
        except NoAnswerError:
            raise
        except psycopg.OperationalError:
            if connection is None or not connection.closed:
                raise
    raise NoAnswerError("PostgreSQL ended every connection")


_expecting: set[psycopg.AsyncConnection] = set()


@contextmanager
def answer_expected(connection: psycopg.AsyncConnection) -> Iterator[None]:
    """Break the connection if the work on it takes over five seconds, and raise NoAnswerError.

    Cancelling the work would not do: it waits for the answer of the server that is gone.
    """
    _expecting.add(connection)
    timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _break, connection)
    try:
        yield
    except psycopg.OperationalError:
        if connection not in _expecting:
            raise NoAnswerError(f"PostgreSQL did not answer within {ANSWER_SECONDS} s") from None
        raise
    finally:
        timer.cancel()
        _expecting.discard(connection)


def expect_no_more_answers() -> None:
    """Break every connection at work, as the last step before the end."""
    for connection in [*_expecting]:
        _break(connection)


def _break(connection: psycopg.AsyncConnection) -> None:
    _expecting.discard(connection)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as peer:
        peer.shutdown(socket.SHUT_RDWR)


def _encode_cursor(place: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, prefix: str) -> int | str | None:
    """Return the place in the order that the cursor names, None if it is no cursor of this order."""
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    if prefix:
        return place if isinstance(place, str) and place.isprintable() else None
    return place if type(place) is int and abs(place) < BIGINT else None
