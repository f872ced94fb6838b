"""Our cookies, and flashed messages."""

from collections.abc import Mapping
from datetime import timedelta

from quart import Quart, Response, g, request

from queries import devices, organisers, sessions
from web.request_context import is_tls

SESSION = "session"
DEVICE = "device"  # stays after a sign-out, see web/credentials.py
ORGANISER = "organiser"
INVITATION = "invitation"  # the code that the visitor came with
INVITATION_LIFETIME = timedelta(days=1)
FLASH = "flash"
FLASH_LIFETIME = timedelta(minutes=1)  # in which the page that shows the message is asked for
PERSONAL = frozenset({SESSION, ORGANISER, INVITATION, FLASH})
HOST_PREFIX = "__Host-"


def init_app(app: Quart) -> None:
    """Set the cookies on every response."""
    app.after_request(_set_cookies)


def read_cookie(name: str) -> str:
    """Return a cookie's value, "" without one.

    Of two with the same name one is not ours, so neither is read.
    """
    values = request.cookies.getlist(_full_name(name))
    return values[0] if len(values) == 1 else ""


def set_cookie(name: str, value: str, max_age: timedelta) -> None:
    """Let the response set a cookie."""
    g.setdefault("cookies", {})[_full_name(name)] = value, max_age


def set_session_cookie(token: str) -> None:
    """Let the response keep the visitor signed in."""
    set_cookie(SESSION, token, sessions.LIFETIME)


def set_device_cookie(token: str) -> None:
    """Let the browser be recognised at the next sign-in."""
    set_cookie(DEVICE, token, devices.LIFETIME)


def set_organiser_cookie(token: str) -> None:
    """Let the browser be an organiser's."""
    set_cookie(ORGANISER, token, organisers.LIFETIME)


def delete_cookie(name: str) -> None:
    """Let the response delete a cookie."""
    set_cookie(name, "", timedelta())


def flash(message: str) -> None:
    """Keep the name of a message for the next page."""
    set_cookie(FLASH, message, FLASH_LIFETIME)


def pop_flash() -> str:
    """Return the flashed message, "" without one, and delete it."""
    message = read_cookie(FLASH)
    if message:
        delete_cookie(FLASH)
    return message


def has_personal_cookies(cookies: Mapping[str, str]) -> bool:
    """Return whether cookies make the response a personal one."""
    return not PERSONAL.isdisjoint(name.removeprefix(HOST_PREFIX) for name in cookies)


def _full_name(name: str) -> str:
    """Return the cookie's full name.

    Over TLS no other site or path can set it (RFC 6265bis, 4.1.3.2).
    """
    return f"{HOST_PREFIX}{name}" if is_tls() else name


async def _set_cookies(response: Response) -> Response:
    for name, (value, max_age) in g.get("cookies", {}).items():
        response.set_cookie(name, value, max_age=max_age, secure=is_tls(), httponly=True, samesite="Lax")
    return response
