from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from tests.helpers import FORM, FORM_HEADERS, PASSWORD, parse_html, usernames
from web.forms import MAX_BODY_LENGTH, parse_fields

URL_ENCODED = f"username=zoe&password={PASSWORD}".encode()


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"username=zoe", "zoe"),
        (b"username=%E5%BC%A0%E4%B8%89", "张三"),
        ("username=张三".encode(), "张三"),
        (b"username=a+b%2B&x=1", "a b+"),
        (b"username=", ""),
        (b"", ""),
        (b"password=x", ""),
        (b"username=a&username=b", "\ufffd"),
        (b"username=&username=b", "\ufffd"),
        (b"username=100%", "100\ufffd"),
        (b"username=%zz", "\ufffdzz"),
        (b"username=%FF", "\ufffd"),
        (b"username=\xff", "\ufffd"),
        (b"username=%ED%A0%80", "\ufffd" * 3),
    ],
)
def test_a_field_is_text_or_marked_as_unreadable(encoded: bytes, value: str) -> None:
    assert parse_fields(encoded, "username") == [value]


def test_fields_come_in_the_order_in_which_they_are_asked_for() -> None:
    assert parse_fields(b"c=3&a=1&b=2", "a", "b", "c", "d") == ["1", "2", "3", ""]


@pytest.mark.parametrize("content_type", ["", "; charset=UTF-8"])
async def test_a_url_encoded_form_is_read(client: httpx.AsyncClient, content_type: str) -> None:
    headers = {"Content-Type": FORM_HEADERS["Content-Type"] + content_type}
    assert (await client.post("/register", content=URL_ENCODED, headers=headers)).status_code == 303


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
async def test_a_body_that_is_not_a_form_is_refused(
    client: httpx.AsyncClient, psql: psycopg.Connection, kind: str
) -> None:
    response = await client.post("/register", content=URL_ENCODED, headers={"Content-Type": kind})
    assert response.status_code == 415
    assert usernames(psql) == []


async def test_a_body_of_16_kib_is_read_and_a_larger_one_refused(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    largest = (URL_ENCODED + b"&x=").ljust(16 * 1024, b"x")
    for body, status in ((largest + b"x", 413), (largest, 303)):
        response = await client.post("/register", content=body, headers=FORM_HEADERS)
        assert response.status_code == status
        assert len(usernames(psql)) == (status == 303)


async def test_a_large_body_of_undeclared_length_is_refused(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield URL_ENCODED + b"&x="
        for _ in range(MAX_BODY_LENGTH // 1024):
            yield b"x" * 1024

    response = await client.post("/register", content=chunks(), headers=FORM_HEADERS)
    assert response.status_code == 413
    assert usernames(psql) == []


async def test_a_refused_form_keeps_the_user_name_and_never_the_password(client: httpx.AsyncClient) -> None:
    response = await client.post("/register", data=FORM | {"username": "a b"})
    [field] = parse_html(response).select("#username")
    assert field["value"] == "a b"
    assert PASSWORD not in response.text


async def test_a_refused_form_that_was_never_read_is_empty(client: httpx.AsyncClient) -> None:
    [field] = parse_html(await client.post("/register")).select("#username")
    assert field["value"] == ""
