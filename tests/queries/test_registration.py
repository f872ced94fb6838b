import asyncio
from hashlib import sha256

import psycopg
import pytest

from db import Database, pool_timeout
from queries import users
from queries.devices import is_known_device
from queries.registration import NewUser, insert_user
from queries.roster import select_version, update_roster
from queries.sessions import TokenHashes, select_session
from tests.helpers import add_users, usernames

TOKENS = TokenHashes(*(sha256(text).digest() for text in (b"1", b"2")))


async def test_a_name_is_inserted_once(database: Database) -> None:
    assert (await insert_user(database, NewUser("Zoe", "zoe", "hash 1"))).account
    assert not (await insert_user(database, NewUser("ZOE", "zoe", "hash 2"))).account
    account = await users.select_account(database, "zoe")
    assert account
    assert (account.username, account.password_hash) == ("Zoe", "hash 1")


async def test_200_inserts_of_one_name_at_once_store_it_once(
    database: Database, psql: psycopg.Connection
) -> None:
    with pool_timeout(100):  # a slow machine may take its time
        inserted = await asyncio.gather(
            *(insert_user(database, NewUser(f"Zoe{n}", "zoe", f"hash {n}")) for n in range(200))
        )
    [winner] = [n for n, insertion in enumerate(inserted) if insertion.account]
    assert usernames(psql) == [f"Zoe{winner}"]


async def test_a_repeated_insert_of_the_same_hash_has_succeeded(
    database: Database, psql: psycopg.Connection
) -> None:
    first = await insert_user(database, NewUser("Zoe", "zoe", "hash"), TOKENS)
    add_users(psql, 1)
    second = await insert_user(database, NewUser("Zoe", "zoe", "hash"), TOKENS)
    assert first.account == second.account is not None
    assert usernames(psql) == ["Zoe", "user1"]


async def test_a_new_name_never_counts_as_taken_while_others_are_deleted(
    database: Database, psql: psycopg.Connection
) -> None:
    def truncate() -> None:
        for _ in range(50):
            psql.execute("TRUNCATE users")

    truncating = asyncio.create_task(asyncio.to_thread(truncate))
    for n in range(50):
        assert (await insert_user(database, NewUser(f"user{n}", f"user{n}", "hash"))).account
    await truncating


async def test_a_registration_begins_a_session_and_knows_the_browser(database: Database) -> None:
    inserted = await insert_user(database, NewUser("Zoe", "zoe", "hash"), TOKENS)
    session = await select_session(database, TOKENS.session)
    assert session
    assert session.account == inserted.account
    assert await is_known_device(database, TOKENS.device, "zoe")


async def test_without_tokens_no_session_begins(database: Database, psql: psycopg.Connection) -> None:
    await insert_user(database, NewUser("Zoe", "zoe", "hash"))
    assert psql.execute("SELECT FROM sessions").rowcount == psql.execute("SELECT FROM devices").rowcount == 0


@pytest.mark.parametrize("is_open", [True, False])
async def test_whoever_is_not_inserted_is_not_signed_in_and_loses_no_session(
    database: Database, *, is_open: bool
) -> None:
    own = await insert_user(database, NewUser("Zoe", "zoe", "hash"), TOKENS)
    await update_roster(database, {"open": is_open})
    others = TokenHashes(b"3" * 32, b"4" * 32, TOKENS.session, TOKENS.device)
    name = "zoe" if is_open else "eve"
    assert (await insert_user(database, NewUser(name, name, "hash 2"), others)).account is None
    assert await select_session(database, others.session) is None
    session = await select_session(database, TOKENS.session)
    assert session
    assert session.account == own.account
    assert await is_known_device(database, TOKENS.device, "zoe")


async def test_the_version_is_that_of_the_list_with_the_account(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 3)
    inserted = await insert_user(database, NewUser("Zoe", "zoe", "hash"), TOKENS)
    assert inserted.version == await select_version(database)
    refused = await insert_user(database, NewUser("Zoe", "zoe", "hash 2"))
    assert refused.version == await select_version(database)
