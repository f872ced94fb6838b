"""The sessions of people who are signed in.

Only the SHA-256 of a token is stored. What changes an account and what belongs to it locks the user first,
and then devices, link and sessions: in another order, two changes could wait for each other.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from db import Connection, retryable, retryable_change
from queries.devices import delete_devices
from queries.one_time_links import delete_link
from queries.users import Account, User, update_password_hash

LIFETIME = timedelta(days=30)  # since the last use, which is noted once a day


@dataclass(frozen=True)
class Session:
    """A user's session.

    `is_extendable` says that it was not extended for a day.
    """

    account: Account
    is_extendable: bool


@retryable_change
async def insert_session(
    connection: Connection, account: Account, token_hash: bytes, old_token_hash: bytes = b""
) -> bool:
    """Begin a session.

    Return False, and begin none, if the password has changed since the account was read.

    The session of the old token ends, and so do those that have expired.
    """
    async with connection.transaction():
        # FOR SHARE waits for a password change or deletion in progress, and then sees its result.
        await connection.execute(
            """
            INSERT INTO sessions (token_hash, user_id, expires_at)
            SELECT %s, id, now() + %s FROM users WHERE id = %s AND password_hash = %s FOR SHARE
            ON CONFLICT DO NOTHING
            """,
            [token_hash, LIFETIME, account.id, account.password_hash],
        )
        await connection.execute(
            "DELETE FROM sessions WHERE expires_at < now() OR token_hash = %s", [old_token_hash]
        )
    inserted = await connection.execute("SELECT FROM sessions WHERE token_hash = %s", [token_hash])
    return bool(inserted.rowcount)


@retryable
async def select_session(connection: Connection, token_hash: bytes) -> Session | None:
    """Return the session of a token, unless it has ended."""
    found = await connection.execute(
        """
        SELECT users.id, username, registered_at, username_key, password_hash,
               expires_at <= now() + %s - interval '1 day'
        FROM sessions JOIN users ON users.id = user_id
        WHERE token_hash = %s AND expires_at > now()
        """,
        [LIFETIME, token_hash],
    )
    row = await found.fetchone()
    return Session(Account(*row[:-1]), row[-1]) if row else None


@retryable
async def extend_session(connection: Connection, token_hash: bytes) -> None:
    """Let a session last for its whole lifetime from now."""
    await connection.execute(
        "UPDATE sessions SET expires_at = now() + %s WHERE token_hash = %s AND expires_at > now()",
        [LIFETIME, token_hash],
    )


@retryable_change
async def delete_session(connection: Connection, token_hash: bytes) -> None:
    """End the session of a token."""
    await connection.execute("DELETE FROM sessions WHERE token_hash = %s", [token_hash])


@retryable_change
async def delete_sessions(connection: Connection, user: User) -> None:
    """End all sessions of a user, and forget their browsers.

    A link to set a new password ends, too.
    """
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user.id])
        await delete_devices(connection, user)
        await delete_link(connection, user)
        await connection.execute("DELETE FROM sessions WHERE user_id = %s", [user.id])


@retryable_change
async def change_password(
    connection: Connection, account: Account, password_hash: str, token_hash: bytes
) -> bool:
    """Replace the account's hash and all its sessions.

    One session begins, that of the token. All browsers are forgotten.

    Return False, and do nothing, if the password has changed since the account was read.
    """
    async with connection.transaction():
        updated = await update_password_hash(connection, account, password_hash)
        if updated:
            await delete_sessions(connection, account)
            await insert_session(connection, replace(account, password_hash=password_hash), token_hash)
        return updated


@retryable_change
async def reset_password(
    connection: Connection,
    account: Account,
    link_token_hash: bytes,
    password_hash: str,
    token_hash: bytes,
) -> bool:
    """Use up a link: replace the hash and all sessions.

    They are those of the link's account. One session begins, that of the token.

    Return False, and do nothing, if there is no such link any more.
    """
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [account.id])
        used = await connection.execute(
            "DELETE FROM one_time_links WHERE token_hash = %s AND user_id = %s AND expires_at > now()",
            [link_token_hash, account.id],
        )
        if used.rowcount:
            await connection.execute(
                "UPDATE users SET password_hash = %s WHERE id = %s", [password_hash, account.id]
            )
            await delete_sessions(connection, account)
            account = replace(account, password_hash=password_hash)
            await insert_session(connection, account, token_hash)
    # When this runs again, the link may have been used up by ourselves.
    began = await connection.execute("SELECT FROM sessions WHERE token_hash = %s", [token_hash])
    return bool(began.rowcount)
