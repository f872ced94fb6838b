import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import psycopg
import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.helpers import Server, StartServer, add_users, make_certificate, wait_for_list
from web.http_protocols import MAX_HEADER_TABLE_BYTES

Headers = list[tuple[bytes, bytes]]

GET: Headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"roster"), (b":path", b"/")]
SEARCH: Headers = [*GET[:3], (b":path", b"/?q=a")]
POST: Headers = [(b":method", b"POST"), *GET[1:3], (b":path", b"/nowhere")]


class HTTP2Client:
    """A client that may send what no browser would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.body = b""

    async def flush(self) -> None:
        self.writer.write(self.connection.data_to_send())
        await self.writer.drain()

    def receive(self, data: bytes) -> list[h2.events.Event]:
        """Return what has happened; keep the bodies of responses."""
        events = self.connection.receive_data(data)
        self.body += b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))
        return events

    async def request(self, headers: Headers, *, end_stream: bool = True) -> int:
        """Send a request; return the number of its stream."""
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, headers, end_stream=end_stream)
        await self.flush()
        return stream_id

    async def status(self, stream_id: int) -> int:
        """Wait for the response of a stream; return its status."""
        async with asyncio.timeout(30):
            while data := await self.reader.read(65536):
                for event in self.receive(data):
                    if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream_id:
                        return int(dict(event.headers)[b":status"])
                    assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)
        message = "the server has closed the connection"
        raise EOFError(message)


@pytest.fixture
def roster(serve: StartServer, tmp_path: Path, database_url: str) -> Server:
    return serve(DATABASE_URL=database_url, **make_certificate(tmp_path))


async def connect(roster: Server) -> HTTP2Client:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    port = int(roster.url.rpartition(":")[2])
    return HTTP2Client(*await asyncio.open_connection("127.0.0.1", port, ssl=context))


@pytest_asyncio.fixture
async def client(roster: Server) -> AsyncIterator[HTTP2Client]:
    """A connection over HTTP/2, which must leave nothing in the log."""
    client = await connect(roster)
    yield client
    assert await client.status(await client.request(GET)) == 200
    client.writer.close()
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr() == ""


async def test_a_page_that_is_asked_for_with_a_body_is_sent(client: HTTP2Client) -> None:
    stream_id = await client.request(GET, end_stream=False)
    for _ in range(40):
        client.connection.send_data(stream_id, b"x")
    client.connection.end_stream(stream_id)
    await client.flush()
    assert await client.status(stream_id) == 200


async def test_odd_requests_get_a_response(client: HTTP2Client) -> None:
    requests: list[tuple[Headers, int]] = [
        ([*GET[:3], (b":path", "/ü".encode())], 400),
        ([(b":method", "GÜT".encode()), *GET[1:]], 400),
        ([*GET[:3], (b":path", b"/?" + b"a&" * 7500)], 200),
        ([*GET[:3], (b":path", b"/?" + b"a&" * 8500)], 431),
        ([*GET, *[(b"x", b"y")] * 1000], 431),
        ([(b":method", b"CONNECT"), (b":authority", b"roster:443")], 501),
        ([(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]], 501),
        ([(b":method", b"head"), *GET[1:]], 501),
        ([(b":method", b"BREW"), *GET[1:]], 405),
        ([*GET[:3], (b":path", b"*")], 404),
        ([*GET[:3], (b":path", b"/%ff")], 404),
    ]
    for headers, status in requests:
        assert await client.status(await client.request(headers)) == status, headers


async def test_data_after_an_early_response_is_taken(client: HTTP2Client) -> None:
    stream_id = await client.request(POST, end_stream=False)
    assert await client.status(stream_id) == 404
    for _ in range(20):
        client.connection.send_data(stream_id, b"x" * 1000)
        await client.flush()
    client.connection.end_stream(stream_id)
    await client.flush()


async def test_a_viewer_that_takes_nothing_gets_only_the_newest_change_later(
    roster: Server, client: HTTP2Client, psql: psycopg.Connection
) -> None:
    client.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream_id = await client.request([*GET[:3], (b":path", b"/live")])
    assert await client.status(stream_id) == 200
    async with httpx.AsyncClient(base_url=roster.url, verify=False) as other:  # noqa: S501
        for number in range(5):
            add_users(psql, 1, f"user{number}x")
            await wait_for_list(other, f"user{number}x1")
    client.connection.increment_flow_control_window(100_000, stream_id)
    await client.flush()
    while b"user4x1" not in client.body:
        client.receive(await client.reader.read(65536))
    assert client.body.count(b"\nid: ") == 1


async def test_a_request_without_an_end_does_not_keep_it_from_stopping(roster: Server) -> None:
    client = await connect(roster)
    assert await client.status(await client.request(GET)) == 200
    await client.request([POST[0], *GET[1:3], (b":path", b"/register")], end_stream=False)
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr() == ""


async def test_many_priorities_are_ignored(client: HTTP2Client) -> None:
    for number in range(1500):
        client.connection.prioritize(2 * number + 1, weight=7, depends_on=2 * number + 3)
    await client.flush()


async def test_the_header_table_stays_small_whatever_the_client_allows(client: HTTP2Client) -> None:
    client.connection.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**24})
    assert await client.status(await client.request(GET)) == 200
    assert client.connection.decoder.header_table_size == MAX_HEADER_TABLE_BYTES


async def test_a_connect_that_is_reset_at_once_is_forgotten(client: HTTP2Client) -> None:
    stream_id = client.connection.get_next_available_stream_id()
    client.connection.send_headers(stream_id, [(b":method", b"CONNECT"), (b":authority", b"roster:443")])
    client.connection.reset_stream(stream_id)
    await client.flush()


async def test_a_client_that_resets_its_requests_at_once_is_disconnected(
    roster: Server, client: HTTP2Client
) -> None:
    hasty = await connect(roster)
    for _ in range(1500):
        stream_id = hasty.connection.get_next_available_stream_id()
        hasty.connection.send_headers(stream_id, SEARCH, end_stream=True)
        hasty.connection.reset_stream(stream_id)
    await hasty.flush()
    events = hasty.receive(await hasty.reader.read())
    assert [event.error_code for event in events if isinstance(event, h2.events.ConnectionTerminated)] == [
        ErrorCodes.ENHANCE_YOUR_CALM
    ]
    hasty.writer.close()
    assert await client.status(await client.request(GET)) == 200
