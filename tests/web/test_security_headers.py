import re
from base64 import b64encode
from hashlib import sha256
from typing import Any, cast
from unittest.mock import AsyncMock

import httpx
import psycopg
import pytest
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart

from app import create_app
from settings import Settings
from tests.helpers import become_organiser, http_client, parse_html
from web.request_context import get_services
from web.security_headers import HEADERS, SecurityMiddleware
from web.static_files import ORGANISER_STYLE, STYLE


def parse_policy(response: httpx.Response) -> dict[str, str]:
    policy = response.headers["content-security-policy"]
    return dict(part.strip().partition(" ")[::2] for part in policy.split(";"))


class Recorder:
    """An ASGI application that keeps the scope of the request that reached it."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope: Scope, _receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        self.scope = dict(scope)

    async def request(self, kind: str = "http", path: str = "/", host: bytes = b"roster.test") -> None:
        """Send itself a request through the middleware."""
        scope = {"type": kind, "scheme": "http", "path": path, "headers": [(b"host", host), (b"x", b"y")]}
        await SecurityMiddleware(self, "")(cast("Scope", scope), AsyncMock(), AsyncMock())


async def test_every_response_has_the_security_headers(app: Quart, client: httpx.AsyncClient) -> None:
    [script] = parse_html(await client.get("/")).select("script[src]")
    get_services(app).live_list.close()  # or the event stream would never end
    routes = [
        (method, re.sub("<.*?>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    ]
    assert ("POST", "/register") in routes
    requests = [*routes, ("GET", str(script["src"])), ("GET", "/nowhere"), ("PUT", "/")]
    for method, path, headers in [
        *((method, path, {}) for method, path in requests),
        *(("GET", "/", {name: "*"}) for name in ("If-None-Match", "If-Match")),
        ("GET", "/", {"If-Match": '"x"'}),
    ]:
        response = await client.request(method, path, headers=headers)
        assert {name: response.headers.get_list(name) for name in HEADERS} == {
            name: [value] for name, value in HEADERS.items()
        }, (method, path)
        assert "Strict-Transport-Security" not in response.headers


def test_the_security_headers_are_these() -> None:
    assert {name: value for name, value in HEADERS.items() if name != "content-security-policy"} == {
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "referrer-policy": "same-origin",  # `no-referrer` would hide the Origin that same_origin.py checks
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize("path", ["/", "/?q=nobody", "/share", "/nowhere"])
async def test_the_content_security_policy_allows_our_own_files_and_stylesheets_only(
    client: httpx.AsyncClient, psql: psycopg.Connection, path: str
) -> None:
    await become_organiser(client, psql)
    response = await client.get(path)
    styles = [str(style.string) for style in parse_html(response).select("style")]
    assert len(styles) == (2 if path in ("/", "/?q=nobody") else 1)
    digests = [b64encode(sha256(style.encode()).digest()).decode() for style in (STYLE, ORGANISER_STYLE)]
    assert styles == [STYLE, ORGANISER_STYLE][: len(styles)]
    assert parse_policy(response) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": " ".join(f"'sha256-{digest}'" for digest in digests),
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("public_origin", "scheme", "value"),
    [
        ("https://roster.example", "http", "max-age=31536000"),
        ("", "https", "max-age=31536000"),
        ("http://roster.example", "http", None),
        ("", "http", None),
    ],
)
async def test_strict_transport_security_is_set_over_tls_ours_or_a_proxys(
    database_url: str, public_origin: str, scheme: str, value: str | None
) -> None:
    app = create_app(Settings(database_url=database_url, public_origin=public_origin))
    async with app.test_app():
        response = await http_client(app, scheme=scheme).get("/")
    assert response.headers.get("Strict-Transport-Security") == value


@pytest.mark.parametrize(
    "host",
    ["roster.test", "roster.test.", "roster.test:8000", "my_roster:80", "192.0.2.1", "[::1]:8000", "a" * 63],
)
async def test_a_host_reaches_the_application(host: str) -> None:
    recorder = Recorder()
    await recorder.request(host=host.encode())
    assert recorder.scope["headers"] == [(b"host", host.encode()), (b"x", b"y")]


@pytest.mark.parametrize(
    "host",
    ["", "..", "a..b", "a b", "a/b", "a@b", "a:b:c", "a:123456", "[::1", "\xff", "a" * 64, "a." * 128],
)
async def test_what_is_no_host_does_not_reach_the_application(host: str) -> None:
    recorder = Recorder()
    await recorder.request(host=host.encode("latin-1"))
    assert recorder.scope["headers"] == [(b"x", b"y")]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/users", "/users"),
        ("//users", "//users"),
        ("http://roster.test/users", "/users"),
        ("http://roster.test", "/?"),
        ("http://[::1", "/?"),
        ("*", "/?"),
        ("x", "/?"),
        ("", "/?"),
    ],
)
async def test_the_path_of_a_target_always_begins_with_a_slash(target: str, path: str) -> None:
    recorder = Recorder()
    await recorder.request(path=target)
    assert recorder.scope["path"] == path


async def test_no_page_has_the_address_that_stands_for_a_target_without_a_path(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/%3F")).status_code == 404


async def test_the_start_of_the_application_is_passed_on() -> None:
    recorder = Recorder()
    await recorder.request("lifespan", path="")
    assert (recorder.scope["type"], recorder.scope["path"]) == ("lifespan", "")
