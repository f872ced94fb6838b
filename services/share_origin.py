"""The address at which others can open the page."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit


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
