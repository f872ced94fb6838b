"""What no browser would send, byte for byte: it gets a response, and hides no second request."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app import create_app
from settings import Settings
from tests.helpers import exchange, new_database, serving

HOST = b"Host: roster\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
HOME = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /register HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
EXPECT = POST + b"Expect: 100-continue\r\n"
UPGRADE = GET + b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: \r\nUpgrade: "
WEBSOCKET = UPGRADE + b"websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
PRIORITY = b"\0\0\5\2\0\0\0\0\1\0\0\0\0\20"
TLS_HELLO = b"\26\3\1\0\370\1\0\0\364\3\3" + b"x" * 237

NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"

# What is sent before NEXT, and the statuses of the responses. The last one is 404, that of NEXT, only
# where the connection goes on.
REQUESTS: dict[str, tuple[bytes, list[int]]] = {
    # The length of a body: RFC 9112, 6
    "no body": (POST + b"\r\n", [422, 404]),
    "Content-Length and Transfer-Encoding": (
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [400],
    ),
    "Transfer-Encoding and Content-Length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 90\r\n\r\n0\r\n\r\n",
        [400],
    ),
    "both lengths of a GET": (
        GET + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        [400],
    ),
    "Transfer-Encoding in HTTP/1.0": (
        CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
        [400],
    ),
    "a body of GET": (GET + b"Content-Length: 5\r\n\r\na=b&c", [200, 404]),
    "a body nobody reads": (
        b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\na=b",
        [404, 404],
    ),
    "two Content-Lengths": (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\na=b&c", [400]),
    "one Content-Length twice": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\na=b", [422, 404]),
    "a list of Content-Lengths": (POST + b"Content-Length: 4, 5\r\n\r\na=b&c", [400]),
    "an empty Content-Length": (POST + b"Content-Length: \r\n\r\n", [400]),
    "a negative Content-Length": (POST + b"Content-Length: -1\r\n\r\n", [400]),
    "a plus before Content-Length": (POST + b"Content-Length: +5\r\n\r\na=b&c", [400]),
    "a hexadecimal Content-Length": (POST + b"Content-Length: 0x5\r\n\r\na=b&c", [400]),
    "an underscore in Content-Length": (POST + b"Content-Length: 1_0\r\n\r\na=b", [400]),
    "a large Content-Length": (POST + b"Content-Length: 9999999999999999999\r\n\r\n", [413]),
    "a huge Content-Length": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", [400]),
    "more than Content-Length": (POST + b"Content-Length: 3\r\n\r\na=b&c", [422, 501]),
    "an unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [501]),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", [501]),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", [501]),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
    "chunked twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [501],
    ),
    "a control character before chunked": (POST + b"Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", [400]),
    "a space after Transfer-Encoding": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400]),
    "CHUNKED": (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", [422, 404]),
    # Chunks: RFC 9112, 7.1
    "chunks": (CHUNKED + b"3\r\na=b\r\n02\r\n&c\r\n0\r\n\r\n", [422, 404]),
    "chunk extensions": (CHUNKED + b"3;x=y\r\na=b\r\n0;z\r\n\r\n", [422, 404]),
    "trailers": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", [422, 404]),
    "a bad trailer": (CHUNKED + b"0\r\nX y\r\n\r\n", [400]),
    "too many trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000, [431]),
    "a bad chunk size": (CHUNKED + b"zz\r\na=b\r\n0\r\n\r\n", [400]),
    "a negative chunk size": (CHUNKED + b"-3\r\na=b\r\n0\r\n\r\n", [400]),
    "a prefix of a chunk size": (CHUNKED + b"0x3\r\na=b\r\n0\r\n\r\n", [400]),
    "a huge chunk size": (CHUNKED + b"f" * 21 + b"\r\na=b", [400]),
    "an endless chunk size": (CHUNKED + b"3;" + b"x" * 100_000, [431]),
    "a chunk that is too short": (CHUNKED + b"9\r\na=b\r\n0\r\n\r\n", [400]),
    "a chunk that is too long": (CHUNKED + b"2\r\na=b\r\n0\r\n\r\n", [400]),
    "chunks without CR": (CHUNKED + b"3\na=b\n0\n\n", [400]),
    "a line in a chunk extension": (CHUNKED + b"3;x\ny\r\na=b\r\n0\r\n\r\n", [400]),
    # Lines and headers: RFC 9112, 2.2 and 5
    "lines without CR": (GET.replace(b"\r", b"") + b"\n", [200, 404]),
    "lines without LF": (GET.replace(b"\n", b"") + b"\r", [400]),
    "a CR in a header": (GET + b"X: y\rz\r\n\r\n", [400]),
    "an empty line before": (b"\r\n" + GET + b"\r\n", [400]),
    "a folded header": (GET + b"X: y\r\n z\r\n\r\n", [200, 404]),
    "a folded first header": (GET.replace(b"Host", b" Host") + b"\r\n", [400]),
    "NUL in a header": (GET + b"X: y\0z\r\n\r\n", [400]),
    "NUL in a header's name": (GET + b"X\0: y\r\n\r\n", [400]),
    "a header that is not ASCII": (GET + b"X: \377\r\nCookie: session=\377\r\n\r\n", [200, 404]),
    "a cookie of the page that is not UTF-8": (HOME + b"Cookie: theme=caf\351\r\n\r\n", [200, 404]),
    "a GET of the page with a body": (HOME + b"Content-Length: 3\r\n\r\na=b", [200, 404]),
    "a GET of the page with a body in many chunks": (
        HOME + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40 + b"0\r\n\r\n",
        [200, 404],
    ),
    "a header's name that is not ASCII": (GET + b"X\377: y\r\n\r\n", [400]),
    "a space before a colon": (GET + b"X : y\r\n\r\n", [400]),
    "no colon": (GET + b"X\r\n\r\n", [400]),
    "a header without a name": (GET + b": y\r\n\r\n", [400]),
    "400 headers": (GET + b"X: y\r\n" * 400 + b"\r\n", [200, 404]),
    "1,000 headers": (GET + b"X: y\r\n" * 1000 + b"\r\n", [431]),
    "40,000 headers": (GET + b"X: y\r\n" * 40_000, [431]),
    "15 KB of headers": (GET + b"X: " + b"y" * 15_000 + b"\r\n\r\n", [200, 404]),
    "15 KB of target": (b"GET /?" + b"a&" * 7500 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [200, 404]),
    "17 KB of headers": (GET + b"X: y\r\nX: " + b"y" * 16_900 + b"\r\n\r\n", [431]),
    "17 KB of target": (b"GET /?" + b"a&" * 8500 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [431]),
    "a large header": (GET + b"X: " + b"y" * 200_000, [431]),
    "a large request line": (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n", [431]),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", [400]),
    "two Hosts": (GET + HOST + b"\r\n", [400]),
    # The request line: RFC 9112, 3
    "absolute form": (b"GET http://roster/healthz HTTP/1.1\r\n" + HOST + b"\r\n", [200, 404]),
    "absolute form, and another Host": (
        b"GET http://other/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        [200, 404],
    ),
    "a broken absolute form": (b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"\r\n", [404, 404]),
    "authority form": (b"GET roster:443 HTTP/1.1\r\n" + HOST + b"\r\n", [404, 404]),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", [404, 404]),
    "no target": (b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "NUL in a target": (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "a target that is not ASCII": (b"GET /\377 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "CONNECT": (b"CONNECT roster:443 HTTP/1.1\r\n" + HOST + b"\r\n", [501]),
    "TRACE": (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", [405, 404]),
    "an unknown method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", [405, 404]),
    "head": (b"head /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [501]),
    "garbage": (b"\377\0x" * 100 + b"\r\n\r\n", [400]),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", [400]),
    "HTTP/0.9 by number": (b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n", [505]),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.0 with keep-alive": (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200]),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n", [200, 404]),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", [505]),
    "HTTP/10.1": (b"GET /healthz HTTP/10.1\r\n" + HOST + b"\r\n", [400]),
    "http/1.1": (b"GET /healthz http/1.1\r\n" + HOST + b"\r\n", [400]),
    # Many requests on a connection: RFC 9112, 9
    "pipelining": (GET + b"\r\n" + POST + b"\r\nBREW / HTTP/1.1\r\n" + HOST + b"\r\n", [200, 422, 405, 404]),
    "garbage in the pipeline": (GET + b"\r\ngarbage\r\n\r\n", [200, 400]),
    "more after the last request": (GET + b"Connection: close\r\n\r\n", [200]),
    "an empty line after the last request": (
        POST + b"Connection: close\r\nContent-Length: 3\r\n\r\na=b\r\n",
        [422],
    ),
    "100-continue": (EXPECT + b"Content-Length: 3\r\n\r\na=b", [100, 422, 404]),
    "100-continue, and too large": (EXPECT + b"Content-Length: 9000000\r\n\r\n", [100, 413]),
    "an unknown expectation": (POST + b"Expect: x\r\n\r\n", [422, 404]),
    # Other protocols: RFC 9110, 7.8
    "an upgrade to HTTP/2": (UPGRADE + b"h2c\r\n\r\n", [200, 404]),
    "HTTP/2": (HTTP2_PREFACE, [505]),
    "HTTP/2 with many priorities": (HTTP2_PREFACE + PRIORITY * 2000, [505]),
    "TLS": (TLS_HELLO, [400]),
    "WebSocket": (WEBSOCKET + b"Sec-WebSocket-Version: 13\r\n\r\n", [403]),
    "WebSocket of another version": (WEBSOCKET + b"Sec-WebSocket-Version: 7\r\n\r\n", [403]),
    "WebSocket that is not ASCII": (WEBSOCKET + b"Sec-WebSocket-Protocol: \377\r\n\r\n", [403]),
}


@pytest_asyncio.fixture(scope="module")
async def port(server_url: str, migrated_template: str) -> AsyncIterator[int]:
    with new_database(server_url, migrated_template) as url:
        async with serving(create_app(Settings(database_url=url))) as address:
            yield int(address.rpartition(":")[2])


@pytest.mark.parametrize(("sent", "statuses"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_requests_are_answered_and_none_is_hidden(
    port: int, caplog: pytest.LogCaptureFixture, sent: bytes, statuses: list[int]
) -> None:
    received = await exchange(port, sent + NEXT)
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)] == statuses
    assert caplog.records == []
