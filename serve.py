"""Starts Roster: settings, embedded PostgreSQL, schema, Hypercorn; and an orderly stop."""

import asyncio
import errno
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

import segno
from hypercorn.asyncio import serve
from hypercorn.config import Config
from psycopg.conninfo import conninfo_to_dict
from quart import Quart

import db
import embedded
from app import create_app
from settings import BadSettingError, Settings, read_settings, share_origin

GRACE_SECONDS = 1  # for requests under way, when asked to stop
BACKLOG = 4096  # viewers come in crowds; 100, the default, makes thousands wait half a minute

# Accepted connections inherit both. Whoever stops reading costs the kernel this much memory, and is
# dropped by it after this time (RFC 5482; Linux only).
UNREAD_BYTES = 128 * 1024
UNREAD_SECONDS = 60
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """Roster cannot start; the text says why in one line."""


def main() -> int:
    """Serve until a signal asks to stop. Return the exit status: 1 if it could not start."""
    _react(_stop_while_starting)
    try:
        settings = read_settings()
        with ExitStack() as stack:
            listener = stack.enter_context(_listening(settings))
            database_url = settings.database_url or stack.enter_context(embedded.running(settings.data_dir))
            _migrate(database_url)
            _allow_many_connections()
            bind = settings.bind[0], listener.getsockname()[1]
            app = create_app(replace(settings, database_url=database_url, bind=bind))
            print(f"Roster: {_address(listener)}")  # noqa: T201
            print(f"Database: {masked(database_url)}", flush=True)  # noqa: T201
            _print_qr_code(settings, listener)
            asked_to_stop = threading.Event()
            _react(lambda *_: asked_to_stop.set())  # an event loop must not be left by an exception
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                runner.run(_serve(app, listener, asked_to_stop))
                _react(signal.SIG_IGN)  # the end is under way
    except (BadSettingError, StartError, embedded.EmbeddedError) as error:
        print(f"Roster cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def masked(database_url: str) -> str:
    """Return a connection string as an address in which a password reads ***."""
    found = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    password = ":***" if "password" in found else ""
    user = quote(found["user"], safe="") + password + "@" if "user" in found else ""
    host, dbname = found.get("host", ""), quote(found.get("dbname", ""), safe="")
    if host.startswith("/"):
        return f"postgresql://{user}/{dbname}?host={quote(host)}"
    hosts, ports = host.split(","), found.get("port", "").split(",")
    places = [f"{h}:{p or 5432}" for h, p in zip(hosts, ports * len(hosts), strict=False)]
    return f"postgresql://{user}{','.join(places)}/{dbname}"


def _stop_while_starting(_number: int, _frame: FrameType | None) -> NoReturn:
    _react(signal.SIG_IGN)  # once is enough
    sys.exit(0)


def _react(reaction: signal.Handlers | Callable[[int, FrameType | None], object]) -> None:
    for number in SIGNALS:
        signal.signal(number, reaction)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.bind
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another program uses this port; stop it or set another BIND"
        message = f"BIND={host}:{port}: {reason}"
        raise StartError(message) from None
    if USER_TIMEOUT:
        listener.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, UNREAD_SECONDS * 1000)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
    with listener:
        yield listener


def _allow_many_connections() -> None:
    """Raise the limit of open files, often 1,024, as far as the system lets us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "unlimited" and means less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _migrate(database_url: str) -> None:
    try:
        db.migrate(database_url)
    except db.SchemaError as error:
        message = f"DATABASE_URL={masked(database_url)}: {error}"
        raise StartError(message) from None


def _print_qr_code(settings: Settings, listener: socket.socket) -> None:
    """Where others can reach the page, let a phone read its address off the terminal."""
    host, port = settings.bind[0], listener.getsockname()[1]
    everywhere = listener.getsockname()[0] in {"0.0.0.0", "::"}  # noqa: S104
    own = f"http://127.0.0.1:{port}" if everywhere else _address(listener)
    origin, only_here = share_origin(settings.public_origin or own, (host, port))
    if not only_here:
        print(f"Others: {origin}")  # noqa: T201
        segno.make(origin, micro=False).terminal(sys.stdout, compact=True)
        sys.stdout.flush()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 (not made for PyPy)
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(app: Quart, listener: socket.socket, asked_before: threading.Event) -> None:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS
    config.shutdown_timeout = 3
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_note_exception)
    stop = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if asked_before.is_set():
        stop.set()

    async def asked_to_stop() -> None:
        await stop.wait()
        app.extensions["live"].end()
        loop.call_later(GRACE_SECONDS / 2, db.expect_no_more_answers)

    await serve(app, config, shutdown_trigger=asked_to_stop)


def _note_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody caught; but that a connection was given up or cut at the end, Hypercorn should have."""
    if not isinstance(context.get("exception"), TimeoutError | asyncio.CancelledError):
        loop.default_exception_handler(context)


if __name__ == "__main__":
    sys.exit(main())
