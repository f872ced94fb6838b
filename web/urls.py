"""URLs that keep the language, and redirects to them."""

from urllib.parse import urlencode

from quart import Response, redirect

from services.share_origin import share_origin
from web.i18n import get_locale
from web.request_context import own_origin, services


def build_url(path: str, **query: str | None) -> str:
    """Return a path with a query.

    It keeps the language if the request's URL has chosen it.
    """
    locale = get_locale()
    fields = {"lang": locale.language} if locale.chosen else {}
    text = urlencode(fields | {name: value for name, value in query.items() if value})
    return f"{path}?{text}" if text else path


def build_one_time_url(path: str, token: str) -> str:
    """Return the URL of a one-time link, for another device."""
    own = own_origin()
    return f"{share_origin(own, services().settings.bind) or own}/{path}/{token}"


def see_other(url: str) -> Response:
    """Return a redirect that the browser follows with GET."""
    return redirect(url, 303)  # type: ignore[return-value]
