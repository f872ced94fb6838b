import socket
from ipaddress import IPv4Address
from unittest.mock import Mock

import pytest

from services import share_origin
from services.share_origin import UnknownPortError, lan_address, link_origin
from settings import Settings


@pytest.mark.parametrize(
    ("own", "bind", "shared"),
    [
        ("https://roster.example", "127.0.0.1", "https://roster.example"),
        ("http://192.0.2.7:8000", "0.0.0.0", "http://192.0.2.7:8000"),
        ("http://[2001:db8::7]:8000", "::", "http://[2001:db8::7]:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1", None),
        ("http://127.0.0.1:8000", "localhost", None),
        ("http://localhost:8000", "::1", None),
        ("http://[::1]:8000", "0.0.0.0", "http://192.0.2.7:9000"),
        ("http://localhost:8000", "0.0.0.0", "http://192.0.2.7:9000"),
        ("http://LOCALHOST:8000", "::", "http://192.0.2.7:9000"),
        ("https://127.0.0.1:8000", "0.0.0.0", "https://192.0.2.7:9000"),
        ("http://0.0.0.0:8000", "0.0.0.0", "http://192.0.2.7:9000"),
        ("http://[::]:8000", "::", "http://192.0.2.7:9000"),
        ("http://127.0.0.9:8000", "192.0.2.7", "http://192.0.2.7:9000"),
    ],
)
def test_the_address_to_share_is_one_that_others_can_open(
    monkeypatch: pytest.MonkeyPatch, own: str, bind: str, shared: str | None
) -> None:
    monkeypatch.setattr(share_origin, "lan_address", lambda: "192.0.2.7")
    assert share_origin.share_origin(own, (bind, 9000)) == shared


def test_without_a_network_the_address_is_only_for_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_origin, "lan_address", lambda: "")
    assert share_origin.share_origin("http://127.0.0.1:8000", ("0.0.0.0", 8000)) is None


def test_the_address_in_the_network_is_a_number_or_empty_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert lan_address() == "" or IPv4Address(lan_address())
    monkeypatch.setattr(socket.socket, "connect", Mock(side_effect=OSError("no route")))
    assert lan_address() == ""


@pytest.mark.parametrize(
    ("bind", "address", "origin"),
    [
        (("127.0.0.1", 8000), "192.0.2.7", "http://127.0.0.1:8000"),
        (("localhost", 8000), "192.0.2.7", "http://localhost:8000"),
        (("0.0.0.0", 8000), "192.0.2.7", "http://192.0.2.7:8000"),
        (("0.0.0.0", 8000), "", "http://127.0.0.1:8000"),
        (("::", 8000), "", "http://[::1]:8000"),
        (("2001:db8::7", 8000), "192.0.2.7", "http://[2001:db8::7]:8000"),
    ],
)
def test_a_link_can_be_opened_by_others_or_at_least_here(
    monkeypatch: pytest.MonkeyPatch, bind: tuple[str, int], address: str, origin: str
) -> None:
    monkeypatch.setattr(share_origin, "lan_address", lambda: address)
    assert link_origin(Settings(bind=bind)) == origin


def test_a_link_needs_a_port() -> None:
    with pytest.raises(UnknownPortError, match=r"BIND=\[::1\]:0 "):
        link_origin(Settings(bind=("::1", 0)))
