import asyncio
import gzip
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import brotli
import httpx
import psycopg
import pytest
import pytest_asyncio
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from quart.testing import QuartClient

import db
import live
from app import create_app
from settings import Settings
from tests.conftest import PASSWORD, Serve, add_users, serving, terminate_others, until, viewing

HTMX = {"HX-Request": "true"}
FORM = {"username": "zoe", "password": PASSWORD}


@pytest_asyncio.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    """A Roster in this process, reached over real connections."""
    async with serving(create_app(Settings(database_url=database_url))) as url:
        yield url


async def test_the_current_list_comes_first_then_every_change_whoever_makes_it(
    url: str, database: psycopg.Connection
) -> None:
    add_users(database, 2)
    async with viewing(url) as viewer:
        assert (await viewer.until(2)).names == ["user2", "user1"]
        add_users(database, 1, "psql")
        assert (await viewer.until(3)).names == ["psql1", "user2", "user1"]
        database.execute("DELETE FROM users WHERE username = 'user2'")
        assert (await viewer.until(2)).names == ["psql1", "user1"]
        async with httpx.AsyncClient() as client:
            await client.post(f"{url}/register", data=FORM)
        assert (await viewer.until(3)).names == ["zoe", "psql1", "user1"]
        database.execute("TRUNCATE users")
        event = await viewer.until(0)
        assert (event.id, event.names) == ("5", [])


async def test_a_change_on_one_process_is_seen_on_the_other(serve: Serve, database_url: str) -> None:
    one, other = serve(DATABASE_URL=database_url), serve(DATABASE_URL=database_url)
    async with viewing(one.url) as viewer, httpx.AsyncClient() as client:
        assert (await client.post(f"{other.url}/register", data=FORM)).status_code == 303
        assert (await viewer.until(1)).names == ["zoe"]


@pytest.mark.parametrize("last_event_id", ["1", "0", "-1", "nonsense", "9" * 500, ""])
async def test_a_viewer_that_has_another_version_gets_the_current_one(
    url: str, database: psycopg.Connection, last_event_id: str
) -> None:
    add_users(database, 1)
    add_users(database, 1, "more")
    async with viewing(url) as viewer:
        await viewer.until(2)
    async with viewing(url, last_event_id) as viewer:
        event = await viewer.next()
        assert event
        assert (event.id, event.names) == ("2", ["more1", "user1"])


