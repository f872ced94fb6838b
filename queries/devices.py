"""The browsers that have signed in to an account before.

Only the SHA-256 of a token is stored.
"""

from datetime import timedelta

from db import Connection, retryable
from queries.users import User

LIFETIME = timedelta(days=365)  # since the last sign-in
MAX_DEVICES = 20  # of a user; beyond it the one that signed in longest ago is forgotten


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
