import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from quart import Quart

from tests.helpers import StartServer, exchange, serving, viewing, wait_until
from web.http_server import HTTPServer
from web.request_context import get_services

REQUEST = b"GET /nowhere HTTP/1.1\r\nHost: roster\r\n\r\n"


@pytest_asyncio.fixture
async def port(live_app: Quart) -> AsyncIterator[int]:
    async with serving(live_app) as url:
        yield int(url.rpartition(":")[2])


async def test_connections_that_the_client_has_closed_are_gone(port: int) -> None:
    await exchange(port, b"GET / HTTP/1.0\r\n\r\n")
    before = len(asyncio.all_tasks())
    for number in range(300):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if number % 2:
            writer.write(REQUEST)
            await reader.readline()
        writer.close()
    await wait_until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_viewer_that_leaves_a_second_request_behind_is_gone(
    live_app: Quart, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routes.event_stream.HEARTBEAT_SECONDS", 0.05)
    await exchange(port, b"GET / HTTP/1.0\r\n\r\n")
    before = len(asyncio.all_tasks())
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n" + REQUEST)
        await wait_until(lambda: get_services(live_app).live_list.viewers == 1)
    await wait_until(lambda: len(asyncio.all_tasks()) <= before)


@pytest.mark.parametrize("request_head", [b"G", b"GET /\r\n", b"GET / HTTP/1.1\r\nHost: roster\r\n"])
async def test_headers_that_do_not_end_in_time_are_refused(
    port: int, monkeypatch: pytest.MonkeyPatch, request_head: bytes
) -> None:
    monkeypatch.setattr("web.http_server.HEADERS_SECONDS", 0.1)
    assert (await exchange(port, request_head)).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_in_the_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.http_server.KEEP_ALIVE_SECONDS", 0.1)
    assert await exchange(port) == b""
    assert (await exchange(port, REQUEST)).startswith(b"HTTP/1.1 404")


async def test_a_response_may_take_longer_than_headers_and_idle_connections(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.http_server.HEADERS_SECONDS", 0.1)
    monkeypatch.setattr("web.http_server.KEEP_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr("routes.event_stream.HEARTBEAT_SECONDS", 0.05)
    async with viewing(f"http://127.0.0.1:{port}") as viewer:
        await viewer.wait_for(0)
        assert [await viewer.next() for _ in range(10)] == [None] * 10


async def test_an_idle_connection_gets_a_last_response_after_the_stop(live_app: Quart) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stop = asyncio.Event()

    async def wait_for_stop() -> float:
        await stop.wait()
        return 600

    server = asyncio.create_task(HTTPServer(live_app, listener).serve(wait_for_stop))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: roster\r\n\r\n")
    assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
    stop.set()
    await wait_until(lambda: listener.fileno() < 0)
    writer.write(REQUEST)
    response = await reader.read()
    assert response.startswith(b"HTTP/1.1 404")
    assert b"connection: close" in response
    writer.close()
    await server


async def test_a_refused_request_gets_its_response_while_it_still_sends(port: int) -> None:
    head = b"POST /register HTTP/1.1\r\nHost: roster\r\nContent-Length: 9000000\r\n\r\n"
    assert (await exchange(port, head, b"x" * 8_000_000)).startswith(b"HTTP/1.1 413 ")


async def test_a_client_address_has_a_bounded_number_of_connections(
    serve: StartServer, database_url: str
) -> None:
    tuning = "serve.CONNECTIONS_PER_ADDRESS = 2"
    for settings, allowed in ({}, 2), ({"TRUSTED_PROXY_HOPS": "1"}, 4), ({"RATE_LIMITS": "off"}, 4):
        roster = serve(tuning=tuning, DATABASE_URL=database_url, **{"RATE_LIMITS": "on"} | settings)
        clients = [httpx.AsyncClient(base_url=roster.url, timeout=60) for _ in range(4)]
        answered = 0
        for client in clients:
            try:
                answered += (await client.get("/healthz")).status_code > 0
            except httpx.TransportError:
                continue
        assert answered == allowed
        await clients[0].aclose()
        async with asyncio.timeout(30), httpx.AsyncClient(base_url=roster.url) as client:
            while True:
                try:
                    await client.get("/")
                except httpx.TransportError:
                    continue
                break
        for client in clients:
            await client.aclose()
        await asyncio.to_thread(roster.stop)
        assert roster.stderr() == ""
