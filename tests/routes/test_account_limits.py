import asyncio
import random
from collections.abc import Awaitable, Callable

import httpx
import psycopg
import pytest
import pytest_asyncio
from quart import Quart

from services.passwords import PasswordHasher
from tests.helpers import (
    OTHER_PASSWORD,
    PASSWORD,
    http_client,
    parse_html,
    register,
    register_and_leave,
    sign_in,
    text_of,
)

ADDRESS = "192.0.2.1"
SIGN_IN_LIMITS = [(f"sign-in {ADDRESS} zoe", 60), (f"sign-ins {ADDRESS}", 60), ("wrong-passwords zoe", 3600)]
ACCOUNT_LIMIT = f"account {ADDRESS}", 60


@pytest.fixture
def app(proxied_app: Quart) -> Quart:
    return proxied_app


@pytest_asyncio.fixture
async def zoe(app: Quart) -> httpx.AsyncClient:
    """The browser of somebody who has registered as zoe."""
    client = client_at(app, ADDRESS)
    await register_and_leave(client)
    return client


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were verified, which now takes no time; only PASSWORD is right."""
    verified = []

    async def verify(_hasher: PasswordHasher, password: str, _hash: str | None) -> bool:
        verified.append(password)
        return password == PASSWORD

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return verified


def client_at(app: Quart, address: str) -> httpx.AsyncClient:
    client = http_client(app, htmx=True)
    client.headers["X-Forwarded-For"] = address
    return client


def use_up(psql: psycopg.Connection, limit: tuple[str, int]) -> None:
    """Use a limit up, for long."""
    psql.execute(
        """
        INSERT INTO rate_limits VALUES (%s, now() + 1.9 * %s * interval '1 s')
        ON CONFLICT (key) DO UPDATE SET full_at = EXCLUDED.full_at
        """,
        limit,
    )


def counters(psql: psycopg.Connection) -> set[str]:
    return {key for (key,) in psql.execute("SELECT key FROM rate_limits WHERE full_at > now()")}


async def count_allowed(send: Callable[[int], Awaitable[httpx.Response]]) -> int:
    """Return how many requests were answered before one was refused."""
    allowed = 0
    while (await send(allowed)).status_code != 429:
        allowed += 1
    return allowed


async def test_a_refusal_says_by_the_account_when_to_try_again(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    psql.execute("INSERT INTO rate_limits VALUES (%s, now() + interval '90 s')", [SIGN_IN_LIMITS[0][0]])
    response = await sign_in(zoe)
    assert response.status_code == 429
    seconds = int(response.headers["Retry-After"])
    assert 1 <= seconds <= 36
    [message] = parse_html(response).select('hx-partial[hx-target="#account-message"]')
    assert message.get_text() == (
        f"That was too often. Please try again in {seconds} second{'s' if seconds > 1 else ''}."
    )


@pytest.mark.parametrize("limit", SIGN_IN_LIMITS)
async def test_over_a_limit_not_even_the_right_password_is_verified(
    app: Quart, psql: psycopg.Connection, verified: list[str], limit: tuple[str, int]
) -> None:
    use_up(psql, limit)
    assert (await sign_in(client_at(app, ADDRESS))).status_code == 429
    assert verified == []


async def test_strangers_cannot_keep_a_person_out(
    app: Quart, zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe)
    for _ in range(20):
        for limit in SIGN_IN_LIMITS:
            use_up(psql, limit)
        assert (await sign_in(client_at(app, ADDRESS))).status_code == 429
        await zoe.post("/sign-out")
        assert (await sign_in(zoe)).status_code == 200
    form = {"password": OTHER_PASSWORD, "current_password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD}
    for path in ("/account/password", "/account/delete"):
        assert (await zoe.post(path, data=form)).status_code == 401


async def test_a_browser_is_recognised_only_for_its_own_account(
    app: Quart, zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await register(client_at(app, "192.0.2.2"), "eve")
    await sign_in(zoe)
    use_up(psql, ("wrong-passwords eve", 3600))
    assert (await sign_in(zoe, "eve")).status_code == 429


@pytest.mark.parametrize("path", ["/account/password", "/account/sign-out-everywhere"])
async def test_a_new_password_and_signing_out_everywhere_forget_the_other_browsers(
    app: Quart, zoe: httpx.AsyncClient, psql: psycopg.Connection, path: str
) -> None:
    other = client_at(app, ADDRESS)
    await sign_in(other)
    await sign_in(zoe)
    form = {"current_password": PASSWORD, "new_password": PASSWORD}
    assert (await zoe.post(path, data=form)).status_code == 200
    use_up(psql, SIGN_IN_LIMITS[2])
    assert (await sign_in(other)).status_code == 429
    assert (await sign_in(zoe)).status_code == (200 if path == "/account/password" else 429)


async def test_a_browser_is_forgotten_after_a_year_and_with_its_account(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe)
    left = psql.execute("SELECT expires_at > now() + interval '364 days' FROM devices").fetchall()
    assert left == [(True,)] * 2  # one since registering, and one since signing in
    psql.execute("UPDATE devices SET expires_at = now() - interval '1 s'")
    use_up(psql, SIGN_IN_LIMITS[2])
    assert (await sign_in(zoe)).status_code == 429
    psql.execute("TRUNCATE rate_limits")
    await sign_in(zoe)
    assert psql.execute("SELECT FROM devices").rowcount == 1
    assert (await zoe.post("/account/delete", data={"password": PASSWORD})).status_code == 200
    assert psql.execute("SELECT FROM devices").rowcount == 0
    await register(zoe)
    psql.execute("TRUNCATE users")
    assert psql.execute("SELECT FROM devices").rowcount == 0


@pytest.mark.usefixtures("verified")
async def test_a_session_and_a_browser_can_try_30_wrong_passwords_each(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe)
    wrong = {"password": OTHER_PASSWORD}
    assert 30 <= await count_allowed(lambda _: zoe.post("/account/delete", data=wrong)) < 33
    psql.execute("DELETE FROM rate_limits WHERE key LIKE 'own-sign-ins%'")
    assert 30 <= await count_allowed(lambda _: sign_in(zoe, password=OTHER_PASSWORD)) < 33


@pytest.mark.usefixtures("verified")
async def test_an_address_can_verify_60_passwords_of_its_own_people_at_once(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe)
    use_up(psql, (f"own-sign-ins {ADDRESS}", 60))
    assert (await sign_in(zoe)).status_code == 429
    assert (await zoe.post("/account/delete", data={"password": PASSWORD})).status_code == 429


@pytest.mark.parametrize(
    ("limit", "address", "username"),
    [
        (SIGN_IN_LIMITS[0], ADDRESS, "eve"),
        (SIGN_IN_LIMITS[0], "192.0.2.2", "zoe"),
        (SIGN_IN_LIMITS[1], "192.0.2.2", "zoe"),
        (SIGN_IN_LIMITS[2], ADDRESS, "eve"),
    ],
)
async def test_a_limit_is_only_for_its_address_and_name(
    app: Quart, psql: psycopg.Connection, limit: tuple[str, int], address: str, username: str
) -> None:
    use_up(psql, limit)
    assert (await sign_in(client_at(app, address), username)).status_code == 401


@pytest.mark.parametrize(
    ("limit", "address", "username"),
    [
        (SIGN_IN_LIMITS[0], ADDRESS, "ＺＯＥ"),
        (SIGN_IN_LIMITS[1], ADDRESS, "eve"),
        (SIGN_IN_LIMITS[2], "::1", "zoe"),
    ],
)
async def test_a_limit_holds_for_all_of_its_address_or_name(
    app: Quart, psql: psycopg.Connection, limit: tuple[str, int], address: str, username: str
) -> None:
    use_up(psql, limit)
    assert (await sign_in(client_at(app, address), username)).status_code == 429


@pytest.mark.usefixtures("verified")
async def test_an_address_can_try_a_name_10_times_at_once(app: Quart) -> None:
    client = client_at(app, ADDRESS)
    allowed = await count_allowed(lambda _: sign_in(client, "zoe", OTHER_PASSWORD))
    assert 10 <= allowed < 20  # one comes back every 6 s
    assert (await sign_in(client, "eve")).status_code == 401
    assert (await sign_in(client_at(app, "192.0.2.2"))).status_code == 401


@pytest.mark.usefixtures("verified")
async def test_an_address_can_try_60_names_at_once(app: Quart) -> None:
    client = client_at(app, ADDRESS)
    allowed = await count_allowed(lambda n: sign_in(client, f"user{n}", OTHER_PASSWORD))
    assert 60 <= allowed < 120  # one comes back every second


@pytest.mark.usefixtures("verified")
async def test_100_wrong_passwords_of_a_name_are_allowed_at_once(app: Quart) -> None:
    allowed = await count_allowed(lambda n: sign_in(client_at(app, f"192.0.2.{n}"), "zoe", OTHER_PASSWORD))
    assert 100 <= allowed < 105  # one comes back every 36 s


async def test_60_other_requests_about_accounts_are_allowed_at_once(app: Quart) -> None:
    client = client_at(app, ADDRESS)
    allowed = await count_allowed(lambda _: client.post("/sign-out"))
    assert 60 <= allowed < 120  # one comes back every second


@pytest.mark.parametrize(
    "path", ["/sign-out", "/account/sign-out-everywhere", "/account/password", "/account/delete"]
)
async def test_requests_without_a_password_to_verify_have_a_limit_too(
    app: Quart, psql: psycopg.Connection, path: str
) -> None:
    use_up(psql, ACCOUNT_LIMIT)
    response = await client_at(app, ADDRESS).post(path)
    assert response.status_code == 429
    assert "too often" in text_of(response, "#account-message")
    assert (await client_at(app, "192.0.2.2").post(path)).status_code != 429


async def test_guesses_at_once_cannot_slip_past_the_limit_of_wrong_passwords(
    app: Quart, psql: psycopg.Connection, verified: list[str]
) -> None:
    psql.execute("INSERT INTO rate_limits VALUES ('wrong-passwords zoe', now() + interval '3563 s')")
    clients = [client_at(app, f"192.0.2.{n}") for n in range(8)]
    responses = await asyncio.gather(*(sign_in(client, "zoe", OTHER_PASSWORD) for client in clients))
    assert sorted(response.status_code for response in responses) == [401] + [429] * 7
    assert verified == [OTHER_PASSWORD]


@pytest.mark.usefixtures("zoe")
async def test_the_right_password_does_not_count_as_a_wrong_one(app: Quart, psql: psycopg.Connection) -> None:
    psql.execute("INSERT INTO rate_limits VALUES ('wrong-passwords zoe', now() + interval '3563 s')")
    assert [(await sign_in(client_at(app, ADDRESS))).status_code for _ in range(3)] == [200] * 3
    client = client_at(app, ADDRESS)
    assert (await sign_in(client, password=OTHER_PASSWORD)).status_code == 401
    response = await sign_in(client)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) <= 36


async def test_after_a_right_password_the_wrong_ones_before_it_still_count(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe, password=OTHER_PASSWORD)
    assert "wrong-passwords zoe" in counters(psql)
    await sign_in(zoe)
    assert "wrong-passwords zoe" in counters(psql)


async def test_a_guess_that_could_not_be_verified_still_counts(
    app: Quart, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PasswordHasher, "QUEUE_LENGTH", 0)
    assert (await sign_in(client_at(app, ADDRESS))).status_code == 503
    assert "wrong-passwords zoe" in counters(psql)


async def test_a_new_password_that_is_not_allowed_is_no_wrong_password(
    zoe: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await sign_in(zoe)
    form = {"current_password": PASSWORD, "new_password": "password"}
    assert (await zoe.post("/account/password", data=form)).status_code == 422
    assert "wrong-passwords zoe" not in counters(psql)


@pytest.mark.parametrize("length", [129, 3000, 12_000])
async def test_a_name_too_long_to_exist_is_nobodys(app: Quart, psql: psycopg.Connection, length: int) -> None:
    name = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))  # noqa: S311
    assert (await sign_in(client_at(app, ADDRESS), name)).status_code == 401
    assert psql.execute("SELECT max(length(key)) < 50 FROM rate_limits").fetchone() == (True,)
