"""The browsers of organisers.

Only the SHA-256 of a token is stored.
"""

from datetime import timedelta

from db import Connection, retryable, retryable_change

LIFETIME = timedelta(days=30)  # since the link was used


@retryable_change
async def insert_organiser(connection: Connection, link_token_hash: bytes, token_hash: bytes) -> bool:
    """Use up a link, and make a browser an organiser's.

    Return False, and do nothing, if there is no such link, or no longer.
    """
    await connection.execute(
        """
        WITH used AS (
            DELETE FROM one_time_links
            WHERE token_hash = %s AND user_id IS NULL AND expires_at > now() RETURNING token_hash
        ), expired AS (
            DELETE FROM organisers WHERE expires_at < now()
        )
        INSERT INTO organisers (token_hash, expires_at) SELECT %s, now() + %s FROM used
        """,
        [link_token_hash, token_hash, LIFETIME],
    )
    # Not the row count of the insert: when this runs again, the first insert may have committed.
    return await is_organiser(connection, token_hash)


@retryable
async def is_organiser(connection: Connection, token_hash: bytes) -> bool:
    """Return whether a browser is an organiser's."""
    found = await connection.execute(
        "SELECT FROM organisers WHERE token_hash = %s AND expires_at > now()", [token_hash]
    )
    return bool(found.rowcount)


@retryable_change
async def delete_organiser(connection: Connection, token_hash: bytes) -> None:
    """Delete an organiser."""
    await connection.execute("DELETE FROM organisers WHERE token_hash = %s", [token_hash])


@retryable_change
async def delete_organisers(connection: Connection) -> int:
    """Delete all organisers, and the links to become one.

    Return how many browsers there were.
    """
    async with connection.transaction():
        await connection.execute("DELETE FROM one_time_links WHERE user_id IS NULL")
        deleted = await connection.execute("DELETE FROM organisers WHERE expires_at > now()")
        return deleted.rowcount
