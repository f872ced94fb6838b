"""How long the worst inputs block the event loop, and so everybody else."""

import asyncio
import mmap
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import repeat
from pathlib import Path
from urllib.parse import urlencode

import httpx

from benchmarks.roster import fresh_roster, section
from tests.helpers import PASSWORD, exchange
from web.forms import FORM_TYPE, MAX_BODY_LENGTH
from web.http_server import HTTPServer

BEAT_SECONDS = 0.001
TIMES = struct.Struct("dd")  # the longest since they were last set to 0: by the clock, and of CPU
COUNT = 20  # of each input
HEADER_BYTES = 15_000  # of at most 16 KB for all headers together
NAME_LENGTH = 128  # of what is typed, with separate accents
WIDE = "\ufdfa"  # one character that becomes 18
ACCENTS = "\u0301\u0323"  # in the order that is not the normal one
HARD_TO_SCORE = "4@8({[<369&#!1/|"  # each stands for a letter, some for two


def measure() -> str:
    """Return the section of the results."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(TIMES.pack(0, 0))
        file.flush()
        tuning = f"import benchmarks.event_loop; benchmarks.event_loop.watch({file.name!r})"
        with fresh_roster(tuning=tuning) as roster:
            port = int(roster.url.rpartition(":")[2])
            longest = _map_times(file.name)
            rows = [(what, *_measure(port, longest, requests)) for what, requests in _inputs().items()]
    return section(
        "The event loop under the worst inputs",
        f"""
Each input is sent {COUNT} times, one after the other, without rate limits. A task of the program sleeps for
{1000 * BEAT_SECONDS:.0f} ms again and again. These are the longest times by which it was late, and the
most CPU time that the thread of the event loop took between two of its turns. Other programs that share the
cores, and threads that hash passwords, make it late too.
""",
        ("input", "late", "CPU time", "target"),
        rows,
    )


def watch(path: str) -> None:
    """Write into a file for how long the event loop of this process is blocked."""
    serve = HTTPServer.serve

    async def watched(self: HTTPServer, wait_for_stop: Callable[[], Awaitable[float]]) -> None:
        beating = asyncio.create_task(_beat(path))
        await serve(self, wait_for_stop)
        beating.cancel()

    HTTPServer.serve = watched  # type: ignore[method-assign]


async def _beat(path: str) -> None:
    longest = _map_times(path)
    clock, cpu = time.perf_counter(), time.thread_time()
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        last_clock, last_cpu, clock, cpu = clock, cpu, time.perf_counter(), time.thread_time()
        longest[0] = max(longest[0], clock - last_clock - BEAT_SECONDS)
        longest[1] = max(longest[1], cpu - last_cpu)


def _map_times(path: str) -> "memoryview[float]":
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), TIMES.size)).cast("d")


def _measure(port: int, longest: "memoryview[float]", requests: Iterator[bytes]) -> tuple[str, str, str]:
    _send(port, next(requests))  # what is done only once is no matter of the input
    longest[0] = longest[1] = 0
    for _ in range(COUNT):
        _send(port, next(requests))
    return f"{1000 * longest[0]:.1f} ms", f"{1000 * longest[1]:.1f} ms", "under 100 ms"


def _send(port: int, request: bytes) -> None:
    status = int(asyncio.run(exchange(port, request)).split()[1])
    if httpx.codes.is_server_error(status) or status == httpx.codes.REQUEST_HEADER_FIELDS_TOO_LARGE:
        raise SystemExit(f"{request[:100]!r} was answered with {status}")


def _inputs() -> dict[str, Iterator[bytes]]:
    numbered = b"&".join(b"%d=" % number for number in range(MAX_BODY_LENGTH))
    return {
        "`GET /`, to compare": _get(),
        f"a query of {HEADER_BYTES:,} characters": _get(b"/?q=" + b"x" * HEADER_BYTES),
        "a query of broken percent signs": _get(b"/?q=" + b"%" * HEADER_BYTES),
        "a query of fields, all different": _get(b"/?" + numbered[:HEADER_BYTES]),
        "a query of fields, all empty": _get(b"/?" + _fill(b"a&")),
        "a search that grows": _get(b"/?" + urlencode({"q": WIDE * 100}).encode()),
        "languages": _get(headers=b"Accept-Language: " + _fill(b"a,")),
        "a language with many parameters": _get(headers=b"Accept-Language: a" + _fill(b";b=c")),
        "codings": _get(headers=b"Accept-Encoding: " + _fill(b"a,")),
        "entity tags": _get(headers=b"If-None-Match: " + _fill(b'"a",')),
        "cookies": _get(headers=b"Cookie: " + _fill(b"a=;")),
        "one cookie": _get(headers=b'Cookie: session="' + _fill(b"\\303")),
        "headers": _get(headers=b"X: y\r\n" * 400),
        "a path": _get(_fill(b"/a")),
        "a body of one field": _post(b"username=" + b"x" * (MAX_BODY_LENGTH - 9)),
        "a body of broken percent signs": _post(b"%" * MAX_BODY_LENGTH),
        "a body of 1,000 fields": _post(b"&".join(b"field%d=x" % number for number in range(1000))),
        "a body of fields, all different": _post(numbered[:MAX_BODY_LENGTH]),
        "a body in chunks of a byte": _post(b"x" * MAX_BODY_LENGTH, is_chunked=True),
        "a type with many parameters": _post(b"a=b", content_type=b"a/b" + _fill(b";c=d")),
        "a user name that grows": _register(WIDE * NAME_LENGTH, PASSWORD),
        "a user name of accents": _register(("a" + ACCENTS * NAME_LENGTH)[:NAME_LENGTH], PASSWORD),
        "a password that grows": _register("zoe", WIDE * 1024),
        "a password of accents": _register("zoe", ("a" + ACCENTS * 1024)[:1024]),
        "a password that is hard to score": _register("zoe", HARD_TO_SCORE),
        "`/share` at new hosts": (
            request
            for number in range(COUNT + 1)
            for request in [
                _head(b"GET /share", host=b".".join([b"A" * 62] * 3 + [b"H%d" % number])) + b"\r\n"
            ]
        ),
    }


def _fill(text: bytes) -> bytes:
    return (text * HEADER_BYTES)[:HEADER_BYTES]


def _head(line: bytes, host: bytes = b"roster") -> bytes:
    return line + b" HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n"


def _get(target: bytes = b"/", headers: bytes = b"") -> Iterator[bytes]:
    return repeat(_head(b"GET " + target) + headers.strip() + b"\r\n" * (2 if headers else 1))


def _post(
    body: bytes, content_type: bytes = FORM_TYPE.encode(), *, is_chunked: bool = False
) -> Iterator[bytes]:
    length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
    if is_chunked:
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    return repeat(
        _head(b"POST /register") + b"Content-Type: " + content_type + b"\r\n" + length + b"\r\n\r\n" + body
    )


def _register(username: str, password: str) -> Iterator[bytes]:
    return _post(urlencode({"username": username, "password": password}).encode())
