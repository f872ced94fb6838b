"""Links that work once, for an hour.

One without a user makes a browser an organiser's; one with a user lets them set a new password. Only
the SHA-256 of a link's token is stored.
"""

from datetime import timedelta

from psycopg.rows import class_row

from db import Connection, retryable
from queries.users import Account, User

LIFETIME = timedelta(hours=1)


@retryable
async def insert_link(connection: Connection, token_hash: bytes, user: User | None = None) -> bool:
    """Let a link work from now on.

    Return False, and do nothing, if the user is gone. An earlier link of the same user ends, and so do
    those that have expired.
    """
    await connection.execute("DELETE FROM one_time_links WHERE expires_at < now()")
    if user is None:
        await connection.execute(
            """
            INSERT INTO one_time_links (token_hash, expires_at) VALUES (%s, now() + %s)
            ON CONFLICT (token_hash) DO NOTHING
            """,
            [token_hash, LIFETIME],
        )
        return True
    # FOR SHARE waits for a deletion in progress, and then sees its result.
    inserted = await connection.execute(
        """
        INSERT INTO one_time_links (token_hash, user_id, expires_at)
        SELECT %s, id, now() + %s FROM users WHERE id = %s FOR SHARE
        ON CONFLICT (user_id) DO UPDATE
        SET token_hash = excluded.token_hash, expires_at = excluded.expires_at
        """,
        [token_hash, LIFETIME, user.id],
    )
    return bool(inserted.rowcount)


@retryable
async def is_organiser_link(connection: Connection, token_hash: bytes) -> bool:
    """Return whether a link makes a browser an organiser's."""
    found = await connection.execute(
        "SELECT FROM one_time_links WHERE token_hash = %s AND user_id IS NULL AND expires_at > now()",
        [token_hash],
    )
    return bool(found.rowcount)


@retryable
async def select_linked_account(connection: Connection, token_hash: bytes) -> Account | None:
    """Return the account whose password a link sets.

    None if there is no such link, or no longer.
    """
    async with connection.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(
            """
            SELECT users.id, username, registered_at, username_key, password_hash
            FROM one_time_links JOIN users ON users.id = user_id
            WHERE token_hash = %s AND expires_at > now()
            """,
            [token_hash],
        )
        return await cursor.fetchone()


@retryable
async def delete_link(connection: Connection, user: User) -> None:
    """End the link of a user."""
    await connection.execute("DELETE FROM one_time_links WHERE user_id = %s", [user.id])
