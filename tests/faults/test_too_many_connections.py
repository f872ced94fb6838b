"""Others take up the connections that the database allows, and leave later."""

from contextlib import ExitStack

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app import create_app
from settings import Settings
from tests.faults.helpers import Ledger
from tests.helpers import Viewer, names_in, serving, usernames, viewing

CONNECTIONS = 6


class Others:
    """Other users of the database. What runs here runs at once, before Roster connects again."""

    def __init__(self, url: str, psql: psycopg.Connection, stack: ExitStack) -> None:
        self._url = url
        self._psql = psql
        self._stack = stack

    def take_all_that_are_free(self) -> None:
        for _ in range(CONNECTIONS + 1):
            try:
                self._stack.enter_context(psycopg.connect(self._url, application_name="other"))
            except psycopg.OperationalError as error:
                assert "too many connections" in str(error)  # noqa: PT017 (only the last one is refused)
                return
        pytest.fail("there is no limit")

    def take_those_of(self, application_name: str) -> None:
        self._psql.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name LIKE %s",
            [application_name],
        )
        self.take_all_that_are_free()


async def wait_for_name(viewer: Viewer, username: str) -> list[str]:
    """Follow the list until it has the name; return the ids of the events."""
    ids = []
    while True:
        if event := await viewer.next():
            ids.append(event.id)
            if username in event.names:
                return ids


async def test_whatever_others_leave_the_truth_is_told_and_later_all_is_well(
    role_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        *("db.POOL_SECONDS", "db.RECONNECT_SECONDS", "services.live_list.MAX_RECONNECT_SECONDS"),
        *("services.live_list.FALLBACK_SECONDS", "services.readiness.POOL_SECONDS"),
        "routes.home.FALLBACK_SECONDS",
    ):
        monkeypatch.setattr(name, 0.5)
    psql.execute(
        f"ALTER ROLE {psycopg.conninfo.conninfo_to_dict(role_url)['user']} CONNECTION LIMIT {CONNECTIONS}"
    )
    ledger = Ledger()
    app = create_app(
        Settings(
            database_url=make_conninfo(role_url, application_name="roster pool"),
            listen_database_url=make_conninfo(role_url, application_name="roster listener"),
            rate_limits=False,
        )
    )
    async with (
        serving(app) as url,
        viewing(url) as viewer,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        with ExitStack() as stack:
            others = Others(role_url, psql, stack)
            others.take_all_that_are_free()
            await ledger.register(client, "anna")
            await wait_for_name(viewer, "anna")
            others.take_those_of("roster listener")
            await ledger.register(client, "berta")
            assert "away" not in "".join(await wait_for_name(viewer, "berta"))
            assert ledger.done == {"anna", "berta"}
            others.take_those_of("roster %")
            await ledger.register(client, "carla")  # finds that the connections are gone
            await ledger.register(client, "doris")
            assert ledger.done == {"anna", "berta"}
            assert "doris" in ledger.not_done
            page = await client.get("/")
            assert names_in(page) == ["berta", "anna"]
            assert "cannot reach its database" in page.text
            assert (await client.get("/readyz")).status_code == 503
            while not ((event := await viewer.next()) and "away" in event.id):
                pass
        while (await client.get("/readyz")).status_code != 200:
            pass
        await ledger.register(client, "zoe")
        await wait_for_name(viewer, "zoe")
    assert "zoe" in ledger.done
    ledger.check(usernames(psql))
