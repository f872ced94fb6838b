import asyncio
import re
from urllib.parse import quote_plus

import psycopg
import pytest
from quart import Quart
from quart.testing import QuartClient
from werkzeug.datastructures import Headers

from accounts import Passwords
from tests.conftest import PASSWORD, add_users, terminate_others

HTMX = {"HX-Request": "true"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(client: QuartClient, body: str | bytes, **headers: str) -> tuple[int, str, Headers]:
    response = await client.post(
        "/register",
        data=body,
        headers=FORM | {name.replace("_", "-"): text for name, text in headers.items()},
    )
    return response.status_code, await response.get_data(as_text=True), response.headers


def form(username: str, password: str = PASSWORD) -> str:
    return f"username={quote_plus(username)}&password={quote_plus(password)}"


def stored(database: psycopg.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT username FROM users ORDER BY id")]


async def get(client: QuartClient, path: str, headers: dict[str, str] | None = None) -> str:
    response = await client.get(path, headers=headers)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def test_the_empty_list_invites(client: QuartClient) -> None:
    page = await get(client, "/")
    assert '<strong id="count">0</strong>' in page
    assert '<ol id="newest" class="people"></ol>' in page
    assert "Be the first" in page


async def test_a_registration_with_htmx_answers_with_an_empty_form_the_message_and_the_fresh_list(
    client: QuartClient, database: psycopg.Connection
) -> None:
    status, fragment, _ = await post(client, form("Zoe"), HX_Request="true")
    assert status == 200
    assert "<html" not in fragment
    assert "<strong><bdi>Zoe</bdi></strong> is registered." in fragment
    assert 'name="username" value="" required autofocus' in fragment
    assert re.search(r'hx-target="#count"[^>]*>1<', fragment)
    assert re.search(r'hx-target="#newest".*<ol id="newest".*<bdi>Zoe</bdi>', fragment)
    assert PASSWORD not in fragment
    assert stored(database) == ["Zoe"]


async def test_a_registration_without_javascript_ends_on_the_page_with_the_message(
    client: QuartClient,
) -> None:
    status, _, headers = await post(client, form("张三"))
    assert (status, headers["Location"]) == (303, "/?registered=%E5%BC%A0%E4%B8%89")
    page = await get(client, headers["Location"])
    assert "<strong><bdi>张三</bdi></strong> is registered." in page
    assert re.search('<li id="user-[0-9]+"><bdi>张三</bdi>', page)


@pytest.mark.parametrize("text", ["nobody-here", "<script>alert(1)</script>", "a b", "%FF", "a&registered=b"])
async def test_only_who_has_registered_is_said_to_have(client: QuartClient, text: str) -> None:
    assert "is registered" not in await get(client, f"/?registered={text}")


async def test_a_password_is_stored_only_as_its_hash(
    client: QuartClient, database: psycopg.Connection
) -> None:
    await post(client, form("zoe"))
    row = str(database.execute("SELECT * FROM users").fetchone())
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in row
    assert PASSWORD not in row


@pytest.mark.parametrize("second", ["Zoe", "zoe", "ＺＯＥ", " zoe "])
async def test_a_name_that_exists_is_refused_and_kept_in_the_form(client: QuartClient, second: str) -> None:
    await post(client, form("Zoe"))
    for headers in ({}, {"HX_Request": "true"}):
        status, text, _ = await post(client, form(second), **headers)
        assert status == 409
        assert "already exists" in text
        assert f'name="username" value="{second}" required autofocus' in text
        assert 'aria-invalid="true"' in text
        assert PASSWORD not in text
        assert ("<html" in text) is not bool(headers)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "username"),
        ("username=zoe", "password"),
        (f"password={PASSWORD}", "username"),
        (form(""), "username"),
        (form("zoe", ""), "password"),
        (form("   "), "username"),
        (form("zoe") + "&username=eve", "username"),
        (form("zoe") + "&password=other-otter-lamp", "password"),
        (form("a\x00b"), "username"),
        (form("a\x1b[31mb"), "username"),
        (form("a\u202eb"), "username"),
        (form("a\u200bb"), "username"),
        (f"username=a%ED%A0%80&password={PASSWORD}", "username"),
        (f"username=100%&password={PASSWORD}", "username"),
        (f"username=%zz&password={PASSWORD}", "username"),
        (f"username=a%FFb&password={PASSWORD}", "username"),
        (b"username=a\xffb&password=" + PASSWORD.encode(), "username"),
        (f"username=zoe&password={PASSWORD}%FF", "password"),
        (form("zoe", PASSWORD + "\x00"), "password"),
        (form("a" * 33), "username"),
        (form("a" * 10_000), "username"),
        (form("zoe", "violet-otter-" * 20), "password"),
        (form("'; DROP TABLE users;--"), "username"),
        (form("admin"), "username"),
        (form("pаypal"), "username"),
        (form("zoe", "password"), "password"),
    ],
)
@pytest.mark.parametrize("htmx", ["", "true"])
async def test_bad_input_is_answered_with_a_sentence_by_its_field_and_stores_nothing(
    client: QuartClient, database: psycopg.Connection, body: str | bytes, field: str, htmx: str
) -> None:
    status, text, _ = await post(client, body, HX_Request=htmx)
    assert status == 422
    message = re.search('<p id="register-message" role="status">([^<]+)</p>', text)
    assert message
    assert re.search(f'id="{field}"[^>]*aria-invalid="true" +aria-describedby="register-message"', text)
    assert text.count("aria-invalid=") == 1
    assert ("<html" in text) is not bool(htmx)
    assert stored(database) == []


