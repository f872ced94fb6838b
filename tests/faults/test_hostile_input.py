"""Anything may arrive at any address: every request is answered, and none writes an error to the log.

EXAMPLES=100000 tries more of them.
"""

import logging
import os
import re
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from quart import Quart

from tests.helpers import FORM_HEADERS, http_client, register, sign_in

EXAMPLES = int(os.environ.get("EXAMPLES", "200"))
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
FIELDS = (
    *("username", "password", "current_password", "new_password"),
    *("q", "before", "after", "lang", "registered", "version", "invitation"),
)
HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Host", "HX-Request", "HX-Target"),
    *("If-Match", "If-Modified-Since", "If-None-Match", "Range", "Last-Event-ID"),
    *("Origin", "Sec-Fetch-Site", "X-Forwarded-For", "X-Forwarded-Proto"),
)
TEXTS = (
    *("", "\0", "%", "%zz", "%c3%28", "\u202e", "\ud800", "a" * 5000, "ａdmin", "ﷺ" * 40, "' OR 1=1 --"),
    *("{{7*7}}", "<b>", "9" * 400, "-1", "1e400", 'W/"x"', "*", "bytes=0-", "de;q=" + "9" * 60, "a=b; a=b"),
)


def texts() -> SearchStrategy[str]:
    return st.sampled_from(TEXTS) | st.text(max_size=300)


def header_values() -> SearchStrategy[bytes]:
    """Draw what a header of HTTP/1.1 can carry (RFC 9110, 5.5)."""
    values = texts().map(lambda text: text.encode(errors="replace")) | st.binary(max_size=300)
    return values.map(lambda value: re.sub(rb"[\0\r\n]", b"", value).strip(b" \t"))


def encode(pairs: list[tuple[str, str]]) -> bytes:
    """Return a form in which a percent sign, a plus and an equals sign are as they were typed."""
    return b"&".join(
        name.encode() + b"=" + value.encode(errors="surrogatepass").replace(b"&", b"%26")
        for name, value in pairs
    )


@st.composite
def requests(draw: DrawFn) -> dict[str, Any]:
    """Draw a request to one of the routes, or to a path that begins like one."""
    pairs = st.lists(st.tuples(st.sampled_from(FIELDS), texts()), max_size=4)
    headers: dict[str, Any] = draw(st.dictionaries(st.sampled_from(HEADERS), header_values(), max_size=5))
    is_form = draw(st.booleans())
    return {
        "method": draw(st.sampled_from(METHODS)),
        "route": draw(st.integers(min_value=0, max_value=100)),
        "tail": draw(st.just("") | texts()),
        "query": draw(st.just([]) | pairs),
        "headers": headers | (FORM_HEADERS if is_form else {}),
        "content": draw(pairs.map(encode) | st.binary(max_size=2000)),
        "cookie": draw(st.sampled_from(["session", "device", "flash", ""])),
        "is_session": draw(st.booleans()),
    }


@pytest_asyncio.fixture
async def session(app: Quart) -> str:
    """The token of somebody who is signed in."""
    client = http_client(app)
    await register(client)
    await sign_in(client)
    return client.cookies["session"]


@given(drawn=requests())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_arrives_is_answered(
    app: Quart, session: str, caplog: pytest.LogCaptureFixture, drawn: dict[str, Any]
) -> None:
    rules = sorted({re.sub("<.*?>", "1", rule.rule) for rule in app.url_map.iter_rules()} - {"/live"})
    path = rules[drawn["route"] % len(rules)] + drawn["tail"]
    target = quote(path.encode(errors="surrogatepass"), safe="/%") + "?"
    target += quote(encode(drawn["query"]), safe="=&%+")
    value = session if drawn["is_session"] else drawn["headers"].get("HX-Target", b"").hex()
    cookie = {"Cookie": f"{drawn['cookie']}={value}"} if drawn["cookie"] else {}
    async with http_client(app) as client:
        url = client.base_url.copy_with(raw_path=target.encode())
        response = await client.request(
            drawn["method"], url, headers=drawn["headers"] | cookie, content=drawn["content"]
        )
    assert response.status_code < 500
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
