import asyncio
from urllib.parse import quote_plus

import httpx
import psycopg
import pytest
from quart import Quart

from services.passwords import PasswordHasher
from tests.helpers import (
    FORM,
    FORM_HEADERS,
    HTMX,
    OTHER_PASSWORD,
    PASSWORD,
    add_users,
    http_client,
    names_in,
    parse_html,
    register,
    text_of,
    usernames,
)
from tests.page_states import REFUSED_PASSWORDS


def encode(username: str, password: str = PASSWORD) -> str:
    return f"username={quote_plus(username)}&password={quote_plus(password)}"


def is_page(response: httpx.Response) -> bool:
    return response.text.lower().startswith("<!doctype html>")


async def test_a_registration_with_htmx_brings_an_empty_form_and_the_new_list(
    app: Quart, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    response = await register(http_client(app, htmx=True), "Zoe")
    assert response.status_code == 200
    assert not is_page(response)
    assert text_of(response, "#register-message .welcome") == "Zoe, you are in"
    assert "You are the 2nd person here." in text_of(response, "#register-message")
    [field] = parse_html(response).select("#register-panel > details:not([open]) + form #username")
    assert field["value"] == ""
    assert not parse_html(response).select("[aria-invalid]")
    assert text_of(response, "#count") == "2"
    assert names_in(response) == ["Zoe", "user1"]
    assert PASSWORD not in response.text
    assert usernames(psql) == ["user1", "Zoe"]


async def test_a_registration_without_javascript_ends_on_the_page_with_the_message(
    client: httpx.AsyncClient,
) -> None:
    response = await register(client, "张三")
    assert (response.status_code, response.headers["Location"]) == (
        303,
        "/?registered=%E5%BC%A0%E4%B8%89",
    )
    page = await client.get(response.headers["Location"])
    assert text_of(page, "#register-message .welcome") == "张三, you are in"
    assert "You are the 1st person here." in text_of(page, "#register-message")
    assert names_in(page) == ["张三"]


async def test_a_password_is_stored_only_as_its_hash(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await register(client)
    row = str(psql.execute("SELECT * FROM users").fetchone())
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in row
    assert PASSWORD not in row


@pytest.mark.parametrize("second", ["Zoe", "zoe", "ＺＯＥ", " zoe "])
@pytest.mark.parametrize("htmx", [False, True])
async def test_a_name_that_exists_is_refused_and_kept_in_the_form(
    app: Quart, psql: psycopg.Connection, second: str, *, htmx: bool
) -> None:
    client = http_client(app, htmx=htmx)
    await register(client, "Zoe")
    response = await client.post("/register", data={"username": second, "password": OTHER_PASSWORD})
    assert response.status_code == 409
    message = f"{second.strip()} already exists. Choose another user name."
    assert text_of(response, "#register-message") == message.replace("ＺＯＥ", "ZOE")
    [field] = parse_html(response).select("[aria-invalid=true]")
    assert (field["id"], field["value"], field.has_attr("autofocus")) == ("username", second, True)
    assert OTHER_PASSWORD not in response.text
    assert is_page(response) is not htmx
    assert usernames(psql) == ["Zoe"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "username"),
        ("username=zoe", "password"),
        (f"password={PASSWORD}", "username"),
        (encode(""), "username"),
        (encode("zoe", ""), "password"),
        (encode("   "), "username"),
        (encode("zoe") + "&username=eve", "username"),
        (encode("zoe") + f"&password={OTHER_PASSWORD}", "password"),
        (encode("a\x00b"), "username"),
        (encode("a\x1b[31mb"), "username"),
        (encode("a\u202eb"), "username"),
        (encode("a\u200bb"), "username"),
        (f"username=a%ED%A0%80&password={PASSWORD}", "username"),
        (f"username=100%&password={PASSWORD}", "username"),
        (f"username=%zz&password={PASSWORD}", "username"),
        (f"username=a%FFb&password={PASSWORD}", "username"),
        (b"username=a\xffb&password=" + PASSWORD.encode(), "username"),
        (f"username=zoe&password={PASSWORD}%FF", "password"),
        (encode("zoe", PASSWORD + "\x00"), "password"),
        (encode("a" * 33), "username"),
        (encode("a" * 10_000), "username"),
        (encode("zoe", "violet-otter-" * 20), "password"),
        (encode("'; DROP TABLE users;--"), "username"),
        (encode("admin"), "username"),
        (encode("pаypal"), "username"),
        (encode("zoe", "password"), "password"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
async def test_bad_input_is_refused_with_a_sentence_for_its_field(
    app: Quart, psql: psycopg.Connection, body: str | bytes, field: str, *, htmx: bool
) -> None:
    client = http_client(app, htmx=htmx)
    response = await client.post("/register", content=body, headers=FORM_HEADERS)
    assert response.status_code == 422
    assert text_of(response, "#register-message").endswith(".")
    [invalid] = parse_html(response).select("[aria-invalid=true]")
    assert (invalid["id"], invalid["aria-describedby"]) == (field, "register-message")
    assert is_page(response) is not htmx
    assert usernames(psql) == []


@pytest.mark.parametrize("name", ["<script>", '"onfocus="x', "{{7*7}}", "o'hara", "</title>", "&amp;"])
async def test_a_name_of_markup_is_shown_as_text(client: httpx.AsyncClient, name: str) -> None:
    response = await register(client, name)
    page = await client.get(response.headers["Location"])
    assert names_in(page) == [name]
    assert text_of(page, "#register-message strong") == name
    refused = await register(client, name)
    assert refused.status_code == 409
    [field] = parse_html(refused).select("#username")
    assert field["value"] == name
    assert not field.has_attr("onfocus")


async def test_200_registrations_of_one_name_at_once_succeed_once(
    app: Quart, psql: psycopg.Connection
) -> None:
    responses = await asyncio.gather(*(register(http_client(app, htmx=True)) for _ in range(200)))
    [success] = [response for response in responses if response.status_code == 200]
    assert text_of(success, "#register-message .welcome") == "zoe, you are in"
    for response in responses:
        if response.status_code == 503:  # the machine is too busy to hash all of them in time
            assert int(response.headers["Retry-After"]) > 0
        elif response is not success:
            assert response.status_code == 409
            assert "already exists" in text_of(response, "#register-message")
    assert usernames(psql) == ["zoe"]


async def test_a_get_request_registers_nobody(client: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    response = await client.get("/register", params=FORM)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert usernames(psql) == []


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("username=eve", "eve is free."),
        ("username=%20Eve%20", "Eve is free."),
        ("username=%EF%BC%BA%EF%BC%AF%EF%BC%A5", "ZOE already exists. Choose another user name."),
        ("username=a%20b", "no spaces"),
        ("username=", "Enter a user name"),
        ("", "Enter a user name"),
        ("username=%FF", "did not arrive as text"),
        ("username=%3Cscript%3E", "<script> is free."),
        ("username=" + "a" * 5000, "shorter"),
    ],
)
async def test_the_availability_of_a_name_is_one_line(
    client: httpx.AsyncClient, query: str, answer: str
) -> None:
    await register(client)
    response = await client.get(f"/register/check?{query}", headers=HTMX)
    assert response.status_code == 200
    line = parse_html(response).get_text().strip()
    assert answer in line
    assert "\n" not in line


async def test_checking_a_name_registers_nobody(client: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    await client.get("/register/check?username=zoe")
    assert usernames(psql) == []


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (encode("eve"), "<span>This password will do.</span>"),
        (encode("a b"), "<span>This password will do.</span>"),
        (encode("zoe"), "<span>This password will do.</span>"),
        (f"password={PASSWORD}", "<span>This password will do.</span>"),
        (encode("eve", ""), "<small>At least 8 characters"),
        ("", "<small>At least 8 characters"),
        (encode("eve", "short"), "Choose a longer password: at least 8 characters."),
        (
            encode("eve", "password"),
            "This password is easy to guess. Very many people use it: choose three unrelated words instead.",
        ),
        (encode("quetzalcoatl", "quetzalcoatl7"), "This password is easy to guess. Add two unrelated words."),
        (encode("ＱＵＥＴＺＡＬＣＯＡＴＬ", "quetzalcoatl7"), "This password is easy to guess."),
        ("password=%FF", "This password did not arrive as text: type it again."),
        (encode("eve", "x" * 5000), "Choose a shorter password: at most 256 characters."),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
async def test_whether_a_password_will_do_is_one_line(
    app: Quart, form: str, answer: str, *, htmx: bool
) -> None:
    client = http_client(app, htmx=htmx)
    await register(client)
    response = await client.post("/register/check", content=form, headers=FORM_HEADERS)
    assert response.status_code == 200
    line = response.text.strip()
    assert line.startswith(answer)
    assert "\n" not in line


@pytest.mark.parametrize("password", [*REFUSED_PASSWORDS[1:], PASSWORD, "anna-anna", "Anna1987", "a" * 256])
async def test_the_check_of_a_password_says_what_registering_says(app: Quart, password: str) -> None:
    client = http_client(app, htmx=True)
    form = {"username": "Anna", "password": password}
    checked = (await client.post("/register/check", data=form)).text.strip()
    registered = await client.post("/register", data=form)
    if registered.status_code == 200:
        assert checked == "<span>This password will do.</span>"
    else:
        assert checked == text_of(registered, "#register-message")


async def test_a_password_that_is_checked_is_neither_stored_nor_logged_nor_sent_back(
    app: Quart, psql: psycopg.Connection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    client = http_client(app, htmx=True)
    responses = []
    for password in (PASSWORD, "Quetzalcoatl", "violet\x00otter"):
        form = {"username": "zoe", "password": password}
        responses.append(await client.post("/register/check", data=form))
        monkeypatch.setattr(PasswordHasher, "QUEUE_LENGTH", 0)
        responses.append(await client.post("/register/check", data=form))
        monkeypatch.undo()
    tables = [name for (name,) in psql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    stored = [psql.execute(f"SELECT * FROM {name}").fetchall() for name in tables]
    said = caplog.text + str(stored) + "".join(f"{each.headers} {each.text}" for each in responses)
    assert "users" in tables
    for secret in (PASSWORD, "uetzalcoatl", "otter"):
        assert secret not in said
    assert usernames(psql) == []
