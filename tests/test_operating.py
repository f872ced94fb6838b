"""What docs/operating.md promises."""

import subprocess
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import db
from app import create_app
from services.postgres_server import BINARIES
from settings import Settings
from tests.helpers import (
    OTHER_PASSWORD,
    PASSWORD,
    StartServer,
    add_users,
    count_sessions,
    http_client,
    is_signed_in,
    names_in,
    new_database,
    register,
    run_cli,
    sign_in,
    usernames,
    viewing,
    wait_for_list,
)

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


@pytest.fixture
def second_url(database_url: str, psql: psycopg.Connection) -> str:
    psql.execute("CREATE SCHEMA second")
    return make_conninfo(database_url, options="-csearch_path=second")


async def test_everything_works_under_a_role_with_the_documented_grants(
    serve: StartServer, role_url: str, psql: psycopg.Connection
) -> None:
    roster = serve(DATABASE_URL=role_url, MIGRATE="off", RATE_LIMITS="on")
    async with viewing(roster.url) as viewer, httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        assert (await register(client)).status_code == 303
        await viewer.wait_for(1)
        assert (await client.post("/sign-out")).status_code == 303
        assert (await sign_in(client)).status_code == 303
        passwords = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert (await client.post("/account/password", data=passwords)).status_code == 303
        assert await is_signed_in(client)
        assert (await client.post("/account/delete", data={"password": OTHER_PASSWORD})).status_code == 303
        await viewer.wait_for(0)
    assert usernames(psql) == []


def test_the_documented_grants_name_every_table(role_url: str, psql: psycopg.Connection) -> None:
    tables = [name for (name,) in psql.execute(TABLES)]
    with psycopg.connect(role_url) as connection:
        for table in tables:
            connection.execute(f"SELECT FROM {table} LIMIT 1")


async def test_without_migrate_a_start_only_checks(tmp_path: Path, empty_database_url: str) -> None:
    settings = {"DATABASE_URL": empty_database_url, "MIGRATE": "off"}
    refused = run_cli(tmp_path, "demo", "3", **settings)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("the schema lacks 001_")
    with psycopg.connect(empty_database_url) as psql:
        assert psql.execute(TABLES).fetchall() == []
    migrated = run_cli(tmp_path, "migrate", **settings)
    names = sorted(file.name for file in db.MIGRATIONS.iterdir())
    assert migrated.stdout == "".join(f"Applied {name}\n" for name in names)
    assert run_cli(tmp_path, "migrate", **settings).stdout == "The schema is up to date.\n"
    await db.check_migrated(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as psql:
        psql.execute("DELETE FROM migrations WHERE name LIKE '002%'")
    with pytest.raises(db.SchemaError, match="lacks 002_"):
        await db.check_migrated(empty_database_url)


async def test_two_rosters_in_two_schemas_do_not_see_each_other(
    database_url: str, second_url: str, psql: psycopg.Connection
) -> None:
    await db.migrate(second_url)
    apps = [create_app(Settings(database_url=url)) for url in (database_url, second_url)]
    async with apps[0].test_app(), apps[1].test_app():
        first, second = map(http_client, apps)
        assert (await register(first, "Zoe")).status_code == 303
        assert (await register(second, "Eve")).status_code == 303
        psql.execute(
            "INSERT INTO second.users (username, username_key, password_hash) VALUES ('Ann', 'ann', '-')"
        )
        for client, names in ((first, ["Zoe"]), (second, ["Ann", "Eve"])):
            await wait_for_list(client, names[0])
            assert names_in(await client.get("/")) == names
        for client, username in ((first, "Zoe"), (second, "Eve")):
            assert (await sign_in(client, username)).status_code == 303
        psql.execute("DELETE FROM second.users")
        assert (await is_signed_in(first), await is_signed_in(second)) == (True, False)
    versions = psql.execute("SELECT a.version, a.size, b.version, b.size FROM roster a, second.roster b")
    assert versions.fetchall() == [(1, 1, 3, 0)]


async def test_a_schema_that_does_not_exist_is_one_line(database_url: str) -> None:
    with pytest.raises(db.SchemaError, match="no schema has been selected"):
        await db.migrate(make_conninfo(database_url, options="-csearch_path=nowhere"))


def test_every_function_pins_its_search_path(psql: psycopg.Connection) -> None:
    functions = psql.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert functions
    assert {tuple(settings or ()) for _, settings in functions} == {("search_path=public, pg_temp",)}


def test_a_dump_without_the_schema_can_be_restored(
    server_url: str, migrated_template: str, database_url: str, psql: psycopg.Connection
) -> None:
    add_users(psql, 3)
    psql.execute("DELETE FROM users WHERE username = 'user3'")
    psql.execute("INSERT INTO sessions SELECT sha256(username::bytea), id, now(), now() FROM users")
    options = "--data-only", "--table=users", "--table=sessions"
    dumped = subprocess.run(
        [BINARIES / "pg_dump", *options, "-d", database_url], capture_output=True, check=True
    )
    with new_database(server_url, migrated_template) as restored_url:
        command = [
            str(BINARIES / "psql"),
            "--no-psqlrc",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            restored_url,
        ]
        subprocess.run(command, input=dumped.stdout, stdout=subprocess.DEVNULL, check=True)
        with psycopg.connect(restored_url, autocommit=True) as restored:
            assert usernames(restored) == ["user1", "user2"]
            assert restored.execute("SELECT size FROM roster").fetchone() == (2,)
            assert count_sessions(restored) == 2
            add_users(restored, 1, "further")
            assert restored.execute("SELECT max(id) FROM users").fetchone() == (4,)
