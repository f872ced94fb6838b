"""Registering a user, in one statement."""

from dataclasses import dataclass, field
from typing import NamedTuple

from psycopg.rows import dict_row

from db import Connection, retryable_change
from queries.roster import Roster
from queries.sessions import BEGIN_SESSION, TokenHashes
from queries.users import Account, select_account

# Whoever inserts waits for the roster's row, and then sees it as the one before has left it. This is why
# no two people get the last place. What the trigger does to the row comes after that.
_INSERT = """
    WITH roster AS MATERIALIZED (
        SELECT version, size, open, capacity, invitation FROM roster FOR UPDATE
    ), account AS (
        INSERT INTO users (username, username_key, password_hash)
        SELECT %(username)s, %(username_key)s, %(password_hash)s FROM roster
        WHERE open
          AND (capacity IS NULL OR size < capacity)
          AND (invitation IS NULL OR invitation = %(invitation)s)
        ON CONFLICT (username_key) DO NOTHING
        RETURNING id, registered_at
    ) {begin_session}
    SELECT roster.*, id, registered_at FROM roster LEFT JOIN account ON true
"""
INSERT_USER = _INSERT.format(begin_session="")
INSERT_USER_AND_SESSION = _INSERT.format(begin_session=f", {BEGIN_SESSION}")


@dataclass(frozen=True)
class NewUser:
    """A user to insert, with the invitation code that they have."""

    username: str
    username_key: str
    password_hash: str = field(repr=False)
    invitation: str = field(default="", repr=False)


class Insertion(NamedTuple):
    """The account that was inserted, None if none was.

    `roster` is as it was just before, without title and description, and nobody could change it in between.
    So where it let nobody in, that is why; otherwise the key exists already. `version` is that of the list
    afterwards.
    """

    account: Account | None
    roster: Roster
    version: int


@retryable_change
async def insert_user(connection: Connection, new: NewUser, tokens: TokenHashes | None = None) -> Insertion:
    """Insert a user, where the roster lets them in.

    With tokens, a session of theirs begins, too.

    After a broken connection this runs again, although the first insert may have committed. The
    salt of a hash is random, so a conflict with the same hash means that it had.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            INSERT_USER_AND_SESSION if tokens else INSERT_USER,
            vars(new) | (tokens.parameters() if tokens else {}),
        )
        row = await cursor.fetchone() or {}
    user_id, registered_at = row.pop("id"), row.pop("registered_at")
    roster = Roster(**row)
    if user_id is None:
        existing = await select_account(connection, new.username_key)
        is_ours = existing and existing.password_hash == new.password_hash
        return Insertion(existing if is_ours else None, roster, roster.version)
    account = Account(user_id, new.username, registered_at, new.username_key, new.password_hash)
    return Insertion(account, roster, roster.version + 1)  # the trigger adds 1
