import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from unittest.mock import Mock

import httpx
import psycopg
import pytest
from quart import Quart

from app import create_app
from routes import home
from services import share_origin
from settings import Settings
from tests.helpers import (
    HTMX,
    add_users,
    become_organiser,
    http_client,
    names_in,
    parse_html,
    register,
    sign_in,
    terminate_others,
    text_of,
    wait_for_list,
    wait_until,
)
from web.rate_limits import DRAW_INVITATION
from web.request_context import get_services


def link(response: httpx.Response, rel: str) -> tuple[str, str]:
    """Return the URLs of a link between pages, for the browser and for HTMX."""
    [found] = parse_html(response).select(f"nav a[rel={rel}]")
    return str(found["href"]), str(found["hx-get"])


async def test_the_empty_list_invites_to_register(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert text_of(page, "#count") == "0"
    assert text_of(page, "ol#newest") == ""
    assert "Be the first" in text_of(page, "#users .empty")


async def test_pages_lead_from_the_newest_to_the_first_people_and_back(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 51)
    await wait_for_list(client, "user51")
    newest = await client.get("/?q=")
    assert names_in(newest) == [f"user{n}" for n in range(51, 1, -1)]
    assert parse_html(newest).select("#newest")
    page_url, fragment_url = link(newest, "next")
    assert names_in(await client.get(page_url)) == ["user1"]
    older = await client.get(fragment_url, headers=HTMX)
    assert names_in(older) == ["user1"]
    assert older.headers["HX-Push-Url"] == page_url
    assert parse_html(older).select("section#users")
    assert not parse_html(older).select("#newest, main")
    back = await client.get(link(older, "prev")[0])
    assert names_in(back) == names_in(newest)
    assert parse_html(back).select("#newest")


async def test_the_fragment_of_the_list_sends_a_plain_request_to_the_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/users?before=abc&q=a+b&other=x")
    assert (response.status_code, response.headers["Location"]) == (303, "/?q=a+b&before=abc")


async def test_a_long_search_comes_back_cut(client: httpx.AsyncClient) -> None:
    response = await client.get("/users", params={"q": "张" * 5000}, headers=HTMX)
    assert response.headers["HX-Push-Url"] == str(httpx.URL("/", params={"q": "张" * 100}))


async def test_only_people_who_registered_are_said_to_have(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    page = await client.get("/", params={"registered": "USER1"})
    assert text_of(page, "#register-message strong") == "user1"
    for text in ("nobody-here", "<script>alert(1)</script>", "a b", "", "admin"):
        page = await client.get("/", params={"registered": text})
        assert (page.status_code, text_of(page, "#register-message")) == (200, "")
    for query in ("registered=%FF", "registered=user1&registered=user1"):
        assert text_of(await client.get(f"/?{query}"), "#register-message") == ""


async def test_times_are_in_utc_whatever_the_time_zone_of_the_database(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    psql.execute(f"ALTER DATABASE {psql.info.dbname} SET timezone = 'Asia/Shanghai'")
    psql.execute(
        """
        INSERT INTO users (username, username_key, password_hash, registered_at)
        VALUES ('zoe', 'zoe', '-', '2020-03-04 23:30Z')
        """
    )
    terminate_others(psql)
    page = await client.get("/?q=z")
    assert text_of(page, "#users relative-time") == "Mar 4, 2020 23:30 UTC"


@pytest.mark.parametrize("htmx", [False, True])
async def test_the_page_is_shared_by_its_address_and_a_qr_code(app: Quart, *, htmx: bool) -> None:
    client = http_client(app, htmx=htmx)
    response = await client.get("/share", headers={"Host": "roster.example:8000"})
    [shown] = parse_html(response).select("p > a[href^='http']")
    assert shown["href"] == shown.get_text() == "http://roster.example:8000"
    assert parse_html(response).select("svg[viewBox] path")
    assert "Only this computer" not in response.text
    assert response.headers["Cache-Control"] == "private, max-age=60"
    assert bool(parse_html(response).select("main")) is not htmx


async def test_the_qr_code_of_an_address_is_drawn_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_svg = Mock(return_value="<svg></svg>")
    monkeypatch.setattr("services.qr_code.draw_svg", draw_svg)
    pages = [await client.get("/share") for _ in range(2)]
    assert [len(parse_html(page).select("main svg")) for page in pages] == [1, 1]
    draw_svg.assert_called_once_with("http://roster.test")


async def test_new_hosts_for_a_qr_code_are_limited_and_known_ones_are_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.qr_code.draw_svg", Mock(return_value="<svg></svg>"))
    app = create_app(Settings(database_url=database_url))

    async def share(host: str) -> int:
        return (await http_client(app).get("/share", headers={"Host": host})).status_code

    async with app.test_app():
        await wait_until(lambda: get_services(app).live_list.is_live)
        known = [f"host{number}" for number in range(30)]
        assert {await share(host) for host in known} == {200}
        assert await share("made-up") == 429
        assert {await share(host) for host in known} == {200}
        get_services(app).live_list.is_live = False  # as while the database is away
        assert await share("made-up") == 200


async def test_whether_somebody_has_shared_an_invitation_cannot_be_found_out(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.qr_code.draw_svg", Mock(return_value="<svg></svg>"))
    psql.execute("UPDATE roster SET invitation = 'VTPBGZSV'")
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        await wait_until(lambda: get_services(app).live_list.is_live)
        organiser, stranger = http_client(app), http_client(app)
        await become_organiser(organiser, psql)
        assert "VTPBGZSV" in (await organiser.get("/share")).text
        for _ in range(DRAW_INVITATION.count + 20):
            guess = await stranger.get("/share", params={"invitation": "BBBBBBBB"})
        right = await stranger.get("/share", params={"invitation": "VTPBGZSV"})
        assert (guess.status_code, right.status_code) == (429, 429)


async def test_an_address_of_this_computer_alone_comes_with_advice(client: httpx.AsyncClient) -> None:
    response = await client.get("/share", headers={"Host": "127.0.0.1:8000"})
    text = text_of(response, "main")
    assert "Only this computer can open this address." in text
    assert "BIND=0.0.0.0:8000" in text


async def test_a_server_open_to_the_network_shares_its_address_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_origin, "lan_address", lambda: "192.0.2.7")
    app = create_app(Settings(database_url=database_url, bind=("0.0.0.0", 8000)))
    async with app.test_app():
        response = await http_client(app).get("/share", headers={"Host": "localhost:8000"})
    assert "http://192.0.2.7:8000" in text_of(response, "main")


async def test_behind_a_proxy_the_public_origin_is_shared(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url, public_origin="https://roster.example"))
    async with app.test_app():
        response = await http_client(app).get("/share")
    assert "https://roster.example" in text_of(response, "main")


async def test_a_list_that_may_be_old_is_not_shown_from_memory(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    live_list = get_services(app).live_list
    await wait_for_list(client, "user1")
    live_list.close()
    psql.execute("DROP TRIGGER users_inserted ON users")  # so that no change is noticed
    add_users(psql, 1, "new")
    live_list.is_live = False
    assert names_in(await client.get("/")) == ["new1", "user1"]


async def test_a_person_with_a_session_is_not_shown_the_page_of_strangers(
    app: Quart, psql: psycopg.Connection
) -> None:
    client = http_client(app)
    await register(client)
    await sign_in(client)
    await wait_for_list(http_client(app), "zoe")
    message = await client.get("/")
    page = await client.get("/")
    assert text_of(message, "#account-message") == "You are signed in."
    assert text_of(page, "#account-message") == ""
    assert parse_html(page).select("#sign-out")
    assert parse_html(page).select("li em")
    assert parse_html(await client.get("/users", headers=HTMX)).select("li em")
    assert page.headers["Cache-Control"] == "no-store"
    assert not parse_html(await http_client(app).get("/")).select("#sign-out")
    assert psql.execute("SELECT FROM sessions").rowcount == 1


async def test_a_message_for_a_person_who_signed_out_is_shown_once(app: Quart) -> None:
    client = http_client(app)
    await register(client)
    await sign_in(client)
    await wait_for_list(http_client(app), "zoe")
    await client.post("/sign-out")
    assert text_of(await client.get("/"), "#account-message") == "You are signed out."
    assert text_of(await client.get("/"), "#account-message") == ""


async def test_without_a_free_connection_the_page_shows_the_last_list(
    app: Quart, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "FALLBACK_SECONDS", 0.05)
    add_users(psql, 1)
    await wait_for_list(http_client(app), "user1")
    client = http_client(app)
    client.cookies.set("session", "x", domain="roster.test")
    pool = get_services(app).database.pool
    pool.timeout = 600
    async with AsyncExitStack() as stack:
        for _ in range(pool.max_size):
            await stack.enter_async_context(pool.connection(30))
        search = asyncio.create_task(http_client(app).get("/?q=u"))
        await wait_until(lambda: pool.get_stats().get("requests_waiting") == 1)
        page = await client.get("/")
        assert page.status_code == 200
        assert names_in(page) == ["user1"]
        assert text_of(page, "#away").startswith("Roster cannot reach its database just now.")
        pool.timeout = 0.05
        assert (await client.get("/?q=u")).status_code == 503
    assert names_in(await search) == ["user1"]  # a search has no last list, and so waits longer


async def test_the_page_of_a_language_is_shown_from_memory_too(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    psql.execute("DROP TABLE users CASCADE")
    page = await http_client(app).get("/?lang=zh")
    assert (page.status_code, names_in(page)) == (200, ["user1"])
    assert (await client.get("/?before=x")).status_code == 500


async def test_a_time_is_written_for_machines_to_the_second(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    [time] = parse_html(await client.get("/?q=u")).select("relative-time")
    [(registered_at,)] = psql.execute("SELECT registered_at FROM users")
    assert datetime.fromisoformat(str(time["datetime"])) == registered_at.replace(microsecond=0)
