"""The browsers that have signed in to an account before.

Only the SHA-256 of a token is stored.
"""

from datetime import timedelta

from db import Connection, retryable
from queries.users import Account, User

LIFETIME = timedelta(days=365)  # since the last sign-in
MAX_DEVICES = 20  # of a user; beyond it the one that signed in longest ago is forgotten


@retryable
async def insert_device(
    connection: Connection, account: Account, token_hash: bytes, old_token_hash: bytes
) -> None:
    """Remember a browser, instead of its old token.

    Nothing is remembered if the password has changed since the account was read. Browsers that have
    expired are forgotten, and so are those beyond the newest 20.
    """
    await connection.execute(
        "DELETE FROM devices WHERE expires_at < now() OR token_hash = %s", [old_token_hash]
    )
    await connection.execute(
        """
        DELETE FROM devices WHERE token_hash IN (
            SELECT token_hash FROM devices WHERE user_id = %s ORDER BY expires_at DESC OFFSET %s
        )
        """,
        [account.id, MAX_DEVICES - 1],
    )
    # FOR SHARE waits for a password change or deletion in progress, and then sees its result.
    await connection.execute(
        """
        INSERT INTO devices (token_hash, user_id, expires_at)
        SELECT %s, id, now() + %s FROM users WHERE id = %s AND password_hash = %s FOR SHARE
        ON CONFLICT DO NOTHING
        """,
        [token_hash, LIFETIME, account.id, account.password_hash],
    )


@retryable
async def is_known_device(connection: Connection, token_hash: bytes, username_key: str) -> bool:
    """Return whether a browser has signed in to that account."""
    found = await connection.execute(
        """
        SELECT FROM devices JOIN users ON users.id = user_id
        WHERE token_hash = %s AND username_key = %s AND expires_at > now()
        """,
        [token_hash, username_key],
    )
    return bool(found.rowcount)


@retryable
async def delete_devices(connection: Connection, user: User) -> None:
    """Forget all browsers of a user."""
    await connection.execute("DELETE FROM devices WHERE user_id = %s", [user.id])
