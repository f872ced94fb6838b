"""The shared connection pool, and the migrations."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

MIGRATIONS = Path(__file__).parent / "migrations"
CONNECT_SECONDS = 5  # for each host; libpq itself waits for ever
RECONNECT_SECONDS = 5.0  # the longest pause of the pool between two attempts
POOL_SECONDS = 5.0  # to wait for a free connection
STATEMENT_SECONDS = 4.0  # after which PostgreSQL is asked to cancel a statement
RESPONSE_SECONDS = 5.0  # after which a connection without a response counts as broken
CLOSE_SECONDS = 1.0  # to wait, at the end, for connections that are being made
MAX_WAITING = 1000  # requests that wait for a connection
PREPARE_THRESHOLD = 5  # times that a connection runs a statement before it prepares it

Connection: TypeAlias = psycopg.AsyncConnection
P = ParamSpec("P")
T = TypeVar("T")

_pool_seconds: ContextVar[float | None] = ContextVar("pool_seconds", default=None)


class SchemaError(Exception):
    """The database cannot be used; the text says why in one line."""


class ResponseTimeoutError(psycopg.OperationalError):
    """PostgreSQL did not respond."""


class OutcomeUnknownError(psycopg.OperationalError):
    """A change may have been made or not."""


class Database:
    """The connection pool that all requests share.

    It is created closed. Every connection that waits for PostgreSQL has a deadline.

    `can_prepare` says that a connection stays one connection to PostgreSQL, which `LiveList` finds out.
    Through PgBouncer in transaction mode, prepared statements and settings of a connection get lost.
    """

    def __init__(self, conninfo: str, pool_size: int) -> None:
        self.conninfo = conninfo
        self.can_prepare = False
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            with_connect_timeout(conninfo),
            kwargs={"autocommit": True},
            min_size=1,
            max_size=pool_size,
            timeout=POOL_SECONDS,
            max_waiting=MAX_WAITING,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
        )
        self._pending: set[Connection] = set()
        self._cancelling: dict[Connection, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Start to connect, without waiting for it."""
        await self.pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self.pool.close(CLOSE_SECONDS)

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, is_change: bool = False) -> T:
        """Run `work` on a pooled connection.

        It runs again on another one where the connection was broken.

        Raises ResponseTimeoutError if PostgreSQL did not respond, or if every connection broke. Where
        `work` is a change and one of its connections broke, any error becomes OutcomeUnknownError.
        """
        may_be_done = False
        try:
            for _ in range(self.pool.max_size + 1):  # after a restart of PostgreSQL all of them are broken
                connection = None
                try:
                    async with (
                        self.pool.connection(_pool_seconds.get()) as connection,
                        self.response_deadline(connection),
                    ):
                        connection.prepare_threshold = PREPARE_THRESHOLD if self.can_prepare else None
                        return await work(connection)
                except psycopg.OperationalError as error:
                    if connection is None or not connection.closed:
                        raise
                    may_be_done = is_change
                    if isinstance(error, ResponseTimeoutError):
                        raise
            raise ResponseTimeoutError("PostgreSQL closed every connection")
        except psycopg.Error as error:
            if may_be_done:
                raise OutcomeUnknownError(str(error)) from None
            raise

    @asynccontextmanager
    async def response_deadline(self, connection: Connection) -> AsyncIterator[None]:
        """Let the block take 5 s.

        After 4 s its statement in progress is cancelled, and is not done: psycopg raises QueryCanceled. After
        5 s the connection is aborted, and the block raises ResponseTimeoutError.
        """
        self._pending.add(connection)
        loop = asyncio.get_running_loop()
        timers = [
            loop.call_later(STATEMENT_SECONDS, self._cancel, connection),
            loop.call_later(RESPONSE_SECONDS, self._abort, connection),
        ]
        try:
            yield
        except psycopg.OperationalError:
            if connection not in self._pending:
                raise ResponseTimeoutError("PostgreSQL did not respond in time") from None
            raise
        finally:
            for timer in timers:
                timer.cancel()
            self._pending.discard(connection)
            if cancelling := self._cancelling.pop(connection, None):
                await asyncio.wait([cancelling])  # it must not reach the next statement

    def abort_pending(self) -> None:
        """Abort every connection that waits for a response.

        This is the last step of a shutdown.
        """
        for connection in [*self._pending]:
            self._abort(connection)

    def _cancel(self, connection: Connection) -> None:
        self._cancelling[connection] = asyncio.create_task(_cancel_statement(connection))

    def _abort(self, connection: Connection) -> None:
        self._pending.discard(connection)
        # Cancelling the query would wait for the server, which may be gone. A shutdown of the socket
        # wakes psycopg with an error at once. It is done on a duplicate of the descriptor, because
        # the connection still owns, and later closes, its own.
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


