"""The same-origin check, against CSRF.

No other site can act through a visitor's browser.
"""

from quart import Quart, abort, request
from werkzeug.datastructures import Headers

from web.request_context import own_origin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def init_app(app: Quart) -> None:
    """Refuse unsafe requests that other sites cause."""
    app.before_request(_refuse_cross_site)


async def _refuse_cross_site() -> None:
    if request.method not in SAFE_METHODS and is_cross_site(request.headers, own_origin()):
        abort(403)


def is_cross_site(headers: Headers, own_origin: str) -> bool:
    """Return whether another site caused this request.

    `Sec-Fetch-Site` decides where the browser sends it (W3C Fetch Metadata); else `Origin` must be
    our own. A request with neither does not come from a browser, and carries nobody's cookies.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("Origin")
    return origin is not None and origin.lower() != own_origin.lower()
