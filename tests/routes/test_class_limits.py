"""The limits fit a room: a whole class behind one address meets none of them."""

import asyncio
from collections import Counter

import httpx
import psycopg
from quart import Quart

from tests.helpers import PASSWORD, add_users, http_client, usernames
from web.rate_limits import WRONG_INVITATIONS

PUPILS = 35
TYPED_PASSWORDS = ("violet", "violet o", "password", "violet ot", "violet ott", PASSWORD)
SEARCHES = ("p", "pu", "pup", "pupil", "nobody")


async def take_part(client: httpx.AsyncClient, username: str) -> list[int]:
    """Type, search, register at the third attempt and sign in; return the status codes."""

    async def post(path: str, password: str) -> httpx.Response:
        return await client.post(path, data={"username": username, "password": password})

    responses = [
        *[await client.get("/register/check", params={"username": username[:n]}) for n in range(10)],
        *[await post("/register/check", password) for password in TYPED_PASSWORDS],
        *[await client.get("/users", params={"q": q}) for q in SEARCHES],
        *[await post("/register", password) for password in ("violet", "password", PASSWORD)],
        await post("/sign-in", PASSWORD),
        await client.post("/sign-out"),
    ]
    return [response.status_code for response in responses]


async def test_a_class_of_35_behind_one_address_registers_at_once(
    proxied_app: Quart, psql: psycopg.Connection
) -> None:
    clients = [http_client(proxied_app, htmx=True) for _ in range(PUPILS)]
    for client in clients:
        client.headers["X-Forwarded-For"] = "192.0.2.1"
    names = [f"pupil{number}" for number in range(PUPILS)]
    codes = await asyncio.gather(*map(take_part, clients, names))
    assert Counter(code for each in codes for code in each) == {200: 24 * PUPILS, 422: 2 * PUPILS}
    assert set(usernames(psql)) == set(names)


async def test_a_class_that_was_too_many_can_go_on_when_there_are_more_places(
    proxied_app: Quart, psql: psycopg.Connection
) -> None:
    psql.execute("UPDATE roster SET capacity = 1, invitation = 'VTPBGZSV'")
    add_users(psql, 1)
    client, form = http_client(proxied_app), {"username": "zoe", "password": PASSWORD}
    full = [
        await client.post("/register", data=form | {"invitation": "VTPBGZSV"})
        for _ in range(WRONG_INVITATIONS.count + 5)
    ]
    assert {response.status_code for response in full} == {409}
    psql.execute("UPDATE roster SET capacity = 2")
    assert (await client.post("/register", data=form | {"invitation": "VTPBGZSV"})).status_code == 303
