import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from app import create_app
from services.registration_rules import new_invitation
from settings import Settings
from tests.helpers import (
    add_users,
    http_client,
    names_in,
    register,
    serving,
    terminate_others,
    text_of,
    viewing,
    wait_for_list,
)
from web.request_context import get_services


@pytest_asyncio.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    """The URL of a Roster in this process, reached over real connections."""
    async with serving(create_app(Settings(database_url=database_url))) as url:
        yield url


async def test_a_registration_is_answered_with_the_list_that_has_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live_list.WAIT_SECONDS", 3600)
    app = create_app(Settings(database_url=database_url))
    async with asyncio.timeout(60), app.test_app():
        for number in range(1, 4):
            response = await register(http_client(app, htmx=True), f"user{number}")
            assert names_in(response)[0] == f"user{number}"


async def test_a_registration_is_answered_with_the_list_without_a_listener(
    database_url: str, psql: psycopg.Connection, tmp_path: Path
) -> None:
    app = create_app(Settings(database_url=database_url, listen_database_url=f"host={tmp_path} dbname=x"))
    async with app.test_app():
        assert names_in(await register(http_client(app, htmx=True))) == ["zoe"]
        add_users(psql, 1)
        assert names_in(await http_client(app).get("/")) == ["user1", "zoe"]


async def test_after_a_registration_without_javascript_the_page_shows_it(client: httpx.AsyncClient) -> None:
    response = await register(client)
    page = await client.get(response.headers["Location"])
    assert text_of(page, "#register-message .welcome") == "zoe, you are in"
    assert names_in(page) == ["zoe"]
    assert names_in(await client.get("/")) == ["zoe"]


async def test_the_first_visit_sends_no_statement_to_the_database(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    psql.execute("DROP TABLE users CASCADE")
    assert names_in(await client.get("/")) == ["user1"]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("zstd", "identity"), ("", "identity")],
)
async def test_the_page_comes_in_the_best_content_coding(
    client: httpx.AsyncClient, psql: psycopg.Connection, accepted: str, coding: str
) -> None:
    add_users(psql, 3)
    await wait_for_list(client, "user3")
    plain = await client.get("/", headers={"Accept-Encoding": "identity"})
    response = await client.get("/", headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding", "identity") == coding
    assert "Accept-Encoding" in response.headers["Vary"]
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.text == plain.text


async def test_a_page_that_has_not_changed_is_not_sent_again(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    for coding in ("br", "gzip", "identity"):
        first = await client.get("/", headers={"Accept-Encoding": coding})
        again = await client.get(
            "/", headers={"Accept-Encoding": coding, "If-None-Match": first.headers["ETag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
    add_users(psql, 1, "more")
    await wait_for_list(client, "more1")
    changed = await client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert names_in(changed) == ["more1", "user1"]


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
async def test_a_request_that_depends_on_the_page_is_answered_as_the_standard_asks(
    client: httpx.AsyncClient, psql: psycopg.Connection, name: str
) -> None:
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    etag = (await client.get("/")).headers["ETag"]
    same, other = (200, 412) if name == "If-Match" else (304, 200)
    for value, status in ((etag, same), (f'"x", {etag}', same), ("*", same), ('"x"', other)):
        assert (await client.get("/", headers={name: value})).status_code == status, value


async def test_while_the_database_is_away_the_page_shows_the_last_list(
    url: str, psql: psycopg.Connection, server_url: str
) -> None:
    add_users(psql, 1)
    name = psql.info.dbname
    async with viewing(url) as viewer, httpx.AsyncClient(base_url=url) as client:
        await viewer.wait_for(1)
        with psycopg.connect(server_url, autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            terminate_others(psql)
            event = await viewer.next()
            page = await client.get("/", timeout=60)
            async with viewing(url) as new_viewer:
                first = await new_viewer.next()
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert page.status_code == 200
        notice = text_of(page, "#away")
        assert re.fullmatch("Roster cannot reach its database just now. .* [0-9]{2}:[0-9]{2} UTC.", notice)
        assert names_in(page) == ["user1"]
        for away in (event, first):
            assert away
            assert away.id.startswith("1-away-since-")
            assert away.names == ["user1"]
            assert text_of(away.data, "#away") == notice
        back = await viewer.next()
        assert back
        assert (back.id, back.names) == ("1", ["user1"])
        assert text_of(back.data, "#away") == ""
        assert text_of(await client.get("/"), "#away") == ""


async def test_whoever_is_signed_in_gets_the_list_from_memory(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(client)
    add_users(psql, 1)
    await wait_for_list(client, "user1")
    assert get_services(app).database.can_prepare
    monkeypatch.setattr("web.responses.select_user_page", None)  # it would fail
    page = await client.get("/")
    assert names_in(page) == ["user1", "zoe"]
    assert "Signed in as zoe" in text_of(page, "#account")


async def test_whoever_has_just_changed_something_sees_it_before_the_snapshot_has_it(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(client)
    await wait_for_list(client, "zoe")
    live_list = get_services(app).live_list
    monkeypatch.setattr(live_list, "_publish", lambda _new: None)
    add_users(psql, 1)
    assert names_in(await client.get("/")) == ["zoe"]
    assert names_in(await client.get("/?registered=user1")) == ["user1", "zoe"]
    for cookie in "flash=signed-in", "organiser=x":
        assert names_in(await http_client(app).get("/", headers={"Cookie": cookie})) == ["user1", "zoe"]


async def test_the_database_decides_on_a_registration_that_the_snapshot_would_allow(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(client, "eve")
    await wait_for_list(client, "eve")
    monkeypatch.setattr(get_services(app).live_list, "_publish", lambda _new: None)
    for column, status in (("open = false", 403), ("open = true, capacity = 1", 409)):
        psql.execute(f"UPDATE roster SET {column}")
        assert (await register(client)).status_code == status
    psql.execute("UPDATE roster SET capacity = NULL, invitation = %s", [new_invitation()])
    assert (await register(client)).status_code == 422
    assert names_in(await client.get("/?registered=eve")) == ["eve"]
