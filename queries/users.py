"""The users: inserting, finding, changing and deleting them."""

from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from db import Connection, retryable, retryable_change


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


@retryable_change
async def insert_user(
    connection: Connection, username: str, username_key: str, password_hash: str
) -> Account | None:
    """Insert a user; return None if the key exists already.

    After a broken connection this runs again, although the first insert may have committed. The
    salt of a hash is random, so a conflict with the same hash means that it had.
    """
    async with connection.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(
            """
            INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, %s)
            ON CONFLICT (username_key) DO NOTHING
            RETURNING id, username, registered_at, username_key, password_hash
            """,
            [username, username_key, password_hash],
        )
        if not cursor.rowcount:
            await cursor.execute(
                """
                SELECT id, username, registered_at, username_key, password_hash
                FROM users WHERE username_key = %s AND password_hash = %s
                """,
                [username_key, password_hash],
            )
        return await cursor.fetchone()


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
    await connection.execute("DELETE FROM users WHERE id = %s", [user.id])
