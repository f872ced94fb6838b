from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from hashlib import sha256
from http.cookies import SimpleCookie

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from app import create_app
from settings import Settings
from tests.helpers import (
    HTMX,
    OTHER_PASSWORD,
    account_message,
    http_client,
    is_signed_in,
    names_in,
    parse_html,
    register,
    sign_in,
)


@pytest_asyncio.fixture
async def proxied_client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """What a proxy that speaks TLS with browsers sends on: plain HTTP."""
    app = create_app(Settings(database_url=database_url, public_origin="https://roster.test"))
    async with app.test_app():
        yield http_client(app)


def set_cookies(response: httpx.Response) -> SimpleCookie:
    """Return the cookies that a response sets."""
    cookies = SimpleCookie()
    for line in response.headers.get_list("Set-Cookie"):
        cookies.load(line)
    return cookies


def attributes(response: httpx.Response, name: str) -> dict[str, object]:
    """Return the attributes of a cookie that a response sets, `expires` (for old browsers) left out."""
    found = set_cookies(response)[name].items()
    return {key: value for key, value in found if value and key != "expires"}


async def test_a_session_cookie_lasts_30_days_and_no_script_or_other_site_has_it(
    visitor: httpx.AsyncClient,
) -> None:
    response = await sign_in(visitor)
    assert list(set_cookies(response)) == ["session", "device"]
    assert attributes(response, "session") == {
        "httponly": True,
        "samesite": "Lax",
        "path": "/",
        "max-age": "2592000",
    }


