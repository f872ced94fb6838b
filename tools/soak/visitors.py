"""The visitors: they register, sign in, search and look."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable

import httpx

from tests.helpers import HTMX, PASSWORD, names_in, sign_in
from tools.soak.ledger import REGISTER, Answer, Ledger, read_answer

PATIENCE_SECONDS = 30.0  # of a visitor who waits for an answer

Visiting = Callable[[httpx.AsyncClient, Ledger], Awaitable[None]]

_random = secrets.SystemRandom()
_numbers = itertools.count(1)


async def register_somebody(client: httpx.AsyncClient, ledger: Ledger) -> None:
    """Register a new name, so that "already exists" is never true."""
    username = f"soak{next(_numbers)}"

    async def send() -> tuple[httpx.Response, Answer]:
        form = {"username": username, "password": PASSWORD}
        response = await client.post("/register", data=form, headers=_random.choice([HTMX, {}]))
        return response, read_answer(response, httpx.codes.CONFLICT)

    await ledger.record(REGISTER, username, send)


async def sign_somebody_in(client: httpx.AsyncClient, ledger: Ledger) -> None:
    """Sign in as somebody who was told that they are registered."""
    if not ledger.confirmed:
        return
    username = _random.choice(ledger.confirmed)

    async def send() -> tuple[httpx.Response, Answer]:
        response = await sign_in(client, username)
        return response, read_answer(response, httpx.codes.UNAUTHORIZED)

    await ledger.record("sign in", username, send)


async def search_somebody(client: httpx.AsyncClient, ledger: Ledger) -> None:
    """Search for somebody who was told that they are registered."""
    if not ledger.confirmed:
        return
    username = _random.choice(ledger.confirmed)

    async def send() -> tuple[httpx.Response, Answer]:
        response = await client.get("/users", params={"q": username}, headers=HTMX)
        answer = read_answer(response)
        if answer is Answer.DONE and username not in names_in(response):
            answer = Answer.FALSE
        return response, answer

    await ledger.record("search", username, send)


async def look_at_page(client: httpx.AsyncClient, ledger: Ledger) -> None:
    """Open the page, which is there even while the database is not."""

    async def send() -> tuple[httpx.Response, Answer]:
        response = await client.get("/")
        return response, read_answer(response)

    await ledger.record("page", "", send)


# How many visitors do so at once, and the seconds between two visits of one. A long pause with many
# visitors keeps the rate and still leaves enough of them while each waits for an answer.
VISITORS: dict[Visiting, tuple[int, float]] = {
    register_somebody: (8, 4.0),
    sign_somebody_in: (4, 4.0),
    search_somebody: (4, 4.0),
    look_at_page: (4, 4.0),
}


async def visit_until(is_over: asyncio.Event, url: str, ledger: Ledger) -> None:
    """Let all visitors come until it is over, and wait for their last answers."""
    async with asyncio.TaskGroup() as tasks:
        for visiting, (count, pause) in VISITORS.items():
            for _ in range(count):
                tasks.create_task(_keep_visiting(is_over, url, ledger, visiting, pause))


async def _keep_visiting(
    is_over: asyncio.Event, url: str, ledger: Ledger, visiting: Visiting, pause: float
) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
        while not is_over.is_set():
            await asyncio.sleep(_random.uniform(0, 2 * pause))
            client.cookies.clear()  # the next one is somebody else
            await visiting(client, ledger)