@pytest.mark.parametrize("name", ["<script>", '"onfocus="x', "{{7*7}}", "o'hara", "</title>", "&amp;"])
async def test_a_name_of_markup_is_shown_as_text(client: QuartClient, name: str) -> None:
    await post(client, form(name))
    page = await get(client, "/")
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&#34;").replace("'", "&#39;")
    assert f"<bdi>{escaped}</bdi>" in page
    status, text, _ = await post(client, form(name))
    assert status == 409
    assert f'value="{escaped}"' in text


async def test_a_body_that_is_too_large_is_refused(client: QuartClient, database: psycopg.Connection) -> None:
    status, text, _ = await post(client, form("zoe") + "&x=" + "x" * 16 * 1024)
    assert (status, "<html" in text) == (413, True)
    assert stored(database) == []


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
async def test_a_body_that_is_no_form_is_refused(client: QuartClient, kind: str) -> None:
    response = await client.post("/register", data=b'{"username": "zoe"}', headers={"Content-Type": kind})
    assert response.status_code == 415


async def test_the_same_name_200_times_at_once_succeeds_once(
    app: Quart, database: psycopg.Connection
) -> None:
    answers = await asyncio.gather(
        *(post(QuartClient(app), form("zoe"), HX_Request="true") for _ in range(200))
    )
    assert sorted(status for status, _, _ in answers) == [200] + [409] * 199
    assert all("already exists" in text for status, text, _ in answers if status == 409)
    assert stored(database) == ["zoe"]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("username=eve", "<bdi>eve</bdi> is free."),
        ("username=%EF%BC%BA%EF%BC%AF%EF%BC%A5", "already exists"),
        ("username=a%20b", "no spaces"),
        ("username=", "Enter a user name"),
        ("", "Enter a user name"),
        ("username=%FF", "did not arrive as text"),
        ("username=%3Cscript%3E", "<bdi>&lt;script&gt;</bdi> is free."),
        ("username=" + "a" * 5000, "shorter"),
    ],
)
async def test_the_availability_of_a_name_is_one_line(client: QuartClient, query: str, answer: str) -> None:
    await post(client, form("zoe"))
    line = await get(client, f"/register/check?{query}", HTMX)
    assert answer in line
    assert "\n" not in line.strip()


async def test_paging_leads_from_the_newest_to_the_first_and_back(
    client: QuartClient, database: psycopg.Connection
) -> None:
    add_users(database, 51)
    page = await get(client, "/?q=")
    assert (page.count("<li "), 'id="newest"' in page) == (50, True)
    older = re.search(r'href="([^"]+)" hx-get="([^"]+)"[^>]*rel="next"', page)
    assert older
    assert "<bdi>user1</bdi>" in await get(client, older[1])
    response = await client.get(older[2], headers=HTMX)
    fragment = await response.get_data(as_text=True)
    assert response.headers["HX-Push-Url"] == older[1]
    assert fragment.startswith('<section id="users"')
    assert 'id="newest"' not in fragment
    newer = re.search(r'href="([^"]+)"[^>]*rel="prev"', fragment)
    assert newer
    assert 'id="newest"' in await get(client, newer[1])


