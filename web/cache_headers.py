"""Who may cache a response.

Static files are for everybody. Of the rest only the visitor's browser may keep anything, and not even
that if it is personal.
"""

from quart import Quart, Response, request

from web.cookies import has_personal_cookies


def init_app(app: Quart) -> None:
    """Set the cache headers; call this before `cookies.init_app`."""
    app.after_request(_set_cache_headers)  # these run in reverse order, so this sees the cookies


async def _set_cache_headers(response: Response) -> Response:
    if response.cache_control.public:
        return response
    if has_personal_cookies(request.cookies) or "Set-Cookie" in response.headers:
        response.headers["Cache-Control"] = "no-store"
    response.headers.setdefault("Cache-Control", "private, no-cache")
    # static/request_errors.js knows a response of ours by HX-Request in Vary.
    response.vary.update(["Accept-Language", "Cookie", "HX-Request"])
    return response
