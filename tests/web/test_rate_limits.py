import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from quart import Quart
from werkzeug.exceptions import TooManyRequests

from app import create_app
from queries import rate_limit_counters
from settings import Settings
from tests.helpers import FORM_HEADERS, PASSWORD, StartServer, http_client, text_of, usernames
from web.rate_limits import (
    ACCOUNT,
    CHECK_PASSWORD,
    CHECK_USERNAME,
    REGISTER,
    SEARCH,
    SIGN_IN_PER_ADDRESS_AND_NAME,
    RateLimit,
    check_rate_limit,
    refund,
)
from web.same_origin import SAFE_METHODS

LIMITED_LOOK_UPS = {
    ("GET", "/register/check?username=x"): CHECK_USERNAME,
    ("GET", "/?q=x"): SEARCH,
    ("GET", "/?q=x&before=y"): SEARCH,
    ("GET", "/users?q=y"): SEARCH,
}


@asynccontextmanager
async def limited_app(database_url: str, trusted_proxy_hops: int = 0) -> AsyncIterator[Quart]:
    app = create_app(Settings(database_url=database_url, trusted_proxy_hops=trusted_proxy_hops))
    async with app.test_app():
        yield app


async def request_until_refused(
    client: httpx.AsyncClient, method: str, path: str
) -> tuple[int, httpx.Response]:
    """Return how many requests were let through before the first one that was refused.

    They are sent one by one, since each limit gives back at most ten requests a second.
    """
    allowed = 0
    while True:
        response = await client.request(method, path, headers=FORM_HEADERS)
        if response.status_code == 429:
            return allowed, response
        allowed += 1


async def request_from(client: httpx.AsyncClient, address: str, path: str = "/register") -> int:
    response = await client.post(path, headers=FORM_HEADERS | {"X-Forwarded-For": address})
    return response.status_code


async def test_every_unsafe_route_and_every_look_up_has_a_limit(
    database_url: str, psql: psycopg.Connection
) -> None:
    async with limited_app(database_url) as app:
        unsafe = {
            (method, re.sub("<.*?>", "1", rule.rule)): ACCOUNT
            for rule in app.url_map.iter_rules()
            for method in (rule.methods or set()) - SAFE_METHODS
        }
        unsafe |= {
            ("POST", "/register"): REGISTER,
            ("POST", "/register/check"): CHECK_PASSWORD,
            ("POST", "/sign-in"): SIGN_IN_PER_ADDRESS_AND_NAME,
        }
        client = http_client(app, htmx=True)
        for (method, path), limit in (unsafe | LIMITED_LOOK_UPS).items():
            psql.execute("TRUNCATE rate_limits")
            assert (await client.request(method, path, headers=FORM_HEADERS)).status_code != 429, path
            used = timedelta(seconds=limit.seconds * (limit.count - 3) / limit.count)  # all but three
            psql.execute("UPDATE rate_limits SET full_at = now() + %s", [used])
            allowed, refused = await request_until_refused(client, method, path)
            assert allowed >= 3, path
            assert int(refused.headers["Retry-After"]) >= 1, path
        assert (await client.get("/")).status_code == 200


async def test_the_page_itself_has_no_limit(database_url: str, psql: psycopg.Connection) -> None:
    async with limited_app(database_url) as app:
        client = http_client(app)
        for path in ("/", "/?before=x", "/?q=", "/?registered=x", "/nowhere"):
            await client.get(path)
    assert psql.execute("SELECT FROM rate_limits").rowcount == 0


async def test_processes_count_the_registrations_of_an_address_together(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    tuning = "import web.rate_limits as r; vars(r.REGISTER).update(count=30, seconds=360_000)"
    both = [serve(DATABASE_URL=database_url, RATE_LIMITS="on", tuning=tuning) for _ in range(2)]
    async with httpx.AsyncClient(timeout=100) as client:
        responses = await asyncio.gather(
            *(
                client.post(
                    f"{both[n % 2].url}/register", data={"username": f"user{n}", "password": PASSWORD}
                )
                for n in range(34)
            )
        )
    assert sorted(response.status_code for response in responses) == [303] * 30 + [429] * 4
    assert len(usernames(psql)) == 30


async def test_each_address_has_a_limit_of_its_own(database_url: str) -> None:
    async with limited_app(database_url, trusted_proxy_hops=1) as app:
        client = http_client(app)
        while await request_from(client, "192.0.2.1") != 429:
            pass
        assert await request_from(client, "192.0.2.2") == 422
        while await request_from(client, "2001:db8:0:1::1") != 429:
            pass
        assert await request_from(client, "2001:db8:0:2::1") == 422


async def test_each_kind_of_request_has_a_limit_of_its_own(database_url: str) -> None:
    async with limited_app(database_url) as app:
        client = http_client(app, htmx=True)
        await request_until_refused(client, "POST", "/register")
        for method, path in (*LIMITED_LOOK_UPS, ("POST", "/register/check")):
            assert (await client.request(method, path)).status_code == 200


async def test_without_rate_limits_nothing_is_counted(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    for _ in range(2 * REGISTER.count):
        assert (await client.post("/register")).status_code == 422
    assert psql.execute("SELECT FROM rate_limits").rowcount == 0


async def test_a_refund_allows_one_more_request(database_url: str, app: Quart) -> None:
    limit = RateLimit("test", 2, 360_000)
    async with limited_app(database_url) as limited, limited.app_context():
        for _ in range(2):
            await check_rate_limit(limit, "a", "b")
        await refund(limit, "a", "b")
        await refund(limit, "another", "key")
        await check_rate_limit(limit, "a", "b")
        async with app.app_context():  # which has no rate limits
            await refund(limit, "a", "b")
        with pytest.raises(TooManyRequests):
            await check_rate_limit(limit, "a", "b")


@pytest.mark.parametrize(
    ("wait", "seconds", "words"),
    [(0.001, "1", "1 second."), (0.5, "1", "1 second."), (1, "1", "1 second."), (1.2, "2", "2 seconds.")],
)
async def test_the_time_to_wait_is_rounded_up_and_never_0(
    database_url: str, monkeypatch: pytest.MonkeyPatch, wait: float, seconds: str, words: str
) -> None:
    async def consume(*_: object) -> float:
        return wait

    monkeypatch.setattr(rate_limit_counters, "consume", consume)
    async with limited_app(database_url) as app:
        response = await http_client(app).post("/register")
    assert (response.status_code, response.headers["Retry-After"]) == (429, seconds)
    assert text_of(response, "h2") == f"That was too often. Please try again in {words}"
