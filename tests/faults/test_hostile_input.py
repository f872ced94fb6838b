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

from queries.registration import NewUser, insert_user
from queries.sessions import TokenHashes, insert_session
from queries.users import select_account
from services.tokens import hash_token, new_token
from tests.helpers import FORM_HEADERS, PASSWORD, http_client
from web.request_context import get_services

VALID_FORM = b"username=zoe&" + b"&".join(
    name + b"=" + PASSWORD.encode() for name in (b"password", b"current_password", b"new_password")
)
EXAMPLES = int(os.environ.get("EXAMPLES", "200"))
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
FIELDS = (
    *("username", "password", "current_password", "new_password"),
    *("q", "before", "after", "lang", "registered", "version", "invitation"),
)
HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Content-Length", "Content-Type", "Host"),
    *("HX-Request", "HX-Target", "If-Match", "If-Modified-Since", "If-None-Match", "Range", "Last-Event-ID"),
    *("Origin", "Sec-Fetch-Site", "X-Forwarded-For", "X-Forwarded-Proto"),
)
TEXTS = (
    *("", "\0", "%", "%zz", "%c3%28", "\u202e", "\ud800", "a" * 5000, "ａdmin", "ﷺ" * 40, "' OR 1=1 --"),
    *("{{7*7}}", "<b>", "9" * 400, "-1", "1e400", 'W/"x"', "*", "bytes=0-", "de;q=" + "9" * 60, "a=b; a=b"),
    *("zoe", PASSWORD, "true", "same-origin", "http://roster.test", "br;q=0.1, gzip", "fe80::1%x", "1_0"),
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
    is_form = draw(st.sampled_from([True, True, False]))
    return {
        "method": draw(st.just("") | st.sampled_from(METHODS)),  # "" for that of the route
        "route": draw(st.integers(min_value=0, max_value=100)),
        "tail": draw(st.just("") | st.just("") | texts()),
        "query": draw(st.just([]) | pairs),
        # Each comes from an address of its own, or nearly all would be over a rate limit.
        "headers": {"X-Forwarded-For": str(draw(st.ip_addresses()))}
        | headers
        | (FORM_HEADERS if is_form else {}),
        "content": draw(st.just(VALID_FORM) | pairs.map(encode) | st.binary(max_size=2000)),
        "cookie": draw(st.sampled_from([b"session=", b"device=", b"flash=", b""])),
        "cookie_value": draw(header_values()),
        "is_session": draw(st.booleans()),
    }


@pytest.fixture
def app(proxied_app: Quart) -> Quart:
    return proxied_app


@pytest_asyncio.fixture
async def password_hash(app: Quart) -> str:
    return await get_services(app).password_hasher.hash(PASSWORD)


async def begin_session(app: Quart, password_hash: str) -> str:
    """Return the token of a new session of Zoe, who registers anew if she has deleted her account."""
    database, token = get_services(app).database, new_token()
    await insert_user(database, NewUser("zoe", "zoe", password_hash))
    account = await select_account(database, "zoe")
    assert account
    assert await insert_session(database, account, TokenHashes(hash_token(token), hash_token(new_token())))
    return token


@given(drawn=requests())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_arrives_is_answered(
    app: Quart, password_hash: str, caplog: pytest.LogCaptureFixture, drawn: dict[str, Any]
) -> None:
    rules = sorted((rule for rule in app.url_map.iter_rules() if rule.rule != "/live"), key=str)
    rule = rules[drawn["route"] % len(rules)]
    method = drawn["method"] or ("POST" if "POST" in (rule.methods or ()) else "GET")
    path = re.sub("<.*?>", "1", rule.rule) + drawn["tail"]
    target = quote(path.encode(errors="surrogatepass"), safe="/%") + "?"
    target += quote(encode(drawn["query"]), safe="=&%+")
    token = await begin_session(app, password_hash) if drawn["is_session"] else ""
    cookie = {"Cookie": drawn["cookie"] + (token.encode() or drawn["cookie_value"])}
    async with http_client(app) as client:
        url = client.base_url.copy_with(raw_path=target.encode())
        response = await client.request(
            method, url, headers=drawn["headers"] | cookie, content=drawn["content"]
        )
    assert response.status_code < 500
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
