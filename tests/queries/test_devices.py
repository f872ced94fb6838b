from dataclasses import replace
from hashlib import sha256

import psycopg
import pytest_asyncio

from db import Database
from queries import devices
from queries.sessions import TokenHashes, insert_session
from queries.users import Account, select_account
from tests.helpers import add_users

TOKENS = [sha256(str(number).encode()).digest() for number in range(devices.MAX_DEVICES + 1)]


@pytest_asyncio.fixture
async def account(database: Database, psql: psycopg.Connection) -> Account:
    add_users(psql, 1)
    account = await select_account(database, "user1")
    assert account
    return account


async def sign_in(database: Database, account: Account, device: bytes, old_device: bytes = b"") -> bool:
    session = sha256(device).digest()
    return await insert_session(database, account, TokenHashes(session, device, b"", old_device))


async def is_known(database: Database, token: bytes) -> bool:
    return await devices.is_known_device(database, token, "user1")


async def test_a_new_token_takes_the_place_of_the_old_one(database: Database, account: Account) -> None:
    await sign_in(database, account, TOKENS[0])
    await sign_in(database, account, TOKENS[1], TOKENS[0])
    assert [await is_known(database, token) for token in TOKENS[:2]] == [False, True]


async def test_a_browser_is_not_remembered_by_a_password_that_has_changed(
    database: Database, account: Account
) -> None:
    assert not await sign_in(database, replace(account, password_hash="older"), TOKENS[0])
    assert not await is_known(database, TOKENS[0])


async def test_only_the_newest_browsers_of_a_user_are_remembered(
    database: Database, account: Account
) -> None:
    for token in TOKENS:
        await sign_in(database, account, token)
    assert [await is_known(database, token) for token in TOKENS] == [False, *[True] * devices.MAX_DEVICES]
