"""The HTTP server: its connections and their bounds.

Hypercorn speaks HTTP. Accepting and closing connections is done here, since its own server holds a
connection that the client has closed for as long as an idle one.
"""

import asyncio
import logging
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from werkzeug.datastructures import Headers

from services.address_counter import AddressCounter
from services.logs import is_due
from web.client_address import parse_client_address
from web.http_protocols import HTTP1Protocol, HTTP2Protocol

SocketAddress = tuple[Any, ...]

KEEP_ALIVE_SECONDS = 75
HEADERS_SECONDS = 10  # from the first byte of a request to the last of its headers; a TLS handshake too
LINGER_SECONDS = 1  # in which what still arrives is read: else it would reset the connection
IDLE_SHARE = 1 / 5  # of the time for responses at a stop: a request may be on its way to an idle connection
SHUTDOWN_SECONDS = 2  # for the application to close, at a stop
# A classroom of 300 behind one address needs 1,800: browsers open six connections to a host.
CONNECTIONS_PER_ADDRESS = 5000
ACCEPTS_AT_ONCE = 4  # before other work, and other workers, get their turn
ACCEPT_PAUSE = 0.1  # seconds, when the system has no more files for us
READ_BYTES = 16 * 1024

logger = logging.getLogger(__name__)


def _new_config() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")  # by name it would get a format of its own
    config.include_server_header = False
    config.keep_alive_max_requests = sys.maxsize  # Hypercorn would close a connection after 1,000
    config.shutdown_timeout = SHUTDOWN_SECONDS
    return config


class HTTPServer:
    """Serves an ASGI application on a listening socket.

    Over TLS, that is HTTP/2 and HTTP/1.1; without, HTTP/1.1. `connections_per_address` bounds the open
    connections of one peer; None where the peer is a proxy, which brings everybody.
    """

    def __init__(
        self,
        app: ASGIFramework,
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        connections_per_address: int | None = CONNECTIONS_PER_ADDRESS,
    ) -> None:
        self.app = ASGIWrapper(app)
        self.config = _new_config()
        self.context = WorkerContext(None)
        self.state: LifespanState = {}
        self.tls = tls
        self._listener = listener
        self._bound = connections_per_address or sys.maxsize
        self._open = AddressCounter()
        self._connections: dict[asyncio.Task[None], Connection] = {}

    async def serve(self, wait_for_stop: Callable[[], Awaitable[float]]) -> None:
        """Serve until `wait_for_stop` returns.

        Responses in progress then have as many seconds as it returns, and idle connections a fifth of that
        for a last request. The application has 2 s to close.
        """
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(self.app, self.config, loop, self.state)
        lifespan_task = loop.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        if lifespan_task.done():
            lifespan_task.result()  # raises what went wrong
        self._listener.settimeout(0)
        loop.add_reader(self._listener, self._accept)
        graceful_seconds = await wait_for_stop()
        loop.remove_reader(self._listener)
        self._listener.close()
        await self._close_connections(graceful_seconds)
        await lifespan.wait_for_shutdown()
        await lifespan_task

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                client, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no more files: those who wait must not keep us busy
                if is_due("accept"):
                    logger.error("No connection can be accepted: %s", error)  # noqa: TRY400 (the line says all)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(ACCEPT_PAUSE, self._resume_accepting)
                return
            self._connect(client, peer)

    def _connect(self, client: socket.socket, peer: SocketAddress) -> None:
        address = parse_client_address(peer[0], Headers(), 0)
        if self._open[address] >= self._bound:
            client.close()
            return
        connection = Connection(self, client, peer)
        task = asyncio.create_task(self._run(connection, address))
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    async def _run(self, connection: "Connection", address: str) -> None:
        with self._open.counting(address):
            await connection.run()

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _close_connections(self, graceful_seconds: float) -> None:
        await self.context.terminated.set()
        self.config.keep_alive_max_requests = 0  # HTTP/1.1 responses say "Connection: close" from now on
        for connection in self._connections.values():
            connection.close_if_idle(IDLE_SHARE * graceful_seconds)
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=graceful_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