async def test_a_viewer_that_has_the_current_version_gets_the_next_one_first(
    url: str, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    async with viewing(url) as viewer:
        await viewer.until(1)
    async with viewing(url, "1") as viewer:
        add_users(database, 1, "more")
        event = await viewer.next()
        assert event
        assert event.id == "2"


async def test_a_page_that_was_just_rendered_is_not_sent_its_own_version(
    url: str, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    async with viewing(url) as viewer, httpx.AsyncClient() as client:
        await viewer.until(1)
        found = re.search('hx-sse:connect="(/live[^"]*)"', (await client.get(url)).text)
        assert found
        async with client.stream("GET", url + found[1]) as response:
            chunks = response.aiter_bytes()
            assert await anext(chunks) == live.COMMENT
            add_users(database, 1, "more")
            assert (await anext(chunks)).startswith(b"id: 2\n")


async def test_silence_is_filled_with_comments(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "COMMENT_SECONDS", 0.05)
    async with viewing(url) as viewer:
        await viewer.until(0)
        assert [await viewer.next() for _ in range(3)] == [None] * 3


async def test_a_burst_of_changes_is_a_few_refreshes_that_end_with_the_exact_list(
    url: str, database: psycopg.Connection
) -> None:
    def burst() -> None:
        for number in range(300):
            add_users(database, 1, f"user{number}x")

    async with viewing(url) as viewer:
        await viewer.until(0)
        started = asyncio.get_running_loop().time()
        await asyncio.to_thread(burst)
        events = 1
        while not ((event := await viewer.next()) and event.size == 300):
            events += 1
        elapsed = asyncio.get_running_loop().time() - started
        assert event.names == [f"user{n}x1" for n in range(299, 249, -1)]
        assert events <= elapsed / live.REFRESH_SECONDS + 2


async def test_viewers_that_close_at_once_leave_nothing_behind(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url))
    async with serving(app) as url:
        async with viewing(url):
            pass
        await until(lambda: app.extensions["live"].viewers == 0)
        port = int(url.rpartition(":")[2])
        before = len(asyncio.all_tasks())
        for linger in (0, 1):
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", port)) as hasty:
                    hasty.sendall(b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n")
                    await asyncio.sleep(0.01 * linger)
        await until(lambda: len(asyncio.all_tasks()) <= before)
        assert app.extensions["live"].viewers == 0


async def test_a_viewer_more_than_allowed_is_asked_to_come_back(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url, max_viewers=1))
    async with serving(app) as url, httpx.AsyncClient() as client:
        async with viewing(url):
            refused = await client.get(f"{url}/live", headers=HTMX)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        await until(lambda: app.extensions["live"].viewers == 0)
        async with viewing(url):
            pass


async def test_changes_made_while_the_listener_was_cut_off_arrive(
    url: str, database: psycopg.Connection
) -> None:
    async with viewing(url) as viewer:
        await viewer.until(0)
        for number in range(1, 4):
            terminate_others(database)
            add_users(database, 1, f"user{number}x")
            await viewer.until(number)


async def test_a_server_that_stops_answering_is_noticed(
    database_url: str, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(db, "ANSWER_SECONDS", 0.2)
    async with way_to(database_url) as (listen_url, freeze):
        settings = Settings(database_url=database_url, listen_database_url=listen_url)
        async with serving(create_app(settings)) as url, viewing(url) as viewer:
            await viewer.until(0)
            freeze()
            away = await viewer.next()
            assert away
            assert "Roster cannot reach its database" in away.data
            add_users(database, 1)
            await viewer.until(1)


async def test_a_registrants_own_answer_holds_their_registration_even_if_the_listener_is_away(
    database_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    app = create_app(Settings(database_url=database_url, listen_database_url=f"host={tmp_path} dbname=x"))
    async with serving(app) as url, httpx.AsyncClient() as client:
        fragment = await client.post(f"{url}/register", data=FORM, headers=HTMX)
        assert re.search('id="newest".*<bdi>zoe</bdi>', fragment.text)
        add_users(database, 1)
        assert "<bdi>user1</bdi>" in (await client.get(url)).text


async def test_the_first_visit_sends_no_statement_to_the_database(
    client: QuartClient, database: psycopg.Connection
) -> None:
    add_users(database, 1)
    await page_with(client, "user1")
    database.execute("DROP TABLE users CASCADE")
    assert "<bdi>user1</bdi>" in await page(client)


async def test_the_page_comes_in_the_best_coding_and_not_again_when_nothing_changed(
    client: QuartClient, database: psycopg.Connection
) -> None:
    add_users(database, 3)
    await page_with(client, "user3")
    decode = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}
    bodies = set()
    for accepted, coding in (
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("zstd", "identity"),
        ("", "identity"),
    ):
        response = await client.get("/", headers={"Accept-Encoding": accepted})
        assert response.headers.get("Content-Encoding", "identity") == coding
        assert "Accept-Encoding" in response.headers["Vary"]
        assert response.headers["Cache-Control"] == "no-cache"
        bodies.add(decode[coding](await response.get_data()))
        again = await client.get("/", headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, await again.get_data()) == (304, b"")
    assert len(bodies) == 1
    add_users(database, 1, "more")
    await page_with(client, "more1")
    changed = await client.get("/", headers={"If-None-Match": response.headers["ETag"]})
    assert changed.status_code == 200


async def test_after_registering_without_javascript_the_page_shows_that_person(
    client: QuartClient,
) -> None:
    response = await client.post("/register", form=FORM)
    text = await (await client.get(response.headers["Location"])).get_data(as_text=True)
    assert "<bdi>zoe</bdi></strong> is registered." in text
    assert re.search('<li id="user-[0-9]+"><bdi>zoe</bdi>', text)
    assert "<bdi>zoe</bdi>" in await page(client)


async def test_while_the_database_is_away_the_last_list_is_shown_with_its_time(
    url: str, database: psycopg.Connection, server_url: str
) -> None:
    add_users(database, 1)
    name = database.info.dbname
    async with viewing(url) as viewer, httpx.AsyncClient() as client:
        await viewer.until(1)
        with psycopg.connect(server_url, autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            terminate_others(database)
            event = await viewer.next()
            away = await client.get(url)
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert away.status_code == 200
        assert re.search(r'id="away"[^>]*>Roster cannot reach .* [0-9]{2}:[0-9]{2} UTC', away.text)
        assert "<bdi>user1</bdi>" in away.text
        assert event
        assert (event.id, event.names) == ("", ["user1"])
        assert "Roster cannot reach" in event.data
        back = await viewer.next()
        assert back
        assert (back.id, back.names) == ("1", ["user1"])
        assert "Roster cannot reach" not in back.data
        assert "cannot reach" not in (await client.get(url)).text


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ANN", ["Anna", "annika"]),
        ("ａｎｎ", ["Anna", "annika"]),
        (" ann ", ["Anna", "annika"]),
        ("ä", ["Änne"]),
        ("a\u0308", ["Änne"]),
        ("张", ["张三", "张伟"]),
        ("зо", ["Зоя"]),
        ("%", ["%"]),
        ("_", ["_"]),
        ("\\", ["\\"]),
        ("%a", []),
        ("x" * 5000, []),
        ("\x00", []),
        ("an\x00", []),
        ("\u200b", []),
        ("'", []),
    ],
)
async def test_a_search_finds_what_begins_with_its_text_in_any_script_and_case(
    client: QuartClient, database: psycopg.Connection, search: str, found: list[str]
) -> None:
    for name in ("Anna", "annika", "Änne", "张三", "张伟", "Зоя", "%", "_", "\\"):
        database.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')",
            [name, name.lower()],
        )
    for path, headers in (("/", {}), ("/users", HTMX)):
        response = await client.get(path, query_string={"q": search}, headers=headers)
        text = await response.get_data(as_text=True)
        assert (response.status_code, re.findall("<li .*?<bdi>(.*?)</bdi>", text)) == (200, found)
        assert 'id="newest"' not in text


