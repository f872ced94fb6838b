from collections import defaultdict
from unittest.mock import Mock

import httpx
import psycopg
import pytest
from quart import Quart
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadGateway, HTTPException, ImATeapot, MethodNotAllowed, Unauthorized

import db
from app import create_app
from db import OutcomeUnknownError, ResponseTimeoutError
from queries import users
from routes import registration
from services.passwords import BusyError, PasswordHasher
from settings import Settings
from tests.helpers import (
    FORM,
    FORM_HEADERS,
    HTMX,
    PASSWORD,
    http_client,
    is_signed_in,
    parse_html,
    register,
    sign_in,
    terminate_others,
    text_of,
    usernames,
)
from web.error_responses import handle_http_exception
from web.request_context import get_services

NOTHING_IS_LOST = "Roster cannot do this just now. Nothing is lost: please try again in a few seconds."
OUTCOME_UNKNOWN = (
    "The database did not answer, so Roster cannot say whether this was done. Look before you try again."
)


def is_page(response: httpx.Response) -> bool:
    return response.text.lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nowhere", 404, "There is nothing at this address."),
        ("DELETE", "/", 405, "This address does not take that kind of request."),
        ("PUT", "/register", 405, "This address does not take that kind of request."),
    ],
)
async def test_a_wrong_address_or_method_gets_a_small_page_or_a_fragment(
    client: httpx.AsyncClient, method: str, path: str, status: int, sentence: str
) -> None:
    page = await client.request(method, path)
    fragment = await client.request(method, path, headers=HTMX)
    assert page.status_code == fragment.status_code == status
    assert (is_page(page), is_page(fragment)) == (True, False)
    assert text_of(page, "h2") == text_of(fragment, "#notice") == sentence
    [link] = parse_html(page).select("main a")
    assert link["href"] == "/"


@pytest.mark.parametrize(
    ("headers", "body", "status", "sentence"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415, "This is not a form."),
        (FORM_HEADERS, b"x" * 20_000, 413, "This is too large."),
        ({"Sec-Fetch-Site": "cross-site"}, b"", 403, "This form was sent from another site."),
    ],
)
async def test_an_error_of_a_form_appears_by_the_form(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes, status: int, sentence: str
) -> None:
    page = await client.post("/register", content=body, headers=headers)
    fragment = await client.post("/register", content=body, headers=headers | HTMX)
    assert page.status_code == fragment.status_code == status
    assert text_of(page, "h2").startswith(sentence)
    assert text_of(fragment, "#register-message").startswith(sentence)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/register", {"POST", "OPTIONS"}),
        ("DELETE", "/account/delete", {"POST", "OPTIONS"}),
    ],
)
async def test_a_method_that_is_not_allowed_names_those_that_are(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    for headers in ({}, HTMX):
        response = await client.request(method, path, headers=headers)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == allowed


async def test_the_address_of_a_form_leads_back_to_the_page(app: Quart, client: httpx.AsyncClient) -> None:
    @app.post("/later")
    async def later() -> str:
        raise NotImplementedError

    methods: dict[str, set[str]] = defaultdict(set)
    for rule in app.url_map.iter_rules():
        methods[rule.rule] |= rule.methods or set()
    paths = {path for path in methods if "POST" in methods[path] and "GET" not in methods[path]}
    assert {"/register", "/sign-in", "/account/delete", "/later"} <= paths
    for path in paths:
        for method in ("GET", "HEAD"):
            for query, page in (("", "/"), ("?username=zoe&lang=zh", "/?lang=zh"), ("?lang=xx", "/")):
                response = await client.request(method, path + query)
                assert (response.status_code, response.headers["Location"]) == (303, page), path


async def test_a_request_of_htmx_for_the_address_of_a_form_gets_a_fragment(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/register", headers=HTMX)
    assert response.status_code == 405
    assert text_of(response, "#notice") == "This address does not take that kind of request."


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (MethodNotAllowed(["GET"]), {"Allow": "GET"}),
        (Unauthorized(www_authenticate=WWWAuthenticate("basic")), {}),
    ],
)
async def test_an_error_response_takes_only_headers_that_help_the_visitor(
    app: Quart, error: HTTPException, headers: dict[str, str]
) -> None:
    async with app.test_request_context("/"):
        response = await handle_http_exception(error)
    taken = {name: value for name, value in response.headers.items() if not name.startswith("Content-")}
    assert taken == headers
    assert response.content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ImATeapot(), "This request cannot be read."),
        (BadGateway(), "Something went wrong here."),
    ],
)
async def test_an_error_without_a_sentence_of_its_own_has_the_one_of_its_class(
    app: Quart, error: HTTPException, sentence: str
) -> None:
    async with app.test_request_context("/"):
        response = await handle_http_exception(error)
    assert response.status_code == error.code
    assert text_of(str(await response.get_data(as_text=True)), "h2").startswith(sentence)


