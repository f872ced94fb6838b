import asyncio
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher as Argon2Hasher
from bs4 import Tag
from quart import Quart

from services.passwords import PasswordHasher
from tests.helpers import (
    OTHER_PASSWORD,
    PASSWORD,
    account_message,
    count_sessions,
    http_client,
    is_blocking,
    is_signed_in,
    names_in,
    parse_html,
    register,
    register_and_leave,
    sign_in,
    text_of,
    wait_until,
)

NormalForm = Literal["NFC", "NFD"]

OLD_HASHER = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
WRONG_CREDENTIALS = "User name or password is wrong."


async def change_password(
    client: httpx.AsyncClient, current: str = PASSWORD, new: str = OTHER_PASSWORD
) -> httpx.Response:
    return await client.post("/account/password", data={"current_password": current, "new_password": new})


async def delete_account(client: httpx.AsyncClient, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/account/delete", data={"password": password})


def copy_of(app: Quart, visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return the browser of a thief of the visitor's cookies."""
    thief = http_client(app, htmx=True)
    thief.cookies = visitor.cookies
    return thief


def invalid_fields(response: httpx.Response) -> list[Tag]:
    return parse_html(response).select("[aria-invalid=true]")


def has_open_account_form(response: httpx.Response) -> bool:
    return bool(parse_html(response).select("#account-panel details[open]"))


def stored_hash(psql: psycopg.Connection) -> str:
    [(password_hash,)] = psql.execute("SELECT password_hash FROM users").fetchall()
    return str(password_hash)


@contextmanager
def someone_else_changes_password(psql: psycopg.Connection, password_hash: str) -> Iterator[None]:
    """Change the password, and end all sessions, in a transaction that the end of the block commits."""
    with psql.transaction():
        psql.execute("UPDATE users SET password_hash = %s", [password_hash])
        psql.execute("DELETE FROM sessions")
        yield


# Signing in and out.


async def test_signing_in_takes_the_name_in_any_case_and_width(visitor: httpx.AsyncClient) -> None:
    response = await sign_in(visitor, "ＺＯＥ")
    assert response.status_code == 200
    assert account_message(response) == "You are signed in."
    assert parse_html(response).select("body > #account-panel[data-user]")
    assert text_of(response, "#sign-out bdi") == "Zoe"
    assert PASSWORD not in response.text


async def test_the_page_shows_who_is_signed_in_and_which_row_is_theirs(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    await register(visitor, "eve")
    page = await visitor.get("/", params={"q": ""})
    assert text_of(page, "#sign-out bdi") == "Zoe"
    for response in (page, await visitor.get("/users")):
        [row] = [row for row in parse_html(response).select("li") if row.select("em")]
        assert text_of(str(row), "bdi") == "Zoe"
        assert text_of(str(row), "em") == "you"


async def test_signing_out_ends_the_session(visitor: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    await sign_in(visitor)
    response = await visitor.post("/sign-out")
    assert response.status_code == 200
    assert account_message(response) == "You are signed out."
    assert set(visitor.cookies) == {"device"}
    assert parse_html(response).select("#sign-in")
    assert count_sessions(psql) == 0
    assert not await is_signed_in(visitor)


@pytest.mark.parametrize("path", ["/sign-out", "/account/sign-out-everywhere"])
async def test_signing_out_works_without_a_session_too(visitor: httpx.AsyncClient, path: str) -> None:
    assert (await visitor.post(path)).status_code == 200


async def test_signing_out_leaves_the_other_sessions(app: Quart, visitor: httpx.AsyncClient) -> None:
    phone = http_client(app, htmx=True)
    await sign_in(phone)
    await sign_in(visitor)
    await visitor.post("/sign-out")
    assert await is_signed_in(phone)


async def test_without_javascript_signing_in_and_out_leads_back_to_the_page(
    client: httpx.AsyncClient,
) -> None:
    await register_and_leave(client, "Zoe")
    response = await sign_in(client)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert account_message(await client.get("/")) == "You are signed in."
    assert account_message(await client.get("/")) == ""
    response = await sign_in(client, password=OTHER_PASSWORD)
    assert response.status_code == 401
    assert account_message(response) == WRONG_CREDENTIALS
    response = await client.post("/sign-out")
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert account_message(await client.get("/")) == "You are signed out."
    assert set(client.cookies) == {"device"}


async def test_without_javascript_a_wrong_sign_in_shows_the_page_with_the_name(
    client: httpx.AsyncClient,
) -> None:
    response = await sign_in(client, "nobody-of-that-name")
    assert response.status_code == 401
    soup = parse_html(response)
    assert soup.select("#register-form")
    assert soup.select('#sign-in-username[value="nobody-of-that-name"]')
    assert has_open_account_form(response)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/account/password", "Your password is changed. You are signed out everywhere else."),
        ("/account/sign-out-everywhere", "You are signed out everywhere."),
        ("/account/delete", "Your account is deleted."),
    ],
)
async def test_without_javascript_the_page_says_what_was_done(
    client: httpx.AsyncClient, path: str, message: str
) -> None:
    await register(client)
    form = {"password": PASSWORD, "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    response = await client.post(path, data=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert account_message(await client.get("/")) == message


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("zoe", OTHER_PASSWORD),
        ("zoe", ""),
        ("zoe", "x" * 5000),
        ("zoe", PASSWORD + "\x00"),
        ("zoe", PASSWORD.upper()),
        ("nobody-of-that-name", PASSWORD),
        ("", ""),
        ("a b", PASSWORD),
        ("\x00", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("demo1", "demo"),
    ],
)
async def test_unknown_name_and_wrong_password_get_the_same_response(
    visitor: httpx.AsyncClient, psql: psycopg.Connection, username: str, password: str
) -> None:
    psql.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES ('demo1', 'demo1', 'demo')"
    )
    response = await sign_in(visitor, username, password)
    assert response.status_code == 401
    assert not visitor.cookies
    assert account_message(response) == WRONG_CREDENTIALS
    [field] = invalid_fields(response)
    assert (field["id"], field["name"], field["type"]) == ("sign-in-password", "password", "password")
    assert field.has_attr("required")
    assert not field.has_attr("value")
    assert not password or password not in response.text.replace("demo1", "")
    assert count_sessions(psql) == 0


@pytest.mark.parametrize("username", ["nobody-of-that-name", "a b", "x" * 5000])
async def test_the_password_of_an_unknown_name_is_verified_too(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, username: str
) -> None:
    verified = []

    async def record(_hasher: PasswordHasher, password: str, password_hash: str | None) -> bool:
        verified.append((password, password_hash))
        return False

    monkeypatch.setattr(PasswordHasher, "verify", record)
    assert (await sign_in(visitor, username)).status_code == 401
    assert verified == [(PASSWORD, None)]


@pytest.mark.parametrize(("first", "second"), [("NFC", "NFD"), ("NFD", "NFC")])
async def test_a_password_is_the_same_in_every_normal_form(
    visitor: httpx.AsyncClient, first: NormalForm, second: NormalForm
) -> None:
    password = "víolet-ötter-lämp"
    form = {"username": "eve", "password": unicodedata.normalize(first, password)}
    assert (await visitor.post("/register", data=form)).status_code == 200
    response = await sign_in(visitor, "eve", unicodedata.normalize(second, password))
    assert response.status_code == 200
    response = await change_password(visitor, unicodedata.normalize(second, password))
    assert response.status_code == 200


async def test_a_hash_of_other_parameters_is_renewed_at_the_next_sign_in(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    psql.execute("UPDATE users SET password_hash = %s", [OLD_HASHER.hash(PASSWORD)])
    assert (await sign_in(visitor)).status_code == 200
    renewed = stored_hash(psql)
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await is_signed_in(visitor)
    assert (await sign_in(visitor)).status_code == 200
    assert stored_hash(psql) == renewed


async def test_a_weak_password_of_other_parameters_is_renewed_too(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    psql.execute("UPDATE users SET password_hash = %s", [OLD_HASHER.hash("demo")])
    assert (await sign_in(visitor, password="demo")).status_code == 200
    assert stored_hash(psql).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await sign_in(visitor, password="demo")).status_code == 200


async def test_sign_ins_at_once_that_all_renew_the_hash_all_succeed(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    psql.execute("UPDATE users SET password_hash = %s", [OLD_HASHER.hash(PASSWORD)])
    visitors = [http_client(app, htmx=True) for _ in range(8)]
    responses = await asyncio.gather(*(sign_in(client) for client in visitors))
    assert [response.status_code for response in responses] == [200] * 8
    assert all([await is_signed_in(client) for client in visitors])
    assert not await is_signed_in(visitor)


async def test_a_sign_in_that_loses_to_a_password_change_begins_no_session(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    with someone_else_changes_password(psql, OLD_HASHER.hash(OTHER_PASSWORD)):
        signing_in = asyncio.create_task(sign_in(visitor))
        await wait_until(lambda: is_blocking(psql))
    response = await signing_in
    assert response.status_code == 401
    assert account_message(response) == WRONG_CREDENTIALS
    assert (count_sessions(psql), len(visitor.cookies)) == (0, 0)


async def test_a_sign_in_while_the_hash_is_renewed_succeeds(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    with someone_else_changes_password(psql, OLD_HASHER.hash(PASSWORD)):
        signing_in = asyncio.create_task(sign_in(visitor))
        await wait_until(lambda: is_blocking(psql))
    assert (await signing_in).status_code == 200
    assert await is_signed_in(visitor)


# Beside registering.


async def test_registering_signs_in(visitor: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    response = await register(visitor, "Zoe2")
    assert text_of(response, "#register-message .welcome") == "Zoe2, you are in"
    assert text_of(response, "#sign-out bdi") == "Zoe2"
    assert await is_signed_in(visitor)
    assert set(visitor.cookies) == {"session", "device"}
    assert count_sessions(psql) == 1


async def test_without_javascript_registering_signs_in(client: httpx.AsyncClient) -> None:
    response = await register(client, "Zoe2")
    page = await client.get(response.headers["Location"])
    assert text_of(page, "#register-message .welcome") == "Zoe2, you are in"
    assert text_of(page, "#sign-out bdi") == "Zoe2"
    assert len(parse_html(page).select("#register-panel > details:not([open]) + form")) == 1


async def test_a_link_to_the_page_after_registering_signs_nobody_in(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/", params={"registered": "Zoe"})
    assert text_of(page, "#register-message strong") == "Zoe"
    assert text_of(page, "#register-message a[href='#sign-in-username']") == "Sign in"
    assert parse_html(page).select('#sign-in-username[value="Zoe"]')
    assert has_open_account_form(page)
    assert not visitor.cookies


async def test_registering_somebody_else_changes_nothing_for_who_is_signed_in(
    visitor: httpx.AsyncClient,
) -> None:
    await sign_in(visitor)
    cookies = dict(visitor.cookies)
    response = await register(visitor, "eve")
    assert response.status_code == 200
    assert text_of(response, "#register-message strong") == "eve"
    assert "This is the 2nd person here." in text_of(response, "#register-message")
    [field] = parse_html(response).select("#register-panel > details[open] + form #username[autofocus]")
    assert field["value"] == ""
    assert not parse_html(response).select("#account-panel")
    assert dict(visitor.cookies) == cookies
    assert text_of(await visitor.get("/", params={"q": ""}), "#sign-out bdi") == "Zoe"


async def test_signing_in_folds_the_form_to_register_away_and_signing_out_brings_it_back(
    visitor: httpx.AsyncClient,
) -> None:
    for response, folded in ((await sign_in(visitor), 1), (await visitor.post("/sign-out"), 0)):
        [form] = parse_html(response).select("hx-partial[hx-target='#register-panel']")
        assert len(form.select("details:not([open]) + #register-form")) == folded
        assert len(form.select("#register-form")) == 1


@pytest.mark.parametrize("signed_in", [False, True])
async def test_a_refused_registration_opens_no_form_of_the_account(
    app: Quart, visitor: httpx.AsyncClient, *, signed_in: bool
) -> None:
    for client in (visitor, http_client(app)):
        if signed_in:
            await sign_in(client)
        response = await client.post("/register", data={"username": "eve", "password": "password"})
        assert response.status_code == 422
        assert not has_open_account_form(response)


async def test_signing_in_takes_the_message_of_a_registration_back(visitor: httpx.AsyncClient) -> None:
    message = 'hx-partial[hx-target="#register-message"]'
    assert text_of(await sign_in(visitor), message) == ""
    response = await sign_in(visitor, password=OTHER_PASSWORD)
    assert not parse_html(response).select(message)


# Changing the password.


async def test_changing_the_password_ends_all_other_sessions(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    phone = http_client(app, htmx=True)
    await sign_in(phone)
    await sign_in(visitor)
    thief = copy_of(app, visitor)
    response = await change_password(visitor)
    assert response.status_code == 200
    assert account_message(response) == "Your password is changed. You are signed out everywhere else."
    assert text_of(response, "#sign-out bdi") == "Zoe"
    assert await is_signed_in(visitor)
    assert not await is_signed_in(phone)
    assert not await is_signed_in(thief)
    assert count_sessions(psql) == 1
    assert (await sign_in(phone)).status_code == 401
    assert (await sign_in(phone, password=OTHER_PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        (OTHER_PASSWORD, OTHER_PASSWORD, "current-password"),
        (OTHER_PASSWORD, "password", "current-password"),
        ("", OTHER_PASSWORD, "current-password"),
        (PASSWORD, "", "new-password"),
        (PASSWORD, "short", "new-password"),
        (PASSWORD, "password", "new-password"),
        (PASSWORD, "zoezoezoe", "new-password"),
        (PASSWORD, "x\x00" * 9, "new-password"),
    ],
)
async def test_a_password_that_is_wrong_or_not_allowed_is_not_changed(
    visitor: httpx.AsyncClient, client: httpx.AsyncClient, current: str, new: str, field: str
) -> None:
    for browser in (visitor, client):
        await sign_in(browser)
        response = await change_password(browser, current, new)
        assert response.status_code == (422 if field == "new-password" else 401)
        [invalid] = invalid_fields(response)
        assert (invalid["id"], invalid["aria-describedby"]) == (field, f"{field}-error")
        assert account_message(response) == text_of(response, f"#{field}-error") != ""
        assert has_open_account_form(response)
        assert text_of(response, "#sign-out bdi") == "Zoe"
        assert await is_signed_in(browser)
    assert (await sign_in(visitor)).status_code == 200


async def test_a_new_password_like_the_user_name_is_not_allowed(visitor: httpx.AsyncClient) -> None:
    await register(visitor, "Quetzalcoatl")
    await sign_in(visitor, "Quetzalcoatl")
    response = await change_password(visitor, new="quetzalcoatl7")
    assert response.status_code == 422
    assert text_of(response, "#new-password-error").startswith("This password is easy to guess.")


async def test_a_password_change_that_loses_to_another_one_changes_nothing(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(visitor)
    others = OLD_HASHER.hash(OTHER_PASSWORD)
    with someone_else_changes_password(psql, others):
        changing = asyncio.create_task(change_password(visitor, new="maple-falcon-drum-67"))
        await wait_until(lambda: is_blocking(psql))
    response = await changing
    assert response.status_code == 401
    assert account_message(response) == "You are signed out. Sign in again."
    assert stored_hash(psql) == others
    assert count_sessions(psql) == 0
    assert not await is_signed_in(visitor)


async def test_a_password_that_has_just_been_changed_by_hand_is_wrong(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(visitor)
    others = OLD_HASHER.hash(OTHER_PASSWORD)
    with psql.transaction():
        psql.execute("UPDATE users SET password_hash = %s", [others])  # the sessions stay
        changing = asyncio.create_task(change_password(visitor, new="maple-falcon-drum-67"))
        await wait_until(lambda: is_blocking(psql))
    response = await changing
    assert response.status_code == 401
    assert account_message(response) == "This password is wrong."
    assert stored_hash(psql) == others


async def test_a_password_is_changed_although_its_hash_is_renewed_meanwhile(
    visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(visitor)
    with psql.transaction():
        psql.execute("UPDATE users SET password_hash = %s", [OLD_HASHER.hash(PASSWORD)])
        changing = asyncio.create_task(change_password(visitor))
        await wait_until(lambda: is_blocking(psql))
    assert (await changing).status_code == 200
    assert await is_signed_in(visitor)
    assert (await sign_in(visitor, password=OTHER_PASSWORD)).status_code == 200


async def test_of_two_password_changes_at_once_one_succeeds(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    clients = [http_client(app, htmx=True) for _ in range(2)]
    for client in clients:
        await sign_in(client)
    new_passwords = OTHER_PASSWORD, "maple-falcon-drum-67"
    responses = await asyncio.gather(
        *(change_password(client, new=new) for client, new in zip(clients, new_passwords, strict=True))
    )
    assert sorted(response.status_code for response in responses) == [200, 401]
    assert count_sessions(psql) == 1
    for client, response, new in zip(clients, responses, new_passwords, strict=True):
        assert await is_signed_in(client) is response.is_success
        assert (await sign_in(visitor, password=new)).is_success is response.is_success


# Ending sessions, and the account.


async def test_signing_out_everywhere_ends_every_session(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(http_client(app))
    await sign_in(visitor)
    response = await visitor.post("/account/sign-out-everywhere")
    assert response.status_code == 200
    assert account_message(response) == "You are signed out everywhere."
    assert (count_sessions(psql), len(visitor.cookies)) == (0, 0)


async def test_signing_out_everywhere_leaves_the_sessions_of_others(
    app: Quart, visitor: httpx.AsyncClient
) -> None:
    eve = http_client(app, htmx=True)
    await register(eve, "eve")
    await sign_in(eve, "eve")
    await sign_in(visitor)
    await visitor.post("/account/sign-out-everywhere")
    assert await is_signed_in(eve)


async def test_a_deleted_account_is_gone_with_its_sessions_and_from_the_list(
    app: Quart, visitor: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(http_client(app))
    await sign_in(visitor)
    response = await delete_account(visitor)
    assert response.status_code == 200
    assert account_message(response) == "Your account is deleted."
    assert text_of(response, "#count") == "0"
    assert names_in(response) == []
    assert parse_html(response).select("#sign-in")
    assert (count_sessions(psql), len(visitor.cookies)) == (0, 0)
    assert (await sign_in(visitor)).status_code == 401


async def test_an_account_is_not_deleted_with_a_wrong_password(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor)
    response = await delete_account(visitor, OTHER_PASSWORD)
    assert response.status_code == 401
    [field] = invalid_fields(response)
    assert field["id"] == "delete-password"
    assert account_message(response) == "This password is wrong."
    assert has_open_account_form(response)
    assert await is_signed_in(visitor)


@pytest.mark.parametrize("path", ["/account/password", "/account/delete"])
async def test_somebody_who_is_signed_out_is_asked_to_sign_in_again(
    visitor: httpx.AsyncClient, path: str
) -> None:
    form = {"password": PASSWORD, "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    response = await visitor.post(path, data=form)
    assert response.status_code == 401
    assert account_message(response) == "You are signed out. Sign in again."
    assert has_open_account_form(response)
    assert (await sign_in(visitor)).status_code == 200


@pytest.mark.parametrize("path", ["/account/password", "/account/delete"])
async def test_a_window_that_shows_another_account_changes_nothing(
    visitor: httpx.AsyncClient, psql: psycopg.Connection, path: str
) -> None:
    await register(visitor, "eve")  # with the same password, in another window of the browser
    form = {"password": PASSWORD, "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    response = await visitor.post(path, data=form | {"username": "Zoe"})
    assert response.status_code == 401
    assert account_message(response) == "You are signed in as eve now. Nothing was changed."
    assert text_of(response, "#sign-out bdi") == "eve"
    assert psql.execute("SELECT FROM users").rowcount == 2
    assert (await visitor.post(path, data=form | {"username": "EVE"})).status_code == 200


# What an attacker tries.


async def test_a_sign_in_takes_no_token_over_and_ends_its_session(
    app: Quart, visitor: httpx.AsyncClient
) -> None:
    visitor.cookies.set("session", "fixed-by-an-attacker", domain="roster.test")
    await sign_in(visitor)
    first = visitor.cookies["session"]
    assert first != "fixed-by-an-attacker"
    thief = copy_of(app, visitor)
    await sign_in(visitor)
    assert visitor.cookies["session"] != first
    assert await is_signed_in(visitor)
    assert not await is_signed_in(thief)


@pytest.mark.parametrize("ending", ["/sign-out", "/account/sign-out-everywhere", "/account/delete"])
async def test_a_stolen_token_is_worthless_after_its_session_has_ended(
    app: Quart, visitor: httpx.AsyncClient, ending: str
) -> None:
    await sign_in(visitor)
    thief = copy_of(app, visitor)
    assert await is_signed_in(thief)
    response = await visitor.post(ending, data={"password": PASSWORD})
    assert response.status_code == 200
    assert not await is_signed_in(thief)


@pytest.mark.parametrize("name", ["<script>", '"onfocus="x', "{{7*7}}", "o'hara", "&amp;", "a%0d%0ab"])
async def test_a_name_of_markup_is_text_in_the_account_too(visitor: httpx.AsyncClient, name: str) -> None:
    await register_and_leave(visitor, name)
    response = await sign_in(visitor, name)
    assert text_of(response, "#sign-out bdi") == name
    hidden = parse_html(response).select("input[name=username][hidden]")
    assert [field["value"] for field in hidden] == [name] * 2
    await visitor.post("/sign-out")
    response = await sign_in(visitor, name, OTHER_PASSWORD)
    assert [field["value"] for field in parse_html(response).select("#sign-in-username")] == [name]


async def test_no_password_or_token_reaches_a_log(
    visitor: httpx.AsyncClient, psql: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await sign_in(visitor)
    secrets = {PASSWORD, OTHER_PASSWORD, visitor.cookies["session"], "$argon2id"}
    await sign_in(visitor, password=OTHER_PASSWORD)
    await change_password(visitor)
    secrets.add(visitor.cookies["session"])
    psql.execute("DROP TABLE sessions CASCADE")
    responses = (
        await sign_in(visitor, password=OTHER_PASSWORD),
        await change_password(visitor, OTHER_PASSWORD, PASSWORD),
        await delete_account(visitor, OTHER_PASSWORD),
    )
    assert [response.status_code for response in responses] == [500] * 3
    said = caplog.text + "".join(response.text for response in responses)
    assert [secret for secret in secrets if secret in said] == []
    assert "sessions" in caplog.text


async def test_other_sites_cannot_sign_anybody_in(visitor: httpx.AsyncClient) -> None:
    visitor.headers["Sec-Fetch-Site"] = "cross-site"
    response = await sign_in(visitor)
    assert response.status_code == 403
    assert not visitor.cookies
