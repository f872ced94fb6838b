"""The sessions of people who are signed in.

Only the SHA-256 of a token is stored. What changes an account and what belongs to it locks the user first,
and then devices, link and sessions: in another order, two changes could wait for each other.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

from db import Connection, retryable, retryable_change
from queries import devices
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


class TokenHashes(NamedTuple):
    """The hashes of a browser's new and old tokens.

    The session of the old token ends, and its device is forgotten.
    """

    session: bytes
    device: bytes
    old_session: bytes = b""
    old_device: bytes = b""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `BEGIN_SESSION`."""
        return self._asdict() | {
            "session_lifetime": LIFETIME,
            "device_lifetime": devices.LIFETIME,
            "other_devices": devices.MAX_DEVICES - 1,
        }


# To begin a session of the row `account`, if there is one, and to remember its browser. The old ones of
# the browser end, and so do those that have expired, and the devices beyond the newest 20. The order is that
# of above. What has expired may be anybody's, so it is left alone where another change has locked it.
BEGIN_SESSION = """
    inserted_session AS (
        INSERT INTO sessions (token_hash, user_id, expires_at)
        SELECT %(session)s, id, now() + %(session_lifetime)s FROM account
        ON CONFLICT DO NOTHING
    ), inserted_device AS (
        INSERT INTO devices (token_hash, user_id, expires_at)
        SELECT %(device)s, id, now() + %(device_lifetime)s FROM account
        ON CONFLICT DO NOTHING
    ), deleted_devices AS (
        DELETE FROM devices WHERE EXISTS (SELECT FROM account) AND token_hash = ANY (ARRAY(
            SELECT %(old_device)s
            UNION ALL (
                SELECT token_hash FROM devices WHERE user_id = (SELECT id FROM account)
                ORDER BY expires_at DESC OFFSET %(other_devices)s
            ) UNION ALL SELECT token_hash FROM (
                SELECT token_hash FROM devices WHERE expires_at < now() FOR UPDATE SKIP LOCKED
            ) AS expired
        ))
        RETURNING token_hash
    ), deleted_sessions AS (
        DELETE FROM sessions
        WHERE EXISTS (SELECT FROM account) AND (SELECT count(*) FROM deleted_devices) >= 0
            AND token_hash = ANY (ARRAY(
                SELECT %(old_session)s
                UNION ALL SELECT token_hash FROM (
                    SELECT token_hash FROM sessions WHERE expires_at < now() FOR UPDATE SKIP LOCKED
                ) AS expired
            ))
    )
"""


@retryable_change
async def insert_session(connection: Connection, account: Account, tokens: TokenHashes) -> bool:
    """Begin a session, and remember the browser.

    Return False, and do nothing, if the password has changed since the account was read.
    """
    # FOR SHARE waits for a password change or deletion in progress, and then sees its result.
    found = await connection.execute(
        f"""
        WITH account AS MATERIALIZED (
            SELECT id FROM users WHERE id = %(id)s AND password_hash = %(password_hash)s FOR SHARE
        ), {BEGIN_SESSION}
        SELECT FROM account
        """,  # noqa: S608 (ours)
        {"id": account.id, "password_hash": account.password_hash} | tokens.parameters(),
    )
    return bool(found.rowcount)


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
        await devices.delete_devices(connection, user)
        await delete_link(connection, user)
        await connection.execute("DELETE FROM sessions WHERE user_id = %s", [user.id])


@retryable_change
async def change_password(
    connection: Connection, account: Account, password_hash: str, tokens: TokenHashes
) -> bool:
    """Replace the account's hash and all its sessions.

    One session begins, that of the tokens. All other browsers are forgotten.

    Return False, and do nothing, if the password has changed since the account was read.
    """
    async with connection.transaction():
        updated = await update_password_hash(connection, account, password_hash)
        if updated:
            await delete_sessions(connection, account)
            await insert_session(connection, replace(account, password_hash=password_hash), tokens)
        return updated


@retryable_change
async def reset_password(
    connection: Connection,
    account: Account,
    link_token_hash: bytes,
    password_hash: str,
    tokens: TokenHashes,
) -> bool:
    """Use up a link: replace the hash and all sessions.

    They are those of the link's account. One session begins, that of the tokens.

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
            await insert_session(connection, account, tokens)
    # When this runs again, the link may have been used up by ourselves.
    began = await connection.execute("SELECT FROM sessions WHERE token_hash = %s", [tokens.session])
    return bool(began.rowcount)