class Connection:
    """A client's connection."""

    def __init__(self, server: HTTPServer, client: socket.socket, peer: SocketAddress) -> None:
        self._server = server
        self._client = client
        self._peer = peer
        self._reader = asyncio.StreamReader()
        self._writer: asyncio.StreamWriter
        self._protocol: HTTP1Protocol | HTTP2Protocol
        self._deadline = asyncio.timeout(KEEP_ALIVE_SECONDS)  # of reading
        self._is_idle = True  # nothing of a request has come
        self._is_closing = False

    async def run(self) -> None:
        """Serve the client until one side closes."""
        loop = asyncio.get_running_loop()
        stream_protocol = asyncio.StreamReaderProtocol(self._reader)
        timeouts = {"ssl_handshake_timeout": HEADERS_SECONDS, "ssl_shutdown_timeout": LINGER_SECONDS}
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: stream_protocol,
                self._client,
                ssl=self._server.tls,
                **(timeouts if self._server.tls else {}),
            )
        except OSError:  # it speaks no TLS, or is gone
            return
        self._writer = asyncio.StreamWriter(transport, stream_protocol, self._reader, loop)
        try:
            await self._serve(loop)
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        finally:
            transport.abort()

    def close_if_idle(self, seconds: float) -> None:
        """Close the connection unless a request begins in that time."""
        if self._is_idle:
            self._set_deadline(seconds)

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        async with TaskGroup(loop) as tasks:
            self._protocol = self._create_protocol(tasks)
            await self._protocol.initiate()
            try:
                with suppress(TimeoutError, OSError):
                    async with self._deadline:
                        await self._read()
            finally:  # cancelled, too: HTTP/2 would wait for ever to send the ends of its responses
                await self._protocol.handle(Closed())

    def _create_protocol(self, tasks: TaskGroup) -> HTTP1Protocol | HTTP2Protocol:
        tls = self._writer.get_extra_info("ssl_object")
        is_http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        return (HTTP2Protocol if is_http2 else HTTP1Protocol)(
            self._server.app,
            self._server.config,
            self._server.context,
            tasks,
            ConnectionState(self._server.state),
            tls is not None,
            self._peer[:2],
            self._client.getsockname()[:2],
            self._send,
        )

    async def _read(self) -> None:
        while data := await self._reader.read(READ_BYTES):
            if self._is_closing:
                continue
            if self._is_idle and isinstance(self._protocol, HTTP1Protocol):
                self._is_idle = False
                self._set_deadline(HEADERS_SECONDS)
            await self._protocol.handle(RawData(data))

    async def _send(self, event: Event) -> None:
        """Do what the protocol asks for."""
        if isinstance(event, RawData):
            try:
                self._writer.write(event.data)
                await self._writer.drain()
            except (OSError, RuntimeError):  # the client is gone; RuntimeError comes from uvloop
                self._set_deadline(0)
        elif isinstance(event, Updated):
            self._is_idle = event.idle
            idle_seconds = 0 if self._server.context.terminated.is_set() else KEEP_ALIVE_SECONDS
            self._set_deadline(idle_seconds if event.idle else None)
        elif isinstance(event, Closed) and not self._is_closing:
            self._is_closing = True
            self._close_gracefully()

    def _close_gracefully(self) -> None:
        """End the response, and read on for a moment.

        Data that is not read would reset the connection, and the client might lose the response.
        """
        is_lingering = self._writer.can_write_eof() and not self._server.context.terminated.is_set()
        if is_lingering:
            with suppress(OSError, RuntimeError):
                self._writer.write_eof()
        self._set_deadline(LINGER_SECONDS if is_lingering else 0)

    def _set_deadline(self, seconds: float | None) -> None:
        with suppress(RuntimeError):  # reading has ended, or has not begun
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(None if seconds is None else now + seconds)