async def test_the_cause_of_a_503_is_logged(
    client: httpx.AsyncClient,
    psql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("services.logs._quiet_until", {})
    psql.execute(
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON users EXECUTE FUNCTION fail()
        """
    )
    for _ in range(2):
        assert (await register(client)).status_code == 503
    [line] = [record.message for record in caplog.records if record.name == "services.logs"]
    assert line == "503 Service Unavailable: DiskFull: No space left on device"


@pytest.mark.parametrize(
    "error",
    [
        BusyError(),
        psycopg.OperationalError("secret"),
        psycopg.InterfaceError("secret"),
        psycopg.errors.ReadOnlySqlTransaction("secret"),
        psycopg.errors.QueryCanceled("secret"),
        ResponseTimeoutError("secret"),
    ],
)
async def test_what_may_be_over_in_seconds_is_said_to_be_so(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(registration, "insert_user", Mock(side_effect=error))
    for headers, place in (({}, "h2"), (HTMX, "#register-message")):
        response = await client.post("/register", data=FORM, headers=headers)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert text_of(response, place) == NOTHING_IS_LOST
        assert "secret" not in response.text


async def test_a_look_up_that_fails_says_so_by_the_field(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "select_account", Mock(side_effect=psycopg.OperationalError))
    response = await client.get("/register/check?username=zoe", headers=HTMX)
    assert text_of(response, "#availability") == NOTHING_IS_LOST


async def test_a_full_queue_of_passwords_says_that_nothing_is_lost(
    client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PasswordHasher, "QUEUE_LENGTH", 0)
    response = await register(client)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert text_of(response, "h2") == NOTHING_IS_LOST
    assert usernames(psql) == []


async def test_a_password_check_that_fails_says_so_by_the_field(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PasswordHasher, "QUEUE_LENGTH", 0)
    response = await client.post("/register/check", data=FORM, headers=HTMX)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert text_of(response, "#password-check") == NOTHING_IS_LOST
    assert (await client.post("/register/check", headers=HTMX)).status_code == 200


async def test_a_database_that_only_reads_is_read_and_refuses_only_changes(
    database_url: str, psql: psycopg.Connection
) -> None:
    app = create_app(Settings(database_url=database_url))  # with rate limits, which write
    async with app.test_app():
        visitor = http_client(app)
        await register(visitor, "Zoe")
        await sign_in(visitor, "Zoe")
        psql.execute("UPDATE sessions SET expires_at = now() + interval '1 day'")  # to be extended
        psql.execute(f"ALTER DATABASE {psql.info.dbname} SET default_transaction_read_only = on")
        terminate_others(psql)
        for path in ("/", "/?q=z", "/users?q=z", "/register/check?username=eve"):
            response = await visitor.get(path, headers=HTMX)
            assert response.status_code == 200, path
        assert await is_signed_in(visitor)
        for path in (
            "/register",
            "/sign-in",
            "/sign-out",
            "/account/password",
            "/account/sign-out-everywhere",
            "/account/delete",
        ):
            fields = FORM | {"current_password": PASSWORD, "new_password": "another unlikely phrase"}
            response = await visitor.post(path, data=fields)
            assert (response.status_code, text_of(response, "h2")) == (503, NOTHING_IS_LOST), path


async def test_a_database_without_a_response_leaves_only_a_change_unknown(
    client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psql.transaction():
        psql.execute("LOCK TABLE users")
        monkeypatch.setattr(db, "RESPONSE_SECONDS", 0.3)
        for method in ("GET", "HEAD"):
            response = await client.request(method, "/?q=z")
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
            assert method == "HEAD" or text_of(response, "h2") == NOTHING_IS_LOST
        for headers, place in (({}, "h2"), (HTMX, "#register-message")):
            response = await client.post("/register", data=FORM, headers=headers)
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
            assert text_of(response, place) == OUTCOME_UNKNOWN


async def test_a_change_that_may_have_been_made_is_said_to_be_so(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "insert_user", Mock(side_effect=OutcomeUnknownError("secret")))
    response = await register(client)
    assert text_of(response, "h2") == OUTCOME_UNKNOWN
    assert "secret" not in response.text


async def test_a_database_that_was_away_is_used_again(
    app: Quart, client: httpx.AsyncClient, server_url: str, psql: psycopg.Connection
) -> None:
    name, pool = psql.info.dbname, get_services(app).database.pool
    pool.timeout = 0.2
    with psycopg.connect(server_url, autocommit=True) as operator:
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        terminate_others(psql)
        response = await client.get("/?q=z")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    pool.timeout = 60
    assert (await register(client)).status_code == 303
    assert usernames(psql) == ["zoe"]


async def test_an_error_of_the_program_is_logged_and_tells_the_visitor_nothing(
    client: httpx.AsyncClient, psql: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    psql.execute("DROP TABLE users")
    response = await client.get("/?q=z")
    assert response.status_code == 500
    assert text_of(response, "h2").startswith("Something went wrong here.")
    assert "does not exist" not in response.text
    assert "does not exist" in caplog.text


async def test_a_password_reaches_no_log(
    app: Quart, psql: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = http_client(app)
    await register(client)
    psql.execute("DROP TABLE users CASCADE")
    response = await register(client, "eve")
    assert response.status_code == 500
    assert caplog.text
    assert PASSWORD not in caplog.text + response.text
