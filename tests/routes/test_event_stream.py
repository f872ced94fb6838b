import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from unittest.mock import AsyncMock

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from app import create_app
from routes.event_stream import HEARTBEAT, HEARTBEAT_SECONDS, generate_events
from services.tokens import hash_token
from settings import Settings
from tests.helpers import (
    FORM,
    HTMX,
    ROOT,
    StartServer,
    add_users,
    become_organiser,
    make_snapshot,
    parse_html,
    register,
    serving,
    text_of,
    viewing,
    wait_until,
)
from web.i18n import Locale
from web.request_context import get_services


@pytest_asyncio.fixture
async def url(live_app: Quart) -> AsyncIterator[str]:
    """The URL of a Roster in this process, reached over real connections."""
    async with serving(live_app) as url:
        yield url


async def test_the_list_comes_first_and_then_every_change(url: str, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    async with viewing(url) as viewer:
        assert (await viewer.wait_for(2)).names == ["user2", "user1"]
        add_users(psql, 1, "psql")
        assert (await viewer.wait_for(3)).names == ["psql1", "user2", "user1"]
        psql.execute("DELETE FROM users WHERE username = 'user2'")
        assert (await viewer.wait_for(2)).names == ["psql1", "user1"]
        async with httpx.AsyncClient(base_url=url) as client:
            await register(client)
        assert (await viewer.wait_for(3)).names == ["zoe", "psql1", "user1"]
        psql.execute("TRUNCATE users")
        event = await viewer.wait_for(0)
        assert (event.id, event.names) == ("5", [])


async def test_a_change_on_one_process_is_seen_on_the_other(serve: StartServer, database_url: str) -> None:
    one, other = serve(DATABASE_URL=database_url), serve(DATABASE_URL=database_url)
    async with viewing(one.url) as viewer, httpx.AsyncClient() as client:
        assert (await client.post(f"{other.url}/register", data=FORM)).status_code == 303
        assert (await viewer.wait_for(1)).names == ["zoe"]


@pytest.mark.parametrize("last_event_id", ["1", "0", "-1", "nonsense", "9" * 500, ""])
async def test_a_viewer_with_another_version_gets_the_current_one(
    url: str, psql: psycopg.Connection, last_event_id: str
) -> None:
    add_users(psql, 1)
    add_users(psql, 1, "more")
    async with viewing(url) as viewer:
        await viewer.wait_for(2)
    async with viewing(url, last_event_id) as viewer:
        event = await viewer.next()
        assert event
        assert (event.id, event.names) == ("2", ["more1", "user1"])


async def test_a_viewer_with_the_current_version_gets_the_next_one(
    url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    async with viewing(url) as viewer:
        await viewer.wait_for(1)
    async with viewing(url, "1") as viewer:
        add_users(psql, 1, "more")
        event = await viewer.next()
        assert event
        assert event.id == "2"


async def test_a_new_page_is_not_sent_its_own_version(url: str, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    async with viewing(url) as viewer, httpx.AsyncClient(base_url=url) as client:
        await viewer.wait_for(1)
        [element] = parse_html(await client.get("/")).select("#event-stream")
        async with client.stream("GET", str(element["hx-sse:connect"])) as response:
            chunks = response.aiter_bytes()
            assert await anext(chunks) == HEARTBEAT
            add_users(psql, 1, "more")
            assert (await anext(chunks)).startswith(b"id: 2\n")


async def test_the_last_event_id_counts_more_than_the_version_in_the_url(
    url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    async with viewing(url) as viewer:
        await viewer.wait_for(1)
    headers = {"Last-Event-ID": "0"}
    async with (
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/live?version=1", headers=headers) as response,
    ):
        chunks = response.aiter_bytes()
        assert await anext(chunks) == HEARTBEAT
        assert (await anext(chunks)).startswith(b"id: 1\n")


async def test_events_speak_the_language_of_the_page(url: str) -> None:
    async with (
        httpx.AsyncClient(base_url=url, headers={"Accept-Language": "zh"}) as client,
        client.stream("GET", "/live") as response,
    ):
        chunks = response.aiter_text()
        await anext(chunks)
        page = await client.get("/")
        [link] = parse_html(await anext(chunks)).select('[hx-target="#to-newest"] a')
        assert parse_html(page).select('html[lang="zh-Hans"]')
        assert link.get_text().isascii() is False


async def test_proxies_and_caches_are_told_to_pass_events_on(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.head("/live")
    assert (response.status_code, response.content) == (200, b"")
    assert "Content-Length" not in response.headers
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"


async def test_silence_is_filled_with_comments(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routes.event_stream.HEARTBEAT_SECONDS", 0.05)
    async with viewing(url) as viewer:
        await viewer.wait_for(0)
        assert [await viewer.next() for _ in range(3)] == [None] * 3


async def test_a_stream_outlives_the_time_limit_of_other_responses(
    live_app: Quart, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_app.config["RESPONSE_TIMEOUT"] = 0.1
    monkeypatch.setattr("routes.event_stream.HEARTBEAT_SECONDS", 0.05)
    async with viewing(url) as viewer:
        await viewer.wait_for(0)
        assert [await viewer.next() for _ in range(10)] == [None] * 10


def test_a_comment_is_also_an_event_that_the_page_can_notice() -> None:
    # static/hx-sse.min.js drops what has neither data nor a name, and swaps what has no name.
    lines = HEARTBEAT.decode().split("\n")
    assert ":" in lines
    assert [line for line in lines if re.fullmatch("event: .+", line)]
    assert not [line for line in lines if line.startswith(("data", "id"))]
    assert HEARTBEAT.endswith(b"\n\n")


def test_the_page_waits_for_two_comments_before_it_reconnects() -> None:
    script = (ROOT / "static" / "event_stream.js").read_text()
    found = re.search("SILENCE_LIMIT = ([0-9_]+);", script)
    assert found
    assert int(found[1]) > 2 * HEARTBEAT_SECONDS * 1000


@pytest.mark.parametrize("last_event_id", ["", "3", "3-away-since-1764115200"])
async def test_a_viewer_that_lacks_the_news_gets_it_while_the_database_is_away_and_after(
    live_app: Quart, last_event_id: str
) -> None:
    services = get_services(live_app)
    away, back = make_snapshot(3, away_since=datetime.fromtimestamp(1764115200, UTC)), make_snapshot(3)
    expected = back if last_event_id == away.event_id else away
    services.live_list.snapshot = expected
    async with aclosing(generate_events(services, Locale(), last_event_id, "192.0.2.7")) as events:
        assert await anext(events) == HEARTBEAT
        assert (await anext(events)).startswith(f"id: {expected.event_id}\n".encode())


@pytest.mark.parametrize("received", [1, 2])
async def test_a_stream_that_is_closed_is_no_longer_counted(live_app: Quart, received: int) -> None:
    services = get_services(live_app)
    services.live_list.snapshot = make_snapshot(1)
    events = generate_events(services, Locale(), "", "192.0.2.7")
    for _ in range(received):
        await anext(events)
    assert services.live_list.viewers == 1
    await events.aclose()
    assert services.live_list.viewers == 0


async def test_a_stream_that_is_cancelled_is_no_longer_counted(live_app: Quart) -> None:
    services = get_services(live_app)

    async def follow() -> None:
        async for _ in generate_events(services, Locale(), "", "192.0.2.7"):
            pass

    tasks = [asyncio.create_task(follow()) for _ in range(2)]
    await wait_until(lambda: services.live_list.viewers == 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert services.live_list.viewers == 0


async def test_closing_ends_streams_that_wait_and_new_ones(live_app: Quart) -> None:
    services = get_services(live_app)
    events = generate_events(services, Locale(), "", "192.0.2.7")
    assert await anext(events) == HEARTBEAT
    waiting = asyncio.create_task(anext(events, b"the end"))
    await asyncio.sleep(0)
    assert not waiting.done()
    services.live_list.close()
    assert await waiting == b"the end"
    assert [event async for event in generate_events(services, Locale(), "", "192.0.2.7")] == [HEARTBEAT]
    assert services.live_list.viewers == 0


async def test_viewers_that_close_at_once_leave_nothing_behind(live_app: Quart, url: str) -> None:
    live_list = get_services(live_app).live_list
    async with viewing(url):
        pass
    await wait_until(lambda: live_list.viewers == 0)
    port = int(url.rpartition(":")[2])
    before = len(asyncio.all_tasks())
    for is_answered in (False, True):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port)) as hasty:
                hasty.sendall(b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n")
                if is_answered:
                    await wait_until(lambda: live_list.viewers > 0)
                await asyncio.sleep(0)
    await wait_until(lambda: len(asyncio.all_tasks()) <= before)
    assert live_list.viewers == 0


async def test_a_viewer_more_than_allowed_is_asked_to_come_back(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(database_url=database_url, max_viewers=1))
    async with serving(app) as url, httpx.AsyncClient() as client:
        async with viewing(url):
            refused = await client.get(f"{url}/live", headers=HTMX)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            assert "503 Service Unavailable: TooManyViewersError: MAX_VIEWERS is 1" in caplog.text
        await wait_until(lambda: get_services(app).live_list.viewers == 0)
        async with viewing(url):
            pass


async def test_one_address_cannot_take_every_place(
    url: str, live_app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routes.event_stream.STREAMS_PER_ADDRESS", 1)
    async with viewing(url), httpx.AsyncClient() as client:
        refused = await client.get(f"{url}/live", headers=HTMX)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    await wait_until(lambda: get_services(live_app).live_list.viewers == 0)
    async with viewing(url):
        pass


async def test_behind_a_proxy_each_visitor_has_places(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routes.event_stream.STREAMS_PER_ADDRESS", 1)
    app = create_app(Settings(database_url=database_url, trusted_proxy_hops=1))
    async with serving(app) as url, viewing(url), httpx.AsyncClient() as client:
        forwarded = {"X-Forwarded-For": "198.51.100.1"}
        async with client.stream("GET", f"{url}/live", headers=forwarded) as response:
            assert response.status_code == 200


async def test_without_rate_limits_one_address_may_take_every_place(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routes.event_stream.STREAMS_PER_ADDRESS", 1)
    app = create_app(Settings(database_url=database_url, rate_limits=False))
    async with serving(app) as url, viewing(url), viewing(url):
        pass


async def test_what_organisers_decide_reaches_every_page(url: str, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    async with httpx.AsyncClient(base_url=url) as organiser, viewing(url) as viewer:
        await viewer.wait_for(1)
        await become_organiser(organiser, psql)
        for path, form, selector, text in (
            ("page", {"title": "Chess", "description": "Fridays"}, "#title bdi", "Chess"),
            ("page", {"title": "Go", "description": "Mondays"}, "#description", "Mondays"),
            ("page", {"title": "Shogi", "description": ""}, "head title", "Shogi"),
            ("registration", {"open": "off", "capacity": ""}, "#register-state", "Registration is closed."),
            ("registration", {"open": "on", "capacity": "2"}, "#total", "1 of 2 registered"),
            ("registration", {"open": "on", "capacity": "1"}, "#register-state", "The one place is taken."),
            ("registration", {"open": "on", "capacity": ""}, "#total", "1 registered"),
        ):
            await organiser.post(f"/organiser/{path}", data=form)
            while text_of((event := await viewer.next_event()).data, selector) != text:
                pass
        await organiser.post("/organiser/invitation", data={"action": "new"})
        while not parse_html((event := await viewer.next_event()).data).select("#by-invitation"):
            pass
        [(code,)] = psql.execute("SELECT invitation FROM roster")
        assert code not in event.data


async def test_only_an_organisers_page_gets_what_only_they_may_see(
    url: str, psql: psycopg.Connection
) -> None:
    psql.execute("UPDATE roster SET invitation = 'VTPBGZSV'")
    add_users(psql, 1)
    async with httpx.AsyncClient(base_url=url) as organiser, httpx.AsyncClient(base_url=url) as pretender:
        await become_organiser(organiser, psql)
        pretender.cookies.set("organiser", "x" * 43)
        async with (
            viewing(url, organiser=organiser) as organisers,
            viewing(url, organiser=pretender) as pretenders,
            viewing(url) as everybodys,
        ):
            event = await organisers.wait_for(1)
            assert len(parse_html(event.data).select(".person")) == 1
            assert "VTPB GZSV" in event.data
            for viewer in pretenders, everybodys:
                event = await viewer.wait_for(1)
                assert not parse_html(event.data).select(".person, form")
                assert "VTPB" not in event.data
            psql.execute("DELETE FROM organisers")
            event = await organisers.next_event()
            assert not parse_html(event.data).select(".person, form")
            assert parse_html(event.data).select('hx-partial[hx-target="#organiser"][hx-swap="delete"]')


async def test_an_organiser_who_is_newer_than_the_snapshot_is_one(
    app: Quart, psql: psycopg.Connection
) -> None:
    services = get_services(app)
    token_hash = hash_token("x")
    psql.execute("ALTER TABLE organisers DISABLE TRIGGER ALL")
    psql.execute("INSERT INTO organisers VALUES (%s, now() + interval '1 day')", [token_hash])
    events = generate_events(services, Locale(), "", "192.0.2.7", token_hash)
    async with aclosing(events):
        assert await anext(events) == HEARTBEAT
        assert b"organiser-panel" in await anext(events)


async def test_a_stream_ends_while_nobody_can_say_whether_it_is_an_organisers(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queries.organisers.is_organiser", AsyncMock(side_effect=psycopg.OperationalError))
    events = generate_events(get_services(app), Locale(), "", "192.0.2.7", hash_token("x"))
    assert [event async for event in events] == [HEARTBEAT]
