import httpx
import psycopg
import pytest
from quart import Quart

from tests.helpers import add_users, count_sessions, http_client, is_signed_in, sign_in


async def extends_session(client: httpx.AsyncClient) -> bool:
    """Return whether asking for the page gives the cookie another 30 days."""
    response = await client.get("/")
    cookie = response.headers.get("Set-Cookie", "")
    return cookie.startswith(f"session={client.cookies['session']};") and "Max-Age=2592000" in cookie


async def test_a_session_in_use_is_extended_to_30_days(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(visitor)
    psql.execute("UPDATE sessions SET expires_at = now() + interval '1 minute'")
    assert await extends_session(visitor)
    left = psql.execute("SELECT expires_at - now() > interval '29 days 23 hours' FROM sessions").fetchone()
    assert left == (True,)
    assert await is_signed_in(visitor)


@pytest.mark.parametrize(("left", "extended"), [("29 days 1 hour", False), ("28 days 23 hours", True)])
async def test_a_session_is_extended_once_a_day(
    visitor: httpx.AsyncClient, psql: psycopg.Connection, left: str, *, extended: bool
) -> None:
    await sign_in(visitor)
    psql.execute("UPDATE sessions SET expires_at = now() + %s::interval", [left])
    assert await extends_session(visitor) is extended
    assert not await extends_session(visitor)


async def test_a_session_that_has_expired_is_nobodys(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(visitor)
    psql.execute("UPDATE sessions SET expires_at = now()")
    assert not await is_signed_in(visitor)
    visitor.cookies.clear()
    await sign_in(visitor)
    assert count_sessions(psql) == 1


@pytest.mark.parametrize(
    "statement", ["DELETE FROM users", "TRUNCATE users", "TRUNCATE users RESTART IDENTITY"]
)
async def test_a_user_deleted_by_hand_is_signed_out_even_if_the_id_comes_again(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection, statement: str
) -> None:
    await sign_in(visitor)
    psql.execute(statement)
    add_users(psql, 1)
    assert count_sessions(psql) == 0
    assert not await is_signed_in(visitor)
    assert (await http_client(app).get("/")).status_code == 200


@pytest.mark.parametrize("value", ["garbage", "x" * 4096, "a\x80\xffb", '"', "%00", "张", "a,b", "=;="])
async def test_a_cookie_of_garbage_is_nobodys(app: Quart, visitor: httpx.AsyncClient, value: str) -> None:
    stranger = http_client(app)
    stranger.headers = httpx.Headers([(b"Cookie", b"session=" + value.encode())])
    assert (await stranger.get("/")).status_code == 200
    assert not await is_signed_in(stranger)
    assert (await stranger.post("/account/delete")).status_code == 401
    assert (await sign_in(visitor)).status_code == 200


@pytest.mark.parametrize("path", ["/?q=", "/users"])
async def test_a_cookie_of_no_session_is_left_alone(visitor: httpx.AsyncClient, path: str) -> None:
    visitor.cookies.set("session", "of-another-program-on-this-host")
    assert "Set-Cookie" not in (await visitor.get(path)).headers
