"""The address at which others can open the page."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit


def share_origin(own_origin: str, bind: tuple[str, int]) -> tuple[str, bool]:
    """Return the origin to share, and whether it is local only.

    Whoever opens http://127.0.0.1:8000 on the computer that serves it is given its address in the
    local network, if it is open to that.
    """
    url = urlsplit(own_origin)
    if not _is_loopback(url.hostname or ""):
        return own_origin, False
    if _is_loopback(bind[0]) or not (lan := lan_address()):
        return own_origin, True
    return f"{url.scheme}://{lan}:{bind[1]}", False


def lan_address() -> str:
    """Return this computer's LAN address, "" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks the routing table (RFC 5737)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
