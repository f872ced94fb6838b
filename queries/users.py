"""The users: inserting, finding, changing and deleting them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from db import Connection, Database, retryable, retryable_change

BIGINT = 2**63  # ids are below it
BLOCK = 1000  # users of a part


@dataclass(frozen=True)
class User:
    """A person on the list."""

    id: int
    username: str
    registered_at: datetime


@dataclass(frozen=True)
class Account(User):
    """A user with their key and the hash of their password."""

    username_key: str
    password_hash: str = field(repr=False)


@retryable
async def insert_users(
    connection: Connection, usernames: list[str], keys: list[str], hashes: list[str]
) -> int:
    """Insert users in one change; return how many.

    Those whose key exists already are skipped.
    """
    inserted = await connection.execute(
        """
        INSERT INTO users (username, username_key, password_hash)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
        ON CONFLICT (username_key) DO NOTHING
        """,
        [usernames, keys, hashes],
    )
    return inserted.rowcount


@retryable
async def select_existing_keys(connection: Connection, keys: list[str]) -> set[str]:
    """Return those of the keys that users have."""
    found = await connection.execute("SELECT username_key FROM users WHERE username_key = ANY (%s)", [keys])
    return {key async for (key,) in found}


@retryable
async def select_user(connection: Connection, user_id: int) -> User | None:
    """Return the user of that id, if there is one."""
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute("SELECT id, username, registered_at FROM users WHERE id = %s", [user_id])
        return await cursor.fetchone()


@retryable
async def select_users_after(connection: Connection, user_id: int, count: int) -> list[User]:
    """Return the users after that one, in order of registration.

    There are at most `count` of them.
    """
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            "SELECT id, username, registered_at FROM users WHERE id > %s ORDER BY id LIMIT %s",
            [user_id, count],
        )
        return await cursor.fetchall()


async def generate_users(database: Database | Connection) -> AsyncGenerator[list[User], None]:
    """Yield all users in order of registration, 1,000 at a time.

    Each part is a query of its own, so that no connection is held in between.
    """
    last_id = -BIGINT
    while users := await select_users_after(database, last_id, BLOCK):
        yield users
        last_id = users[-1].id


@retryable
async def select_account(connection: Connection, username_key: str) -> Account | None:
    """Return the account of that key, if there is one."""
    async with connection.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(
            """
            SELECT id, username, registered_at, username_key, password_hash
            FROM users WHERE username_key = %s
            """,
            [username_key],
        )
        return await cursor.fetchone()


@retryable_change
async def update_password_hash(connection: Connection, account: Account, password_hash: str) -> bool:
    """Replace the account's hash.

    Return False, and do nothing, if it has changed since the account was read.
    """
    await connection.execute(
        "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s",
        [password_hash, account.id, account.password_hash],
    )
    # Not the row count of the update: when this runs again, the first update may have committed.
    updated = await connection.execute(
        "SELECT FROM users WHERE id = %s AND password_hash = %s", [account.id, password_hash]
    )
    return bool(updated.rowcount)


@retryable_change
async def delete_user(connection: Connection, user: User) -> None:
    """Delete a user."""
    await delete_users(connection, [user.id])


@retryable_change
async def delete_users(connection: Connection, ids: list[int]) -> list[str]:
    """Delete users; return the names of those who were there.

    Their sessions end with them.
    """
    # The roster's row first, as in queries/registration.py: in another order the two could wait for each
    # other.
    deleted = await connection.execute(
        """
        WITH roster AS MATERIALIZED (SELECT FROM roster FOR UPDATE)
        DELETE FROM users USING roster WHERE id = ANY (%s) RETURNING username
        """,
        [ids],
    )
    return [username async for (username,) in deleted]
