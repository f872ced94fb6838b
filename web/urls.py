"""URLs that keep the language, and redirects to them."""

from urllib.parse import urlencode

from quart import Response, redirect

from web.i18n import get_locale


def build_url(path: str, **query: str | None) -> str:
    """Return a path with a query.

    It keeps the language if the request's URL has chosen it.
    """
    locale = get_locale()
    fields = {"lang": locale.language} if locale.chosen else {}
    text = urlencode(fields | {name: value for name, value in query.items() if value})
    return f"{path}?{text}" if text else path


def see_other(url: str) -> Response:
    """Return a redirect that the browser follows with GET."""
    return redirect(url, 303)  # type: ignore[return-value]