async def _cancel_statement(connection: Connection) -> None:
    with suppress(psycopg.Error):
        await connection.cancel_safe(timeout=RESPONSE_SECONDS - STATEMENT_SECONDS)


@contextmanager
def pool_timeout(seconds: float | None) -> Iterator[None]:
    """Set how long queries in the block wait for a connection.

    With None it is as long as usual.
    """
    token = _pool_seconds.set(seconds)
    try:
        yield
    finally:
        _pool_seconds.reset(token)


def retryable(
    function: Callable[Concatenate[Connection, P], Awaitable[T]], *, is_change: bool = False
) -> Callable[Concatenate[Database | Connection, P], Coroutine[Any, Any, T]]:
    """Let callers pass the database instead of a connection.

    It then runs on a pooled connection, see `Database.run`, and must be safe to repeat.
    """

    @wraps(function)
    async def run(database: Database | Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(database, Database):
            return await database.run(
                lambda connection: function(connection, *args, **kwargs), is_change=is_change
            )
        return await function(database, *args, **kwargs)

    return run


def retryable_change(
    function: Callable[Concatenate[Connection, P], Awaitable[T]],
) -> Callable[Concatenate[Database | Connection, P], Coroutine[Any, Any, T]]:
    """Like `retryable`, for a change that a visitor asks for.

    It may raise OutcomeUnknownError.
    """
    return retryable(function, is_change=True)


def with_connect_timeout(conninfo: str) -> str:
    """Return the connection string with a connect timeout.

    One that it sets itself is kept.
    """
    return make_conninfo(conninfo, **({"connect_timeout": str(CONNECT_SECONDS)} | conninfo_to_dict(conninfo)))


async def migrate(conninfo: str) -> list[str]:
    """Apply the new files of `migrations/`, all or nothing.

    Return their names. Processes that start together wait for each other. Raises SchemaError when
    the database cannot be reached or used.
    """
    async with _connect_to_schema(conninfo) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('roster.migrate'))")
        await _narrow_search_path(connection)
        missing = await _missing_migrations(connection)
        if missing:  # else a role that may not create tables could not start Roster: this needs the right
            await connection.execute(
                """
                CREATE TABLE IF NOT EXISTS migrations (
                    name       text PRIMARY KEY,
                    applied_at timestamptz NOT NULL DEFAULT now()
                )
                """
            )
        for file in missing:
            await connection.execute(file.read_bytes())
            await connection.execute("INSERT INTO migrations (name) VALUES (%s)", [file.name])
        return [file.name for file in missing]


async def check_migrated(conninfo: str) -> None:
    """Check that no migration is missing, and change nothing.

    Raises SchemaError when one is, and when the database cannot be reached or used.
    """
    async with _connect_to_schema(conninfo) as connection:
        if missing := await _missing_migrations(connection):
            raise SchemaError(
                f"the schema lacks {missing[0].name}: "
                "run `python cli.py migrate` under the role that owns the tables"
            )


@asynccontextmanager
async def _connect_to_schema(conninfo: str) -> AsyncIterator[Connection]:
    try:
        async with await Connection.connect(with_connect_timeout(conninfo)) as connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise SchemaError(f"the database is encoded in {encoding}; Roster needs UTF8")
            yield connection
    except (psycopg.Error, UnicodeError) as error:  # UnicodeError: the host cannot be one
        raise SchemaError(" ".join(str(error).split())) from None


async def _narrow_search_path(connection: Connection) -> None:
    """Let the transaction see the schema of Roster alone.

    That is where its tables are, or else the one where new tables go. Migrations can then pin it in
    their functions, with SET search_path FROM CURRENT.
    """
    await connection.execute(
        """
        SELECT set_config('search_path', quote_ident(nspname) || ', pg_temp', true)
        FROM pg_namespace WHERE oid = coalesce(
            (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('migrations')),
            quote_ident(current_schema())::regnamespace
        )
        """
    )


async def _missing_migrations(connection: Connection) -> list[Path]:
    files = sorted(MIGRATIONS.glob("*.sql"))
    found = await connection.execute("SELECT to_regclass('migrations')")
    if await found.fetchone() == (None,):
        return files
    rows = await connection.execute("SELECT name FROM migrations")
    applied = {name async for (name,) in rows}
    return [file for file in files if file.name not in applied]
