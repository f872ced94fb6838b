"""Starts Roster: settings, embedded PostgreSQL, schema, Hypercorn; and an orderly stop."""

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

from hypercorn.asyncio import serve
from hypercorn.config import Config
from psycopg.conninfo import conninfo_to_dict
from quart import Quart

import db
import embedded
from app import create_app
from settings import BadSettingError, Settings, read_settings

BACKLOG = 4096  # viewers come in crowds; 100, the default, makes thousands wait half a minute
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """Roster cannot start; the text says why in one line."""


def main() -> int:
    """Serve until a signal asks to stop. Return the exit status: 1 if it could not start."""
    for number in SIGNALS:
        signal.signal(number, _stop_while_starting)
    try:
        settings = read_settings()
        with _listening(settings) as listener, _database(settings) as database_url:
            _migrate(database_url)
            app = create_app(settings, database_url)
            print(f"Roster: {_address(listener)}")  # noqa: T201
            print(f"Database: {masked(database_url)}", flush=True)  # noqa: T201
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                runner.run(_serve(app, listener))
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
    sys.exit(0)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.bind
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "another program uses this port; stop it or set another BIND"
        message = f"BIND={host}:{port}: {reason}"
        raise StartError(message) from None
    with listener:
        yield listener


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    if settings.database_url:
        yield settings.database_url
    else:
        with embedded.running(settings.data_dir) as database_url:
            yield database_url


def _migrate(database_url: str) -> None:
    try:
        db.migrate(database_url)
    except db.SchemaError as error:
        message = f"DATABASE_URL={masked(database_url)}: {error}"
        raise StartError(message) from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 (not made for PyPy)
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(app: Quart, listener: socket.socket) -> None:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.shutdown_timeout = 3
    stop = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    sys.exit(main())