async def test_times_are_said_in_utc_whatever_the_databases_zone(
    app: Quart, client: QuartClient, database: psycopg.Connection
) -> None:
    name = database.info.dbname
    database.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Shanghai'")
    database.execute(
        """
        INSERT INTO users (username, username_key, password_hash, registered_at)
        VALUES ('zoe', 'zoe', '-', '2026-03-04 23:30Z')
        """
    )
    await app.extensions["pool"].check()
    terminate_others(database)
    assert ">Mar 4, 2026 23:30 UTC<" in await get(client, "/?q=z")


async def test_a_long_search_comes_back_cut(client: QuartClient) -> None:
    response = await client.get("/users", query_string={"q": "张" * 5000}, headers=HTMX)
    assert response.headers["HX-Push-Url"] == "/?q=" + quote_plus("张" * 100)


async def test_the_page_is_shared_by_its_address_and_a_qr_code(client: QuartClient) -> None:
    page = await get(client, "/share", {"Host": "roster.example:8000"})
    fragment = await get(client, "/share", HTMX | {"Host": "roster.example:8000"})
    for text in (page, fragment):
        assert '<a href="http://roster.example:8000">http://roster.example:8000</a>' in text
        assert '<svg viewBox="0 0 ' in text
        assert "Only this computer" not in text
    assert ("<html" in page, "<html" in fragment) == (True, False)
    assert "BIND=0.0.0.0:8000 others" in await get(client, "/share", {"Host": "127.0.0.1:8000"})


async def test_the_list_fragment_sends_a_plain_request_to_the_page(client: QuartClient) -> None:
    response = await client.get("/users?before=abc")
    assert (response.status_code, response.headers["Location"]) == (303, "/?before=abc")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/", 405), ("GET", "/register", 405)]
)
async def test_a_wrong_address_or_method_gets_a_small_page_or_a_fragment(
    client: QuartClient, method: str, path: str, status: int
) -> None:
    plain = await client.open(path, method=method)
    fragment = await client.open(path, method=method, headers=HTMX)
    assert plain.status_code == fragment.status_code == status
    assert ("Allow" in plain.headers) is (status == 405)
    assert '<a href="/">' in await plain.get_data(as_text=True)
    text = await fragment.get_data(as_text=True)
    assert text.startswith("<hx-partial")
    assert "<html" not in text


async def test_a_full_queue_of_passwords_answers_try_again(
    client: QuartClient, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Passwords, "QUEUE", 0)
    for headers in ({}, {"HX_Request": "true"}):
        status, text, answer_headers = await post(client, form("zoe"), **headers)
        assert (status, answer_headers["Retry-After"]) == (503, "5")
        assert "Nothing is lost" in text
    assert 'hx-target="#register-message"' in text
    assert stored(database) == []


async def test_a_database_that_is_away_answers_try_again_and_is_used_again_when_back(
    client: QuartClient, server_url: str, database: psycopg.Connection
) -> None:
    name = database.info.dbname
    with psycopg.connect(server_url, autocommit=True) as operator:
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        operator.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        response = await client.get("/?q=z")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    status, _, _ = await post(client, form("zoe"))
    assert status == 303


async def test_an_error_of_ours_is_noted_and_tells_the_visitor_nothing(
    client: QuartClient, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("DROP TABLE users")
    response = await client.get("/?q=z")
    assert response.status_code == 500
    assert "does not exist" not in await response.get_data(as_text=True)
    assert "does not exist" in caplog.text


async def test_a_password_reaches_no_log(
    client: QuartClient, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await post(client, form("zoe"))
    database.execute("DROP TABLE users CASCADE")
    status, text, _ = await post(client, form("eve"))
    assert status == 500
    assert caplog.text
    assert PASSWORD not in caplog.text + text


async def test_static_files_are_compressed_and_cached_for_a_year_under_the_address_of_their_content(
    client: QuartClient,
) -> None:
    page = await get(client, "/")
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(found) == 2
    for path in found:
        assert re.search(r"\.[0-9a-f]{12}\.(js|svg)$", path)
        response = await client.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Content-Encoding"] == "br" or path.endswith(".svg")
        assert response.status_code == 200


async def test_nothing_on_the_page_comes_from_another_host(client: QuartClient) -> None:
    assert not re.findall(r'(?:href|src|action|hx-\w+)="(?!/|#)[^"]*//', await get(client, "/"))
