"""`make run`: starts everything, and stops it in order."""

import asyncio
import errno
import gc
import logging
import os
import resource
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import click
from psycopg.conninfo import conninfo_to_dict
from quart import Quart

import db
from app import create_app
from services import embedded_postgres
from services.embedded_postgres import EmbeddedPostgresError
from services.logs import set_up_output
from services.one_time_urls import try_to_create_organiser_url
from services.share_origin import format_origin, share_origin
from services.stop_signal import StopSignal
from services.terminal import print_qr_code
from services.worker_processes import (
    RESTART_SECONDS,
    WorkerArguments,
    WorkerError,
    WorkerProcesses,
    report_to_parent,
)
from settings import VERSION, BadSettingError, Settings, read_settings
from web.http_server import CONNECTIONS_PER_ADDRESS, HTTPServer
from web.request_context import get_services
from web.tls import CertificateError, create_tls_context, reload_certificate

BACKLOG = 4096  # viewers come in crowds; 100, the default, makes thousands wait half a minute

# Accepted connections inherit both. A client that stops reading costs the kernel this much memory,
# and is dropped by it after this time (RFC 5482; Linux only).
SEND_BUFFER_BYTES = 128 * 1024
USER_TIMEOUT_SECONDS = 60
TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

logger = logging.getLogger(__name__)


class StartError(Exception):
    """Roster cannot start; the text says why in one line."""


@click.command(help="Serve Roster until a signal asks to stop. The settings are explained in .env.example.")
@click.version_option(VERSION, prog_name="Roster")
@click.option("--worker", hidden=True, help="What a worker inherits; our own parent gives it.")
def main(worker: str | None) -> None:
    """Serve until a signal asks to stop.

    The exit status is 1 if Roster cannot start.
    """
    set_up_output()
    try:
        settings = read_settings()
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            if worker:
                runner.run(_run_worker(settings, WorkerArguments.parse(worker)))
                return
            with _open_listener(settings) as listener:
                runner.run(_run(settings, listener))
    except (BadSettingError, StartError, CertificateError, WorkerError, EmbeddedPostgresError) as error:
        if worker:
            logger.error("A worker process cannot start: %s", error)  # noqa: TRY400 (the line says all)
        else:
            click.echo(f"Roster cannot start: {error}", err=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        pass  # a signal came while it was starting


async def _run(settings: Settings, listener: socket.socket) -> None:
    stop_signal = StopSignal()
    tls = _create_tls_context(settings)
    async with AsyncExitStack() as stack:
        with stop_signal.cancels_task():
            database_url = settings.database_url or await stack.enter_async_context(
                embedded_postgres.run(settings.data_dir)
            )
            await _prepare_schema(settings, database_url)
            bind = settings.bind[0], listener.getsockname()[1]
            settings = replace(settings, database_url=database_url, bind=bind)
            organiser_url = (
                await try_to_create_organiser_url(settings) if sys.stdout and sys.stdout.isatty() else ""
            )
        _allow_many_connections()
        own_url = format_origin("https" if tls else "http", *listener.getsockname()[:2])
        announce = partial(_announce, settings, own_url, organiser_url)
        if settings.workers == 1:
            if tls and settings.tls_certificate and settings.tls_key:
                stop_signal.on_hangup(
                    partial(reload_certificate, tls, settings.tls_certificate, settings.tls_key)
                )
            app = create_app(settings)
            announce()
            await _serve(app, listener, tls, stop_signal)
        else:
            environment = os.environ | {"DATABASE_URL": database_url, "BIND": f"{bind[0]}:{bind[1]}"}
            workers = WorkerProcesses(listener, settings.workers, environment)
            stop_signal.on_hangup(workers.request_restart)
            await workers.run(stop_signal.wait, announce)


async def _run_worker(settings: Settings, inherited: WorkerArguments) -> None:
    stop_signal = StopSignal()
    listener, channel = socket.socket(fileno=inherited.listener), socket.socket(fileno=inherited.channel)
    app = create_app(settings, inherited.streams())

    def restart() -> None:
        stop_signal.graceful_seconds = RESTART_SECONDS
        stop_signal.request()

    stop_signal.on_hangup(restart)
    # Only checked: where a migration is missing, this worker ends, and the old ones go on.
    await _prepare_schema(replace(settings, migrate=False), settings.database_url)
    await _serve(app, listener, _create_tls_context(settings), stop_signal, channel)


def _create_tls_context(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings.tls_certificate, settings.tls_key
    return create_tls_context(certificate, key) if certificate and key else None


async def _prepare_schema(settings: Settings, database_url: str) -> None:
    try:
        await (db.migrate if settings.migrate else db.check_migrated)(database_url)
    except db.SchemaError as error:
        raise StartError(f"DATABASE_URL={display_url(database_url)}: {error}") from None


async def _serve(
    app: Quart,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    stop_signal: StopSignal,
    channel: socket.socket | None = None,
) -> None:
    services = get_services(app)
    settings = services.settings

    def give_up() -> None:
        services.password_hasher.close()
        services.database.abort_pending()

    async def wait_and_close() -> float:
        reporting = channel and asyncio.create_task(report_to_parent(channel, stop_signal.request))
        await stop_signal.wait()
        if reporting:
            reporting.cancel()
        services.live_list.close()
        # What still waits by then, for a hash or the database, can yet be answered in time.
        asyncio.get_running_loop().call_later(stop_signal.graceful_seconds / 2, give_up)
        return stop_signal.graceful_seconds

    is_bounded = settings.rate_limits and not settings.trusted_proxy_hops
    bound = CONNECTIONS_PER_ADDRESS if is_bounded else None
    # What is here by now stays. A garbage collection that goes through it blocks the event loop for 0.04 s.
    gc.collect()
    gc.freeze()
    await HTTPServer(app, listener, tls=tls, connections_per_address=bound).serve(wait_and_close)


@contextmanager
def _open_listener(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.bind
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another program uses this port; stop it or set another BIND"
        raise StartError(f"BIND={host}:{port}: {reason}") from None
    if TCP_USER_TIMEOUT:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_SECONDS * 1000)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    with listener:
        yield listener


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as possible."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "unlimited" and means less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(settings: Settings, own_url: str, organiser_url: str) -> None:
    """Print where Roster and its database are.

    If others can reach it, print that address and its QR code, too.
    """
    click.echo(f"Roster: {own_url}")
    click.echo(f"Database: {display_url(settings.database_url)}")
    if organiser_url:
        click.echo(f"Organiser: {organiser_url}")
    if origin := share_origin(settings.public_origin or own_url, settings.bind):
        click.echo(f"Others: {origin}")
        print_qr_code(origin)


def display_url(database_url: str) -> str:
    """Return a connection string as a URL without its password."""
    found = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    password = ":***" if "password" in found else ""
    user = quote(found["user"], safe="") + password + "@" if "user" in found else ""
    host, dbname = found.get("host", ""), quote(found.get("dbname", ""), safe="")
    if host.startswith("/"):
        return f"postgresql://{user}/{dbname}?host={quote(host)}"
    hosts, ports = host.split(","), found.get("port", "").split(",")
    hosts = [f"[{host}]" if ":" in host else host for host in hosts]
    addresses = [f"{h}:{p or 5432}" for h, p in zip(hosts, ports * len(hosts), strict=False)]
    return f"postgresql://{user}{','.join(addresses)}/{dbname}"


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 (not made for PyPy)
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
