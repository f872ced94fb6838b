"""HTTP/1.1 and HTTP/2, as Hypercorn speaks them, made strict.

What a client sends gets a response where there can be one, and never an error in the log.
"""

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

MAX_HEADER_TABLE_BYTES = 4096  # what HTTP/2 begins with (RFC 7541, 4.2)


class _UnsupportedVersionError(Exception):
    """The client speaks no HTTP/1; it has got its response."""


class HTTP1Protocol(H11Protocol):
    """HTTP/1.1, which never becomes HTTP/2.

    HTTP/2 needs TLS, as in every browser. An upgrade to it is ignored (RFC 9110, 7.8).
    """

    async def handle(self, event: ConnectionEvent) -> None:
        """Handle what arrives."""
        with suppress(_UnsupportedVersionError):
            await super().handle(event)

    async def refuse_slow_headers(self) -> None:
        """Respond with 408, unless all headers of a request have come."""
        if self.connection.our_state is h11.IDLE:
            await self._send_error_response(408)

    async def _create_stream(self, request: h11.Request) -> None:
        """Begin the response.

        Hypercorn fails on a handshake for WebSocket that is not ASCII, so this leaves that out.
        """
        headers = [
            (name, value)
            for name, value in request.headers
            if value.isascii() or not name.startswith(b"sec-websocket-")
        ]
        await super()._create_stream(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
        )

    async def _check_protocol(self, request: h11.Request) -> None:
        if not request.http_version.startswith(b"1."):
            await self._send_error_response(505)
            await self.send(Closed())
            raise _UnsupportedVersionError


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
        if method == b"CONNECT":
            await self._refuse(request.stream_id, b"501")  # neither proxy nor WebSocket
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
