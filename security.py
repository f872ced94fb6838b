"""Security: response headers, the same-origin check, rate limits, and reading form fields strictly."""

import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qs, urlsplit

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope
from hypercorn.typing import ASGISendEvent as Event
from werkzeug.datastructures import Headers
from werkzeug.exceptions import TooManyRequests

import db
from assets import STYLE_HASH

HOST_LENGTH = 255  # octets (RFC 1035, 2.3.4)
BODY_LIMIT = 16 * 1024
FORM_TYPE = "application/x-www-form-urlencoded"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src '{STYLE_HASH}'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
HOST = re.compile(r"(([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class ResponseHeaders:
    """ASGI middleware that puts the security headers on every answer, static files included.

    HSTS is added over TLS, be it our own or that of the proxy in front (`public_origin`). What the
    framework answers with an exception stops here: WebSockets, and addresses that are no path.
    """

    def __init__(self, app: ASGIFramework, public_origin: str) -> None:
        self._app = app
        self._proxied_tls = public_origin.startswith("https:")
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Pass the request on, and the answer back with the headers."""

        async def send_with_headers(event: Event) -> None:
            if event["type"] == "http.response.start" and scope["type"] == "http":
                tls = self._proxied_tls or scope["scheme"] == "https"
                event["headers"] = [*event["headers"], *self._headers, *([STRICT_TRANSPORT] if tls else [])]
            await send(event)

        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": None})
            return
        if scope["type"] == "http":
            if not scope["path"].startswith("/"):
                scope["path"] = _path(scope["path"])
            # The framework fails on what is no host (RFC 9110, 7.2); without one it answers.
            scope["headers"] = [(k, v) for k, v in scope["headers"] if k != b"host" or _is_host(v)]
        await self._app(scope, receive, send_with_headers)


def _is_host(value: bytes) -> bool:
    return len(value) <= HOST_LENGTH and bool(HOST.fullmatch(value.decode("latin-1")))


def _path(target: str) -> str:
    """Return the path of an address in absolute form (RFC 9112, 3.2.2), "/?" if there is none to find."""
    try:
        path = urlsplit(target).path
    except ValueError:
        path = ""
    return path if path.startswith("/") else "/?"


def is_cross_site(headers: Headers, own_origin: str) -> bool:
    """Return whether a browser sent this request on behalf of another site.

    `Sec-Fetch-Site` decides where the browser sends it (W3C Fetch Metadata); else `Origin` must be
    our own. A request with neither does not come from a browser, and carries nobody's authority.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("Origin")
    return origin is not None and origin.lower() != own_origin.lower()


def read_fields(encoded: bytes, *names: str) -> list[str]:
    """Return the values of the named fields of a URL-encoded form or query, "" for a missing one.

    What is no UTF-8 or no percent-encoding, or stands there twice, comes back as U+FFFD, which the
    rules of every field refuse. (The framework's parser passes broken bytes on as if typed.)
    """
    text = re.sub("%(?![0-9A-Fa-f]{2})", "\ufffd", encoded.decode(errors="replace"))
    fields = parse_qs(text, keep_blank_values=True, errors="replace")
    return [
        "\ufffd" if len(values) > 1 else values[0] for values in (fields.get(name, [""]) for name in names)
    ]


@dataclass(frozen=True)
class Limit:
    """At most `count` at once, which come back evenly within `seconds`."""

    name: str
    count: int
    seconds: int


REGISTER = Limit("register", 30, 60)  # for one address: a classroom may be behind it
SIGN_IN = Limit("sign-in", 10, 60)  # for one address and user name
SIGN_INS = Limit("sign-ins", 60, 60)  # for one address, whatever the user names
FAILURES = Limit("failures", 100, 3600)  # for one user name, wherever they come from
ACCOUNT = Limit("account", 30, 60)
CHECK = Limit("check", 120, 60)
SEARCH = Limit("search", 120, 60)


async def spend(pool: db.Pool, limit: Limit, *who: str) -> None:
    """Count one towards a limit. Raises TooManyRequests, which says when to come back, beyond it."""
    if wait := await db.spend(pool, _key(limit, who), limit.count, limit.seconds):
        raise TooManyRequests(retry_after=math.ceil(wait))


async def give_back(pool: db.Pool, limit: Limit, *who: str) -> None:
    """Count one less towards a limit."""
    await db.give_back(pool, _key(limit, who), limit.count, limit.seconds)


def _key(limit: Limit, who: tuple[str, ...]) -> str:
    return " ".join([limit.name, *who])


def client_address(peer: str | None, headers: Headers, trusted_hops: int) -> str:
    """Return what tells a visitor from others: the IPv4 address, or the IPv6 /64 (RFC 6177).

    `peer` is who connected. Behind trusted proxies, each of which appends whom it saw, it is the
    entry of X-Forwarded-For that many from the right; further left anybody can write.
    """
    seen = [entry.strip() for entry in ",".join(headers.getlist("X-Forwarded-For")).split(",")]
    try:
        address = _parse_address(seen[-trusted_hops:][0] if trusted_hops else peer or "")
    except ValueError:
        return peer or ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address, written with or without a port. Raises ValueError if it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return ip_address(text.rpartition(":")[0].removeprefix("[").removesuffix("]"))
