"""Security headers, and requests that Quart cannot answer."""

import re
from collections.abc import Awaitable
from urllib.parse import urlsplit

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope
from hypercorn.typing import ASGISendEvent as Event

from web.static_files import STYLE_HASHES

MAX_HOST_LENGTH = 255  # octets (RFC 1035, 2.3.4)
HOST = re.compile(r"(([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")

HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src {' '.join(STYLE_HASHES)}; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
STRICT_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")


class SecurityMiddleware:
    """Puts the security headers on every response.

    It is ASGI middleware, so static files get them too.

    HSTS is added over TLS, our own or that of the proxy in front (`public_origin`). What the
    framework answers with an exception is mended here: targets that are no path, and hosts that are none.
    """

    def __init__(self, app: ASGIFramework, public_origin: str) -> None:
        self._app = app
        self._is_proxied_tls = public_origin.startswith("https:")
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> Awaitable[None]:
        """Pass on the request, and the response with the headers."""

        async def send_with_headers(event: Event) -> None:
            if event["type"] == "http.response.start" and scope["type"] == "http":
                is_tls = self._is_proxied_tls or scope["scheme"] == "https"
                hsts = [STRICT_TRANSPORT_SECURITY] if is_tls else []
                event["headers"] = [*event["headers"], *self._headers, *hsts]
            await send(event)

        if scope["type"] == "http":
            if not scope["path"].startswith("/"):
                scope["path"] = _parse_path(scope["path"])
            # The framework fails on what is no host (RFC 9110, 7.2); it can do without one.
            scope["headers"] = [(k, v) for k, v in scope["headers"] if k != b"host" or _is_host(v)]
        return self._app(scope, receive, send_with_headers)


def _is_host(value: bytes) -> bool:
    host = value.decode("latin-1")
    try:
        urlsplit(f"//{host}")  # refuses brackets that hold no IPv6 address
    except ValueError:
        return False
    return len(host) <= MAX_HOST_LENGTH and bool(HOST.fullmatch(host))


def _parse_path(target: str) -> str:
    """Return the path of a target in absolute form.

    RFC 9112, 3.2.2. It is "/?", which is no route, if there is none to find.
    """
    try:
        path = urlsplit(target).path
    except ValueError:
        path = ""
    return path if path.startswith("/") else "/?"