async def test_the_links_of_a_search_keep_its_text(client: QuartClient, database: psycopg.Connection) -> None:
    add_users(database, 60, "a&b=")
    response = await client.get("/users", query_string={"q": "A&B="}, headers=HTMX)
    assert response.headers["HX-Push-Url"] == "/?q=A%26B%3D"
    found = re.search('href="([^"]*)" hx-get="([^"]*)"[^>]*rel="next"', await response.get_data(as_text=True))
    assert found
    following = await client.get(found[2].replace("&amp;", "&"), headers=HTMX)
    assert (await following.get_data(as_text=True)).count("<li ") == 10
    assert following.headers["HX-Push-Url"].startswith("/?q=A%26B%3D&after=")


async def page(client: QuartClient) -> str:
    return str(await (await client.get("/")).get_data(as_text=True))


async def page_with(client: QuartClient, name: str) -> None:
    async with asyncio.timeout(5):
        while f"<bdi>{name}</bdi>" not in await page(client):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def way_to(database_url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Give the address of a way to the database, and what makes its connections so far go silent."""
    target = conninfo_to_dict(database_url)
    host, port = str(target["host"]), target.get("port", 5432)
    silent = [asyncio.Event()]
    connections = set()

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if not stop.is_set():
                writer.write(data)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        there_reader, there_writer = (
            await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host.startswith("/")
            else await asyncio.open_connection(host, port)
        )
        stop = silent[-1]
        with closing(writer), closing(there_writer), suppress(asyncio.CancelledError):
            await asyncio.gather(pass_on(reader, there_writer, stop), pass_on(there_reader, writer, stop))

    def freeze() -> None:
        silent[-1].set()
        silent.append(asyncio.Event())

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        yield make_conninfo(database_url, host="127.0.0.1", port=server.sockets[0].getsockname()[1]), freeze
    for connection in connections:
        if connection:
            connection.cancel()
    await asyncio.gather(*filter(None, connections))
