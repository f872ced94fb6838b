import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from tests.helpers import add_users, http_client, names_in, register, set_clock, text_of, wait_for_list
from web.home_page_cache import HomePageCache
from web.i18n import LANGUAGE_TAGS
from web.request_context import get_services


@pytest_asyncio.fixture
async def behind(app: Quart) -> AsyncIterator[httpx.AsyncClient]:
    """A client that asks the framework itself."""
    cache = app.asgi_app
    assert isinstance(cache, HomePageCache)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cast("Any", cache.app)),  # the same protocol, typed more strictly
        base_url="http://roster.test",
    ) as client:
        yield client


@pytest.mark.parametrize("path", ["/", *(f"/?lang={language}" for language in LANGUAGE_TAGS)])
@pytest.mark.parametrize("accepted", ["", "en", "zh-CN,zh;q=0.9,en;q=0.8", "fr"])
async def test_the_cache_and_the_framework_answer_alike(
    client: httpx.AsyncClient,
    behind: httpx.AsyncClient,
    psql: psycopg.Connection,
    path: str,
    accepted: str,
) -> None:
    add_users(psql, 60)
    await wait_for_list(client, "user60")
    headers = {"Accept-Language": accepted, "Accept-Encoding": "identity"}
    for method in "GET", "HEAD":
        cached = await client.request(method, path, headers=headers)
        own = await behind.request(method, path, headers=headers)
        assert (cached.status_code, cached.content) == (own.status_code, own.content)
        assert cached.headers.pop("ETag")
        assert cached.headers.pop("Vary") == own.headers.pop("Vary") + ", Accept-Encoding"
        assert cached.headers.multi_items() == own.headers.multi_items()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/?q=user", {}),
        ("/?before=x", {}),
        ("/?lang=fr", {}),
        ("/?invitation=abcdefgh", {}),
        ("/users", {}),
        ("/", {"Cookie": "session=x"}),
        ("/", {"Cookie": "theme=dark; __Host-session=x"}),
        ("/", {"Cookie": "organiser=x"}),
        ("/", {"Cookie": "invitation=x"}),
        ("/", {"Cookie": "flash=signed-out"}),
    ],
)
async def test_all_other_requests_go_to_the_framework(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    assert "ETag" not in (await client.get(path, headers=headers)).headers


async def test_cookies_that_say_nothing_of_a_person_are_no_reason_for_another_page(
    client: httpx.AsyncClient,
) -> None:
    anonymous = await client.get("/")
    response = await client.get("/", headers={"Cookie": "device=x; theme=dark"})
    assert response.headers["ETag"] == anonymous.headers["ETag"]


async def test_a_cookie_may_come_in_parts(app: Quart) -> None:
    parts = [("Cookie", "theme=dark"), ("Cookie", "session=x")]
    response = await http_client(app).get("/", headers=parts)
    assert response.headers["Cache-Control"] == "no-store"


async def test_one_visitor_never_gets_the_page_of_another(app: Quart) -> None:
    zoe, stranger = http_client(app), http_client(app)
    await register(zoe)
    own, anonymous = await zoe.get("/"), await stranger.get("/")
    assert "Signed in as zoe" in text_of(own, "#account")
    assert "Signed in" not in text_of(anonymous, "#account")
    assert "Signed in as zoe" in text_of(await zoe.get("/"), "#account")


async def test_other_methods_go_to_the_framework(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405
    assert (await client.options("/")).status_code == 200


async def test_visitors_who_come_together_wait_for_one_rendering(
    app: Quart, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(psql, 1)
    await wait_for_list(http_client(app), "user1")
    renderings = 0
    handle_request = app.handle_request

    async def count(*args: object) -> object:
        nonlocal renderings
        renderings += 1
        return await handle_request(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(app, "handle_request", count)
    await asyncio.gather(*(http_client(app).get("/?lang=zh") for _ in range(20)))
    assert renderings == 1


async def test_what_is_not_live_is_not_kept(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    cache = app.asgi_app
    assert isinstance(cache, HomePageCache)
    monkeypatch.setattr(cache.live_list, "is_live", False)
    page = await client.get("/")
    assert "ETag" not in page.headers
    assert text_of(page, "#live") == "Connecting…"
    monkeypatch.undo()
    assert text_of(await client.get("/"), "#live") == "Live"


async def test_a_page_that_was_not_live_while_it_was_rendered_is_not_kept(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    live_list = get_services(app).live_list
    index: Any = app.view_functions["home.index"]

    async def lose_the_list_for_a_moment() -> object:
        live_list.is_live = False
        response = await index()
        live_list.is_live = True
        return response

    monkeypatch.setitem(app.view_functions, "home.index", lose_the_list_for_a_moment)
    assert text_of(await client.get("/?lang=en"), "#live") == "Connecting…"
    monkeypatch.undo()
    assert text_of(await client.get("/?lang=en"), "#live") == "Live"


async def test_an_error_of_the_framework_is_not_kept(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    view = app.view_functions["home.index"]

    async def fail() -> None:
        raise RuntimeError

    monkeypatch.setitem(app.view_functions, "home.index", fail)
    assert (await client.get("/?lang=zh")).status_code == 500
    monkeypatch.setitem(app.view_functions, "home.index", view)
    assert names_in(await client.get("/?lang=zh")) == ["user1"]


async def test_in_a_new_year_the_page_is_rendered_again(
    client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    psql.execute("UPDATE users SET registered_at = '2026-12-31 22:05Z'")
    add_users(psql, 1, "more")
    await wait_for_list(client, "more1")
    for now, time in (
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "Dec 31 22:05 UTC"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "Dec 31, 2026 22:05 UTC"),
    ):
        set_clock(monkeypatch, now)
        page = await client.get("/", headers={"Accept-Language": "en"})
        assert time in text_of(page, "#newest")
