"""Changes of one person at once: they wait for each other in one order, so that none is broken off."""

import asyncio
from collections.abc import Awaitable

import psycopg
import pytest

from db import Database
from queries import sessions, users
from queries.one_time_links import insert_link
from queries.sessions import TokenHashes
from queries.users import Account
from services.tokens import hash_token
from tests.helpers import add_users, count_sessions
from tests.helpers import insert_link as store_link


def old_tokens(account: Account) -> TokenHashes:
    token = hash_token(f"old {account.id}")
    return TokenHashes(token, token)


def begin_change(change: str, database: Database, account: Account, token: str) -> Awaitable[object]:
    new = hash_token(f"new {account.id}")
    tokens = TokenHashes(new, new, *old_tokens(account)[:2])
    if change == "sign in":
        return sessions.insert_session(database, account, tokens)
    if change == "sign out everywhere":
        return sessions.delete_sessions(database, account)
    if change == "reset":
        return sessions.reset_password(database, account, hash_token(token), "h", tokens)
    if change == "new link":
        return insert_link(database, new, account)
    return sessions.change_password(database, account, "h", tokens)


@pytest.mark.parametrize("change", ["sign in", "sign out everywhere", "reset", "new link", "change password"])
async def test_a_removal_and_another_change_of_one_person_do_not_deadlock(
    database: Database, psql: psycopg.Connection, change: str
) -> None:
    for n in range(20):
        add_users(psql, 1, f"u{n}x")
        account = await users.select_account(database, f"u{n}x1")
        assert account
        await sessions.insert_session(database, account, old_tokens(account))
        token = store_link(psql, account.id)
        await asyncio.gather(
            begin_change(change, database, account, token), users.delete_user(database, account)
        )
        assert count_sessions(psql) == 0
        assert psql.execute("SELECT FROM one_time_links").rowcount == 0