async def test_a_session_cookie_is_32_bytes_of_which_only_the_digest_is_stored(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    token = set_cookies(await sign_in(visitor))["session"].value
    assert len(urlsafe_b64decode(f"{token}=")) == 32
    stored = psql.execute("SELECT token_hash, expires_at - created_at = interval '30 days' FROM sessions")
    assert stored.fetchall() == [(sha256(token.encode()).digest(), True)]


async def test_a_changed_password_comes_with_a_cookie_that_lasts_30_days(
    visitor: httpx.AsyncClient,
) -> None:
    await sign_in(visitor)
    old = visitor.cookies["session"]
    form = {"current_password": "violet-otter-lamp-39", "new_password": OTHER_PASSWORD}
    response = await visitor.post("/account/password", data=form)
    assert set_cookies(response)["session"].value != old
    assert attributes(response, "session")["max-age"] == "2592000"


async def test_a_cookie_is_deleted_with_the_attributes_with_which_it_was_set(
    visitor: httpx.AsyncClient,
) -> None:
    await sign_in(visitor)
    response = await visitor.post("/sign-out")
    assert set_cookies(response)["session"].value == ""
    assert attributes(response, "session") == {
        "httponly": True,
        "samesite": "Lax",
        "path": "/",
        "max-age": "0",
    }


async def test_over_tls_no_other_host_or_path_can_set_the_cookie(
    app: Quart, visitor: httpx.AsyncClient
) -> None:
    over_tls = http_client(app, scheme="https")
    response = await sign_in(over_tls)
    assert attributes(response, "__Host-session")["secure"] is True
    assert "domain" not in attributes(response, "__Host-session")
    assert await is_signed_in(over_tls)
    token = over_tls.cookies["__Host-session"]
    over_tls.cookies.clear()
    over_tls.cookies.set("session", token)
    assert not await is_signed_in(over_tls)
    assert (await sign_in(visitor)).status_code == 200


async def test_behind_a_tls_proxy_cookies_are_as_over_tls(proxied_client: httpx.AsyncClient) -> None:
    await register(proxied_client)
    response = await sign_in(proxied_client)
    cookies = set_cookies(response)
    assert set(cookies) == {"__Host-session", "__Host-device", "__Host-flash"}
    for name in cookies:
        assert attributes(response, name)["secure"] is True
        assert attributes(response, name)["path"] == "/"
    token = cookies["__Host-session"].value
    proxied_client.headers["Cookie"] = f"__Host-session={token}"
    assert await is_signed_in(proxied_client)
    proxied_client.headers["Cookie"] = f"session={token}"
    assert not await is_signed_in(proxied_client)


async def test_of_two_cookies_of_one_name_none_is_believed(app: Quart, visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    token = visitor.cookies["session"]
    tossed = http_client(app)
    for value in (f"session={token}; session=tossed", f"session=tossed; session={token}"):
        tossed.headers["Cookie"] = value
        assert not await is_signed_in(tossed)
    tossed.headers["Cookie"] = f"session={token}; sessions=another"
    assert await is_signed_in(tossed)


async def test_a_flashed_message_is_shown_once(client: httpx.AsyncClient) -> None:
    response = await client.post("/sign-out")
    assert attributes(response, "flash")["max-age"] == "60"
    page = await client.get("/")
    assert account_message(page) == "You are signed out."
    assert attributes(page, "flash")["max-age"] == "0"
    page = await client.get("/")
    assert account_message(page) == ""
    assert not set_cookies(page)


async def test_a_flashed_message_waits_for_the_page(client: httpx.AsyncClient) -> None:
    await client.post("/sign-out")
    for path in ("/users", "/share", "/register/check?username=x"):
        response = await client.get(path)
        assert not set_cookies(response)
        assert response.headers["Cache-Control"] == "no-store"
    assert account_message(await client.get("/")) == "You are signed out."


@pytest.mark.parametrize("value", ["hello", "<b>x</b>", "", "%00", "signed-in; flash=signed-out"])
async def test_a_forged_flash_cookie_says_nothing(client: httpx.AsyncClient, value: str) -> None:
    client.headers["Cookie"] = f"flash={value}"
    page = await client.get("/")
    assert page.status_code == 200
    assert account_message(page) == ""


async def test_no_response_to_somebody_signed_in_is_stored(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    for path in ("/", "/?q=z", "/users", "/register/check?username=x", "/nowhere", "/?lang=zh"):
        response = await visitor.get(path)
        assert response.headers["Cache-Control"] == "no-store", path
        assert "Cookie" in response.headers["Vary"]
        assert "ETag" not in response.headers
    for path in ("/register", "/account/password", "/account/delete", "/sign-in", "/sign-out"):
        response = await visitor.post(path)
        assert response.headers["Cache-Control"] == "no-store", path


async def test_no_response_with_a_cookie_is_stored(client: httpx.AsyncClient) -> None:
    response = await client.post("/sign-out")
    assert set(set_cookies(response)) == {"session", "flash"}
    assert response.headers["Cache-Control"] == "no-store"
    page = await client.get("/")
    assert page.headers["Cache-Control"] == "no-store"


async def test_a_stranger_gets_no_cookie_and_nothing_of_somebody_signed_in(
    app: Quart, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor)
    await visitor.get("/")
    stranger = await http_client(app).get("/")
    assert "Cookie" in stranger.headers["Vary"]
    assert not set_cookies(stranger)
    assert names_in(stranger) == ["Zoe"]
    assert not parse_html(stranger).select("#sign-out, li em")


async def test_a_cookie_of_another_program_on_this_host_changes_nothing(
    client: httpx.AsyncClient,
) -> None:
    client.cookies.set("theme", "dark")
    page = await client.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    assert "ETag" in page.headers


async def test_a_private_response_is_asked_for_again_and_depends_on_these_headers(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/users", headers=HTMX)
    assert response.headers["Cache-Control"] == "private, no-cache"
    vary = {name.strip() for name in response.headers["Vary"].split(",")}
    assert vary >= {"Accept-Language", "Cookie", "HX-Request"}


async def test_somebody_signed_in_gets_no_304_for_the_page_of_a_stranger(
    app: Quart, visitor: httpx.AsyncClient
) -> None:
    etag = (await http_client(app).get("/")).headers["ETag"]
    headers = {"If-None-Match": etag}
    assert (await http_client(app).get("/", headers=headers)).status_code == 304
    await sign_in(visitor)
    assert (await visitor.get("/", headers=headers)).status_code == 200
