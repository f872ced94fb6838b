import asyncio
from pathlib import Path

import httpx
import psycopg
import pytest
from quart import Quart

from services import readiness
from tests.helpers import StartServer, postmaster, terminate_others, wait_until
from web.request_context import get_services


async def test_a_sound_program_is_healthy_and_ready(app: Quart, client: httpx.AsyncClient) -> None:
    await wait_until(lambda: get_services(app).live_list.is_live)
    for path in ("/healthz", "/readyz"):
        response = await client.get(path)
        assert (response.status_code, response.text) == (200, "ok\n")
        assert response.headers["Content-Type"].startswith("text/plain")
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_database_that_only_reads_is_not_ready(
    client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "CACHE_SECONDS", 0)
    psql.execute(f"ALTER DATABASE {psql.info.dbname} SET default_transaction_read_only = on")
    terminate_others(psql)
    async with asyncio.timeout(30):  # the list is live again after a moment
        while (await client.get("/readyz")).text != "the database can only be read\n":
            pass
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200


async def test_a_list_that_is_not_live_is_not_ready(app: Quart, client: httpx.AsyncClient) -> None:
    live_list = get_services(app).live_list
    await wait_until(lambda: live_list.is_live)
    live_list.is_live = False
    response = await client.get("/readyz")
    assert (response.status_code, response.text) == (503, "the list is not live\n")


async def test_a_database_that_is_away_is_not_ready_until_it_is_back(
    serve: StartServer, tmp_path: Path
) -> None:
    roster = serve(tuning="import db; db.RESPONSE_SECONDS = db.POOL_SECONDS = 0.3")
    server = postmaster(tmp_path / "data")
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        # Stopped, not killed: a server that is killed may be back before anybody asks.
        server.suspend()  # first, so that it has no more children than these
        stopped = [server, *server.children()]
        for process in stopped[1:]:
            process.suspend()
        while (away := await client.get("/readyz")).status_code != 503:
            pass
        for process in stopped:
            process.resume()
        while (await client.get("/readyz")).status_code != 200:
            pass
    assert "does not answer" in away.text or "not live" in away.text


async def test_many_checks_at_once_ask_the_database_once(
    app: Quart, client: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "CACHE_SECONDS", 600)
    await wait_until(lambda: get_services(app).live_list.is_live)
    for _ in range(20):
        assert (await client.get("/readyz")).status_code == 200
    assert psql.execute("SELECT full_at < now() + interval '2 s' FROM rate_limits").fetchall() == [(True,)]
    psql.execute("DROP TABLE rate_limits")
    assert (await client.get("/readyz")).status_code == 200
