import asyncio
from hashlib import sha256

import psycopg
import pytest
import pytest_asyncio

from db import Database
from queries import one_time_links, sessions, users
from queries.sessions import TokenHashes
from queries.users import Account
from services.tokens import hash_token, new_token
from tests.helpers import add_users, insert_link, wait_until, waits_for_lock

TOKEN, OTHER_TOKEN, THIRD_TOKEN = (sha256(text).digest() for text in (b"1", b"2", b"3"))


def token_hashes(session: bytes, old_session: bytes = b"") -> TokenHashes:
    return TokenHashes(session, sha256(session).digest(), old_session, b"")


@pytest_asyncio.fixture
async def account(database: Database, psql: psycopg.Connection) -> Account:
    add_users(psql, 2)
    return await read_account(database)


async def read_account(database: Database, key: str = "user1") -> Account:
    account = await users.select_account(database, key)
    assert account
    return account


def tokens(psql: psycopg.Connection) -> set[bytes]:
    return {token for (token,) in psql.execute("SELECT token_hash FROM sessions")}


def let_pass(psql: psycopg.Connection, time: str) -> None:
    """Set the sessions as they would be that much later."""
    psql.execute("UPDATE sessions SET expires_at = expires_at - %s::interval", [time])


async def test_a_session_names_its_account(database: Database, account: Account) -> None:
    assert await sessions.insert_session(database, account, token_hashes(TOKEN))
    assert await sessions.select_session(database, TOKEN) == sessions.Session(account, is_extendable=False)
    assert await sessions.select_session(database, OTHER_TOKEN) is None


async def test_a_repeated_insert_of_a_session_has_succeeded(database: Database, account: Account) -> None:
    for _ in range(2):
        assert await sessions.insert_session(database, account, token_hashes(TOKEN))


async def test_a_new_session_ends_the_old_one_and_expired_ones(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    await sessions.insert_session(database, account, token_hashes(TOKEN))
    let_pass(psql, "31 days")
    await sessions.insert_session(database, account, token_hashes(OTHER_TOKEN))
    assert tokens(psql) == {OTHER_TOKEN}
    other = await read_account(database, "user2")
    await sessions.insert_session(database, other, token_hashes(TOKEN))
    await sessions.insert_session(database, account, token_hashes(THIRD_TOKEN, OTHER_TOKEN))
    assert tokens(psql) == {TOKEN, THIRD_TOKEN}


@pytest.mark.parametrize(
    ("time", "is_extendable"), [("23 hours", False), ("25 hours", True), ("29 days 23 hours", True)]
)
async def test_a_session_can_be_extended_once_a_day(
    database: Database, psql: psycopg.Connection, account: Account, time: str, *, is_extendable: bool
) -> None:
    await sessions.insert_session(database, account, token_hashes(TOKEN))
    let_pass(psql, time)
    assert await sessions.select_session(database, TOKEN) == sessions.Session(account, is_extendable)
    await sessions.extend_session(database, TOKEN)
    assert await sessions.select_session(database, TOKEN) == sessions.Session(account, is_extendable=False)
    let_pass(psql, "29 days 12 hours")
    assert await sessions.select_session(database, TOKEN)


async def test_a_session_that_has_expired_is_not_brought_back(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    await sessions.insert_session(database, account, token_hashes(TOKEN))
    let_pass(psql, "30 days 1 second")
    for _ in range(2):
        assert await sessions.select_session(database, TOKEN) is None


async def test_a_session_is_ended_alone_or_with_all_of_its_user(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    other = await read_account(database, "user2")
    for owner, token in ((account, TOKEN), (account, OTHER_TOKEN), (other, THIRD_TOKEN)):
        await sessions.insert_session(database, owner, token_hashes(token))
    await sessions.delete_session(database, TOKEN)
    assert tokens(psql) == {OTHER_TOKEN, THIRD_TOKEN}
    await sessions.delete_sessions(database, account)
    assert tokens(psql) == {THIRD_TOKEN}


async def test_a_changed_password_leaves_one_new_session(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    other = await read_account(database, "user2")
    await sessions.insert_session(database, other, token_hashes(OTHER_TOKEN))
    await sessions.insert_session(database, account, token_hashes(TOKEN))
    assert await sessions.change_password(database, account, "hash 2", token_hashes(THIRD_TOKEN))
    assert tokens(psql) == {OTHER_TOKEN, THIRD_TOKEN}
    assert (await read_account(database)).password_hash == "hash 2"


async def test_a_repeated_change_of_the_password_has_succeeded(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    for _ in range(2):
        assert await sessions.change_password(database, account, "hash 2", token_hashes(TOKEN))
    assert tokens(psql) == {TOKEN}


async def test_after_another_password_change_no_session_begins(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    assert await users.update_password_hash(database, account, "hash 2")
    assert not await sessions.insert_session(database, account, token_hashes(TOKEN))
    assert not await sessions.change_password(database, account, "hash 3", token_hashes(TOKEN))
    assert tokens(psql) == set()
    assert (await read_account(database)).password_hash == "hash 2"


async def test_a_password_change_that_comes_too_late_ends_no_session(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    await users.update_password_hash(database, account, "hash 2")
    await sessions.insert_session(database, await read_account(database), token_hashes(TOKEN))
    assert not await sessions.change_password(database, account, "hash 3", token_hashes(OTHER_TOKEN))
    assert tokens(psql) == {TOKEN}


async def test_a_sign_in_waits_for_a_password_change_under_way(
    database: Database, psql: psycopg.Connection, account: Account
) -> None:
    with psql.transaction():
        psql.execute("UPDATE users SET password_hash = 'hash 2'")
        beginning = asyncio.ensure_future(sessions.insert_session(database, account, token_hashes(TOKEN)))
        await wait_until(lambda: beginning.done() or waits_for_lock(psql))
        assert not beginning.done()
    assert not await beginning
    assert tokens(psql) == set()


async def test_a_reset_and_other_changes_of_an_account_do_not_wait_for_each_other(
    database: Database, account: Account, psql: psycopg.Connection
) -> None:
    for _ in range(10):
        present = await read_account(database)
        link, *hashes = (hash_token(insert_link(psql, account.id)), *(hash_token(new_token()) for _ in "123"))
        await asyncio.gather(  # a deadlock would be an error of one of them
            sessions.reset_password(database, present, link, "reset", token_hashes(hashes[0])),
            one_time_links.insert_link(database, hashes[1], present),
            sessions.change_password(database, present, "changed", token_hashes(hashes[2])),
        )
        psql.execute("DELETE FROM one_time_links")
