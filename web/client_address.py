"""The visitor's address, also behind proxies."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from quart import request
from werkzeug.datastructures import Headers

from web.request_context import services


def client_address() -> str:
    """Return the visitor's address; see `parse_client_address`."""
    hops = services().settings.trusted_proxy_hops
    return parse_client_address(request.remote_addr, request.headers, hops)


def parse_client_address(peer: str | None, headers: Headers, trusted_hops: int) -> str:
    """Return the visitor's IPv4 address, or IPv6 /64 (RFC 6177).

    `peer` is who connected. Each trusted proxy appends whom it saw to X-Forwarded-For, so the visitor
    is the entry that many from the right. What stands further left anybody can write.
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
    """Return an address, written with or without a port.

    Raises ValueError if it is none.
    """
    try:
        return ip_address(text)
    except ValueError:
        return ip_address(text.rpartition(":")[0].removeprefix("[").removesuffix("]"))
