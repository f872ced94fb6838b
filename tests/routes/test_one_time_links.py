import asyncio

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from tests.helpers import (
    OTHER_PASSWORD,
    PASSWORD,
    become_organiser,
    count_sessions,
    http_client,
    insert_link,
    is_signed_in,
    parse_html,
    register,
    sign_in,
    text_of,
)


@pytest_asyncio.fixture
async def zoe(app: Quart) -> httpx.AsyncClient:
    """A browser in which Zoe is signed in."""
    browser = http_client(app)
    await register(browser)
    return browser


@pytest.fixture
def user_id(zoe: httpx.AsyncClient, psql: psycopg.Connection) -> int:  # noqa: ARG001 (who registers first)
    [(user_id,)] = psql.execute("SELECT id FROM users")
    return int(user_id)


async def set_password(
    client: httpx.AsyncClient, path: str, password: str = OTHER_PASSWORD
) -> httpx.Response:
    return await client.post(path, data={"new_password": password})


async def test_an_organiser_lets_somebody_set_a_new_password(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, zoe: httpx.AsyncClient, user_id: int
) -> None:
    organiser = http_client(app, htmx=True)
    await become_organiser(organiser, psql)
    for htmx in "true", "":  # a newer link ends the older one
        shown = await organiser.post(
            "/organiser/reset", data={"user_id": user_id}, headers={"HX-Request": htmx}
        )
        assert shown.status_code == 200
        [link] = parse_html(shown).select(".reset-link a")
        assert len(parse_html(shown).select(".reset-link svg.qr")) == 1
        assert "zoe" in text_of(shown, ".reset-link p:first-child")
        links = psql.execute("SELECT FROM one_time_links")
        assert links.rowcount == 1
    path = str(link["href"]).removeprefix("http://roster.test")
    page = await client.get(path)
    assert page.headers["Cache-Control"] == "no-store"
    assert text_of(page, "main strong") == "zoe"
    done = await set_password(client, path)
    assert (done.status_code, done.headers["Location"]) == (303, "/")
    assert text_of(await client.get("/"), "#account-message").startswith("Your new password is set.")
    assert await is_signed_in(client)
    assert not await is_signed_in(zoe)
    assert count_sessions(psql) == 1
    assert (await sign_in(zoe, password=PASSWORD)).status_code == 401
    assert (await sign_in(zoe, password=OTHER_PASSWORD)).status_code == 303
    for method in "GET", "POST":
        used = await client.request(method, path, data={"new_password": PASSWORD})
        assert used.status_code == 404
        assert text_of(used, "main h2") == "This link has been used or has expired. Ask for a new one."


async def test_a_password_that_is_refused_leaves_the_link(
    client: httpx.AsyncClient, psql: psycopg.Connection, user_id: int
) -> None:
    path = f"/reset/{insert_link(psql, user_id)}"
    for password in "", "short", "zoezoezoe", "password":
        refused = await set_password(client, path, password)
        assert refused.status_code == 422
        assert text_of(refused, "#new-password-error")
        assert password not in [
            field.get("value") for field in parse_html(refused).select("input") if password
        ]
    assert not await is_signed_in(client)
    assert (await set_password(client, path)).status_code == 303


@pytest.mark.parametrize(
    "kind",
    ["unknown", "expired", "of an organiser", "of somebody who is gone", "changed since", "left everywhere"],
)
async def test_other_links_set_no_password(
    client: httpx.AsyncClient, psql: psycopg.Connection, zoe: httpx.AsyncClient, user_id: int, kind: str
) -> None:
    token = insert_link(psql, user_id, hours=-1 if kind == "expired" else 1)
    if kind == "unknown":
        token = "x" * 43
    elif kind == "of an organiser":
        token = insert_link(psql)
    elif kind == "of somebody who is gone":
        psql.execute("DELETE FROM users")
    elif kind == "changed since":
        await zoe.post(
            "/account/password", data={"current_password": PASSWORD, "new_password": PASSWORD + "x"}
        )
    elif kind == "left everywhere":
        await zoe.post("/account/sign-out-everywhere")
    before = psql.execute("SELECT password_hash FROM users").fetchall()
    assert (await client.get(f"/reset/{token}")).status_code == 404
    assert (await set_password(client, f"/reset/{token}")).status_code == 404
    assert psql.execute("SELECT password_hash FROM users").fetchall() == before
    assert not await is_signed_in(client)


async def test_of_many_who_use_one_link_at_once_one_sets_the_password(
    app: Quart, psql: psycopg.Connection, user_id: int
) -> None:
    path = f"/reset/{insert_link(psql, user_id)}"
    browsers = [http_client(app) for _ in range(5)]
    responses = await asyncio.gather(
        *(set_password(browser, path, f"{PASSWORD}-{n}") for n, browser in enumerate(browsers))
    )
    assert sorted(response.status_code for response in responses) == [303, 404, 404, 404, 404]
    assert [await is_signed_in(browser) for browser in browsers].count(True) == 1
    assert count_sessions(psql) == 1


async def test_whoever_was_signed_in_there_before_is_signed_out(
    client: httpx.AsyncClient, psql: psycopg.Connection, user_id: int
) -> None:
    await register(client, "anna")
    assert (await set_password(client, f"/reset/{insert_link(psql, user_id)}")).status_code == 303
    assert text_of(await client.get("/"), "#sign-out strong") == "zoe"
    assert count_sessions(psql) == 1


async def test_psql_may_truncate_the_list_without_harm_to_organisers_links(
    client: httpx.AsyncClient, psql: psycopg.Connection, user_id: int
) -> None:
    organiser, reset = insert_link(psql), insert_link(psql, user_id)
    psql.execute("TRUNCATE users")
    assert (await client.get(f"/reset/{reset}")).status_code == 404
    assert (await client.get(f"/organise/{organiser}")).status_code == 200


async def test_a_link_that_nobody_has_changes_nothing_on_open_pages(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    before = psql.execute("SELECT version FROM roster").fetchone()
    assert (await client.post("/organise/made-up")).status_code == 404
    assert psql.execute("SELECT version FROM roster").fetchone() == before
