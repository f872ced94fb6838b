"""Roster behind a real PgBouncer in transaction mode."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from quart import Quart

import db
from app import create_app
from services.postgres_server import make_reachable, run_as, server_user
from settings import Settings
from tests.helpers import (
    HTMX,
    OTHER_PASSWORD,
    PASSWORD,
    add_users,
    http_client,
    is_signed_in,
    names_in,
    register,
    serving,
    sign_in,
    viewing,
    wait_until,
    waits_for_lock,
)
from tools.programs import PATH
from web.request_context import get_services

PGBOUNCER = shutil.which("pgbouncer", path=PATH)

pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed")

CONFIG = """
[databases]
* = host={host} port={port} user={user} {password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@pytest.fixture
def pgbouncer_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The test's database, through a PgBouncer with three connections to it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen_port = free.getsockname()[1]
    target = {"port": 5432, "user": "postgres"} | conninfo_to_dict(database_url)
    password = f"password={target['password']}" if "password" in target else ""
    config = tmp_path / "pgbouncer.ini"
    config.write_text(CONFIG.format(**target | {"password": password, "listen_port": listen_port}))
    make_reachable(tmp_path, server_user())
    command = [str(PGBOUNCER), "--quiet", str(config)]
    process = subprocess.Popen(command, **run_as(server_user()))  # it does not run as root
    try:
        yield make_conninfo(f"host=127.0.0.1 port={listen_port} user=postgres", dbname=str(target["dbname"]))
    finally:
        process.terminate()
        process.wait()


@pytest_asyncio.fixture
async def pooled_app(pgbouncer_url: str, database_url: str) -> AsyncIterator[Quart]:
    async with asyncio.timeout(30):
        while True:
            try:
                await (await psycopg.AsyncConnection.connect(pgbouncer_url)).close()
                break
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)
    settings = Settings(database_url=pgbouncer_url, listen_database_url=database_url, rate_limits=False)
    yield create_app(settings)


async def test_everything_works_and_the_list_is_live(pooled_app: Quart, psql: psycopg.Connection) -> None:
    add_users(psql, 3)
    async with (
        serving(pooled_app) as url,
        viewing(url) as viewer,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        found = await asyncio.gather(*(client.get("/users?q=u", headers=HTMX) for _ in range(45)))
        assert [response.status_code for response in found] == [200] * 45
        assert names_in(found[0]) == ["user1", "user2", "user3"]
        assert not get_services(pooled_app).database.can_prepare
        assert (await register(client)).status_code == 303
        assert (await viewer.wait_for(4)).names[0] == "zoe"
        await sign_in(client)
        form = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert (await client.post("/account/password", data=form)).status_code == 303
        assert await is_signed_in(client)
        await client.post("/account/delete", data={"password": OTHER_PASSWORD})
        assert (await viewer.wait_for(3)).names[0] == "user3"


async def test_a_statement_that_takes_too_long_is_cancelled(
    pooled_app: Quart, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "STATEMENT_SECONDS", 0.5)
    monkeypatch.setattr(db, "RESPONSE_SECONDS", 600)
    async with pooled_app.test_app():
        client = http_client(pooled_app)
        with psql.transaction(force_rollback=True):
            psql.execute("LOCK TABLE users")
            response = await client.get("/?q=u")
            assert response.status_code == 503
            await wait_until(lambda: not waits_for_lock(psql))
        assert (await client.get("/?q=u")).status_code == 200


@pytest.mark.usefixtures("pooled_app")  # by then PgBouncer is ready
async def test_without_a_direct_connection_the_list_is_shown_but_not_live(
    pgbouncer_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "NOTIFICATION_SECONDS", "MAX_RECONNECT_SECONDS":
        monkeypatch.setattr(f"services.live_list.{name}", 0.3)
    app = create_app(Settings(database_url=pgbouncer_url))
    async with serving(app) as url, viewing(url) as viewer:
        event = await viewer.wait_for(0)
        assert "Connecting" in event.data
        add_users(psql, 1)
        assert (await viewer.wait_for(1)).names == ["user1"]
        assert not get_services(app).live_list.is_live
        assert not get_services(app).database.can_prepare
