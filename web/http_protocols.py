"""HTTP/1.1 and HTTP/2, as Hypercorn speaks them, made strict.

What a client sends gets a response where there can be one, and never an error in the log.
"""

from collections.abc import Iterable
from contextlib import suppress

import h2.events
import h2.exceptions
import h11
from h2.errors import ErrorCodes
from hypercorn.events import Closed, Updated
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Body, Event
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

# Of a request line and headers. 64 KB of languages or of fields in a query take 0.06 s to parse.
MAX_HEADERS_BYTES = 16 * 1024
HEADER_OVERHEAD_BYTES = 32  # that each header counts beside its text (RFC 9113, 6.5.2)
MAX_HEADER_TABLE_BYTES = 4096  # what HTTP/2 begins with (RFC 7541, 4.2)


class _RefusedError(Exception):
    """The request is refused; it has got its response."""


class _Connection(h11.Connection):
    """A connection that reads nothing after its last request.

    h11 takes what comes after `Connection: close` for an error of that very request (RFC 9112, 9.6).
    """

    def receive_data(self, data: bytes) -> None:
        """Add data to what will be read."""
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what has come."""
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class HTTP1Protocol(H11Protocol):
    """HTTP/1.1, which never becomes HTTP/2.

    HTTP/2 needs TLS, as in every browser. An upgrade to it is ignored (RFC 9110, 7.8).
    """

    connection: h11.Connection

    async def initiate(self) -> None:
        """Begin to read."""
        self.connection = _Connection(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )

    async def handle(self, event: ConnectionEvent) -> None:
        """Handle what arrives."""
        if isinstance(event, Closed) and self.connection.our_state is h11.IDLE and self._has_begun():
            await self._send_error_response(408)
        with suppress(_RefusedError):
            await super().handle(event)

    def _has_begun(self) -> bool:
        """Return whether a part of a request's headers has come."""
        return bool(self.connection.trailing_data[0])

    async def _check_protocol(self, request: h11.Request) -> None:
        if status := _find_refusal(request):
            await self._send_error_response(status)
            await self.send(Closed())
            raise _RefusedError


def _find_refusal(request: h11.Request) -> int | None:
    """Return the status for a request that is refused, else None.

    The application never sees it.
    """
    headers, version = dict(request.headers), request.http_version
    if not version.startswith(b"1."):
        return 505
    if _is_too_large([(b"", request.target), *request.headers]):
        return 431
    # A proxy might see the end of the body elsewhere, and pass on a second request that is hidden in it
    # (RFC 9112, 6.1 and 11.2).
    if b"transfer-encoding" in headers and (b"content-length" in headers or version == b"1.0"):
        return 400
    if not _is_implemented(request.method):
        return 501
    if b"websocket" in headers.get(b"upgrade", b"").lower():
        return 403  # we have none, and Hypercorn would hold the connection of a broken handshake for ever
    return None


def _is_too_large(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    sizes = (len(name) + len(value) + HEADER_OVERHEAD_BYTES for name, value in headers)
    return sum(sizes) > MAX_HEADERS_BYTES


def _is_implemented(method: bytes) -> bool:
    """Return whether the application may see the method.

    It is no proxy. Hypercorn passes `head` on as HEAD, although methods are case-sensitive (RFC 9110, 9.1),
    and h11 then misses the body.
    """
    return method != b"CONNECT" and method == method.upper()


class HTTP2Protocol(H2Protocol):
    """HTTP/2 without priorities (RFC 9113, 5.3.2)."""

    async def stream_send(self, event: Event) -> None:
        """Send a part of a response once the client takes it.

        A client that grants no window holds its own stream up, and does not fill our memory.
        """
        await super().stream_send(event)
        buffer = self.stream_buffers.get(event.stream_id)
        if isinstance(event, Body) and buffer:
            await buffer.drain()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if len(self.stream_buffers) > 2 * self.config.h2_max_concurrent_streams:
                # Requests are reset faster than they can be forgotten: "rapid reset", CVE-2023-44487.
                self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                await self._flush()
                await self.send(Closed())
                return
            if isinstance(event, h2.events.RequestReceived):
                await self._handle_request(event)
            elif isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The response did not wait for the whole body.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        # The client may ask for any size, and fill the table with responses that all differ.
        encoder = self.connection.encoder
        encoder.header_table_size = min(encoder.header_table_size, MAX_HEADER_TABLE_BYTES)
        await self._flush()

    async def _handle_request(self, request: h2.events.RequestReceived) -> None:
        headers = dict(request.headers)
        method, path = headers[b":method"], headers.get(b":path", b"")
        if _is_too_large(request.headers):
            await self._refuse(request.stream_id, b"431")
        elif not _is_implemented(method):
            await self._refuse(request.stream_id, b"501")
        elif not (method.isascii() and path.isascii()):
            await self._refuse(request.stream_id, b"400")
        else:
            await self._create_stream(request)
            await self.send(Updated(idle=False))

    async def _refuse(self, stream_id: int, status: bytes) -> None:
        headers = [(b":status", status), (b"content-length", b"0"), *self.config.response_headers("h2")]
        with suppress(h2.exceptions.ProtocolError):  # the client has reset it already
            self.connection.send_headers(stream_id, headers, end_stream=True)

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Ignore the priority: Hypercorn fails when there are many."""
