"""The address at which others can open the page."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from settings import Settings


class UnknownPortError(Exception):
    """The system chooses the port; one line says what to do."""


def share_origin(own_origin: str, bind: tuple[str, int]) -> str | None:
    """Return the origin that others can open, None without one.

    Whoever opens http://127.0.0.1:8000 on the computer that serves it is given its address in the
    local network, if it is open to that.
    """
    url = urlsplit(own_origin)
    host = url.hostname or ""
    if not is_loopback(host) and host not in ("0.0.0.0", "::"):  # noqa: S104 (nothing is bound to it)
        return own_origin
    address = "" if is_loopback(bind[0]) else lan_address()
    return f"{url.scheme}://{address}:{bind[1]}" if address else None


def link_origin(settings: Settings) -> str:
    """Return the origin of links that an operator passes on.

    It is PUBLIC_ORIGIN, else that of BIND, as others can open it; or as this computer can, if nobody
    else can. Raises UnknownPortError if BIND leaves the port to the system.
    """
    if settings.public_origin:
        return settings.public_origin
    host, port = settings.bind
    if not port:
        bind = format_host(host)
        raise UnknownPortError(f"BIND={bind}:0 does not say which port: set PUBLIC_ORIGIN, or a port in BIND")
    own_host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound to it)
    own_origin = format_origin("https" if settings.tls_certificate else "http", own_host, port)
    return share_origin(own_origin, settings.bind) or own_origin


def format_origin(scheme: str, host: str, port: int) -> str:
    """Return an origin; an IPv6 address stands in brackets."""
    return f"{scheme}://{format_host(host)}:{port}"


def format_host(host: str) -> str:
    """Return a host as a URL has it."""
    return f"[{host}]" if ":" in host else host


def lan_address() -> str:
    """Return this computer's LAN address, "" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks the routing table (RFC 5737)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def is_loopback(host: str) -> bool:
    """Return whether only this computer can reach a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
