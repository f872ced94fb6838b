"""Slow clients, a flood of connections, and more registrations than the cores can hash."""

import asyncio
import socket
from contextlib import ExitStack

import httpx
import psutil
import psycopg

from tests.faults.helpers import Ledger
from tests.helpers import FORM_HEADERS, StartServer, usernames, wait_until

SHORT_TIMES = """
import quart, web.http_server
web.http_server.HEADERS_SECONDS = 3
quart.Quart.default_config = quart.Quart.default_config | {"BODY_TIMEOUT": 3}
"""
SLOW_HEADERS = b"GET / HTTP/1.1\r\nHost: roster\r\nX-Slow: "
SLOW_BODY = (
    b"POST /register HTTP/1.1\r\nHost: roster\r\nContent-Length: 100\r\n"
    b"Content-Type: %s\r\n\r\nusername=" % FORM_HEADERS["Content-Type"].encode()
)
PAGES = 50  # more than the buffers of a connection take
SLOW_READING = PAGES * b"GET / HTTP/1.1\r\nHost: roster\r\n\r\n"
SLOW_CLIENTS = 20  # of each kind
CONNECTIONS = 2000
QUEUE = 16  # passwords that wait to be hashed
CROWD = 20 * QUEUE


def connect(url: str, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    client.sendall(sent)
    return client


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def connect_and_close(url: str) -> None:
    for number in range(CONNECTIONS):
        connect(url, (b"", SLOW_HEADERS, SLOW_READING[: len(SLOW_READING) // PAGES])[number % 3]).close()


async def test_slow_clients_and_a_flood_of_connections_leave_service_to_others(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    ledger, roster = Ledger(), serve(tuning=f"exec({SHORT_TIMES!r})", DATABASE_URL=database_url)
    with ExitStack() as stack:
        slow_headers, slow_body, slow_reading = (
            [stack.enter_context(connect(roster.url, sent)) for _ in range(SLOW_CLIENTS)]
            for sent in (SLOW_HEADERS, SLOW_BODY, SLOW_READING)
        )
        async with ledger.people_registering(roster.url):
            await asyncio.to_thread(connect_and_close, roster.url)
            await ledger.wait_for_more()
        for client in slow_headers:
            assert (await asyncio.to_thread(read_all, client)).startswith(b"HTTP/1.1 408 ")
        for client in slow_body:
            response = await asyncio.to_thread(read_all, client)
            assert response.startswith(b"HTTP/1.1 408 ")
            assert b"This request cannot be read." in response
        for client in slow_reading:
            client.shutdown(socket.SHUT_WR)
            assert (await asyncio.to_thread(read_all, client)).count(b"HTTP/1.1 200 ") == PAGES
    process = psutil.Process(roster.process.pid)
    await wait_until(lambda: sum(c.status == "ESTABLISHED" for c in process.net_connections("tcp")) == 0)
    assert [c.status for c in process.net_connections("tcp")] == ["LISTEN"]
    assert not ledger.not_done | ledger.unknown
    ledger.check(usernames(psql))
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr() == ""


async def test_of_twenty_times_what_can_be_hashed_each_is_registered_or_asked_to_come_back(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    tuning = f"from services.passwords import PasswordHasher; PasswordHasher.QUEUE_LENGTH = {QUEUE}"
    ledger, roster = Ledger(), serve(tuning=tuning, DATABASE_URL=database_url)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60, limits=limits) as client:
        crowd = asyncio.gather(*(ledger.register(client, f"anna{number}x") for number in range(CROWD)))
        pages = 0
        while not crowd.done():
            assert (await client.get("/")).status_code == 200
            pages += 1
        await crowd
        assert pages
        assert len(ledger.done) >= QUEUE
        assert ledger.not_done
        assert not ledger.unknown
        await ledger.register(client, "zoe")
    assert "zoe" in ledger.done
    ledger.check(usernames(psql))
    assert await asyncio.to_thread(roster.stop) == 0
    assert "Traceback" not in roster.stderr()
