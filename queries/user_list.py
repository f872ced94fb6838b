"""The pages of the list, and their cursors.

The newest people come first; those of a search come in alphabetical order.
"""

import base64
import json
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from psycopg import sql

from db import Connection, retryable
from queries.roster import COLUMNS, Roster
from queries.users import BIGINT, User

PAGE_SIZE = 50
LAST_CHARACTER = "\U0010ffff"  # Unicode's last code point, which no user name has
USER_COLUMNS = 4  # at the end of each row: the position, and what a User has


@dataclass(frozen=True)
class UserPage:
    """A page of the list, with the roster's row.

    Without a `prefix` the newest people come first; with one, those whose key begins with it, in
    alphabetical order. `before` and `after` are the cursors of the neighbouring pages, None where
    there is none.
    """

    roster: Roster
    users: list[User]
    prefix: str = ""
    before: str | None = None
    after: str | None = None

    @property
    def is_newest(self) -> bool:
        """Whether this page shows the newest people."""
        return not self.prefix and self.after is None

    def place_of(self, user: User) -> int | None:
        """Return a user's place among all: 1 registered first.

        None if this is not the page of the newest people, or the user is not on it.
        """
        ids = [other.id for other in self.users]
        return self.roster.size - ids.index(user.id) if self.is_newest and user.id in ids else None


class _Rows(NamedTuple):
    """Up to a page of users and one more, with their positions."""

    roster: Roster
    users: list[User]
    positions: list[int | str]


@retryable
async def select_user_page(
    connection: Connection, *, prefix: str = "", before: str = "", after: str = ""
) -> UserPage:
    """Return the page of the list before or after a cursor.

    Without a cursor that is the first page.

    A cursor that cannot be read, is of another order or has no (full) page beyond it counts as none.
    """
    next_cursor, previous_cursor = (after, before) if prefix else (before, after)
    page = None
    if previous_cursor and (position := _decode_cursor(previous_cursor, prefix)) is not None:
        page = await _select_previous_page(connection, prefix, position)
    elif next_cursor and (position := _decode_cursor(next_cursor, prefix)) is not None:
        page = await _select_next_page(connection, prefix, position)
    return page or await _select_first_page(connection, prefix)


@retryable
async def select_users_by_prefix(
    connection: Connection, prefix: str, after: str, count: int
) -> list[tuple[str, User]]:
    """Return users whose key begins with `prefix`, each with it.

    They are in order of their keys, begin after the key `after`, and are at most `count`.
    """
    found = await connection.execute(
        """
        SELECT username_key, id, username, registered_at FROM users
        WHERE username_key >= %(prefix)s AND username_key < %(end)s AND username_key > %(after)s
        ORDER BY username_key LIMIT %(count)s
        """,
        {"prefix": prefix, "end": prefix + LAST_CHARACTER, "after": after, "count": count},
    )
    return [(key, User(*user)) async for key, *user in found]


async def _select_first_page(connection: Connection, prefix: str) -> UserPage:
    rows = await _select_rows(connection, prefix)
    has_next = len(rows.users) > PAGE_SIZE
    return _build_page(rows, prefix, slice(PAGE_SIZE), has_previous=False, has_next=has_next)


async def _select_next_page(connection: Connection, prefix: str, position: int | str) -> UserPage | None:
    rows = await _select_rows(connection, prefix, position)
    if not rows.users:
        return None
    has_next = len(rows.users) > PAGE_SIZE
    return _build_page(rows, prefix, slice(PAGE_SIZE), has_previous=True, has_next=has_next)


async def _select_previous_page(connection: Connection, prefix: str, position: int | str) -> UserPage | None:
    """Return None if what comes before is the first page."""
    rows = await _select_rows(connection, prefix, position, backwards=True)
    if len(rows.users) <= PAGE_SIZE:
        return None
    return _build_page(rows, prefix, slice(PAGE_SIZE - 1, None, -1), has_previous=True, has_next=True)


async def _select_rows(
    connection: Connection, prefix: str, position: int | str | None = None, *, backwards: bool = False
) -> _Rows:
    by_name = bool(prefix)
    descending = backwards if by_name else not backwards
    found = await connection.execute(
        _statement(by_name=by_name, from_position=position is not None, descending=descending),
        {"prefix": prefix, "end": prefix + LAST_CHARACTER, "position": position},
    )
    rows = await found.fetchall()
    roster = Roster(*rows[0][:-USER_COLUMNS])
    # Where nobody is found there is one row, with the roster's columns alone.
    people = [row[-USER_COLUMNS:] for row in rows if row[-1] is not None]
    return _Rows(roster, [User(*user) for _, *user in people], [position for position, *_ in people])


@cache
def _statement(*, by_name: bool, from_position: bool, descending: bool) -> bytes:
    """Return the statement for one order and direction."""
    column = sql.Identifier("username_key" if by_name else "id")
    direction = sql.SQL("DESC" if descending else "ASC")
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if by_name:  # a range, because LIKE with a parameter cannot use the index in a generic plan
        conditions += [sql.SQL("username_key >= %(prefix)s AND username_key < %(end)s")]
    if from_position:
        conditions += [sql.SQL("{} < %(position)s" if descending else "{} > %(position)s").format(column)]
    statement = sql.SQL(
        """
        SELECT {roster}, page.*
        FROM roster LEFT JOIN LATERAL (
            SELECT {column} AS position, id, username, registered_at FROM users
            WHERE {conditions}
            ORDER BY {column} {direction} LIMIT {limit}
        ) AS page ON true
        ORDER BY page.position {direction}
        """
    )
    return statement.format(
        roster=sql.SQL(COLUMNS),
        column=column,
        direction=direction,
        conditions=sql.SQL(" AND ").join(conditions),
        limit=sql.Literal(PAGE_SIZE + 1),
    ).as_bytes()


def _build_page(rows: _Rows, prefix: str, shown: slice, *, has_previous: bool, has_next: bool) -> UserPage:
    positions = rows.positions[shown]
    previous_cursor = _encode_cursor(positions[0]) if has_previous else None
    next_cursor = _encode_cursor(positions[-1]) if has_next else None
    before, after = (previous_cursor, next_cursor) if prefix else (next_cursor, previous_cursor)
    return UserPage(rows.roster, rows.users[shown], prefix, before, after)


def _encode_cursor(position: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, prefix: str) -> int | str | None:
    """Return the cursor's position, None if it has none here."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    if prefix:
        return position if isinstance(position, str) and position.isprintable() else None
    return position if type(position) is int and abs(position) < BIGINT else None
