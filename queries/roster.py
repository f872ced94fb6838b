"""The roster's row, with what organisers decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from psycopg import sql
from psycopg.rows import class_row

from db import Connection, retryable, retryable_change

# The columns of a `Roster`, in its order. The browsers of organisers come with it, so that whoever has
# read the list knows without another query who may change it.
COLUMNS = """
    roster.version, roster.size, title, description, open, capacity, invitation,
    ARRAY(SELECT token_hash FROM organisers WHERE expires_at > now() ORDER BY 1) AS organisers
"""


@dataclass(frozen=True)
class Roster:
    """What all pages show above the list.

    `version` rises with every change, `size` is the number of people. `title` and `description` may be
    empty; a `capacity` or an `invitation` of None asks for nothing. `organisers` holds the hashes of
    their browsers' tokens.
    """

    version: int = 0
    size: int = 0
    title: str = ""
    description: str = ""
    open: bool = True
    capacity: int | None = None
    invitation: str | None = field(default=None, repr=False)
    organisers: list[bytes] = field(default_factory=list, repr=False)

    @property
    def is_full(self) -> bool:
        """Whether all places are taken."""
        return self.capacity is not None and self.size >= self.capacity

    @property
    def is_open_to_all(self) -> bool:
        """Whether it is open, has a place, and asks for no code."""
        return self.open and not self.is_full and self.invitation is None

    def etag(self, *names: str) -> str:
        """Return a text that changes with these choices."""
        return sha256(repr([getattr(self, name) for name in names]).encode()).hexdigest()[:16]


class StaleFormError(Exception):
    """Somebody else has changed what the form shows.

    `roster` is how it is now.
    """

    def __init__(self, roster: Roster) -> None:
        super().__init__("the form is stale")
        self.roster = roster


@retryable
async def select_version(connection: Connection) -> int:
    """Return the version of the list."""
    found = await connection.execute("SELECT version FROM roster")
    [version] = await found.fetchone() or (0,)
    return int(version)


@retryable
async def select_roster(connection: Connection) -> Roster:
    """Return the roster's row."""
    return await _select(connection)


@retryable_change
async def update_roster(connection: Connection, choices: Mapping[str, Any], etag: str = "") -> Roster:
    """Change what organisers decide; return the row.

    `choices` are some of title, description, open, capacity and invitation. Raises
    StaleFormError, and changes nothing, if `etag` is neither "" nor that of the present ones.
    """
    async with connection.transaction():
        present = await _select(connection, "FOR UPDATE OF roster")
        if present == replace(present, **choices):  # also when this runs again after it had committed
            return present
        if etag not in ("", present.etag(*choices)):
            raise StaleFormError(present)
        assignments = [
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in choices.items()
        ]
        await connection.execute(sql.SQL("UPDATE roster SET {}").format(sql.SQL(", ").join(assignments)))
        return await _select(connection)


async def _select(connection: Connection, lock: str = "") -> Roster:
    async with connection.cursor(row_factory=class_row(Roster)) as cursor:
        await cursor.execute(f"SELECT {COLUMNS} FROM roster {lock}")  # noqa: S608 (ours)
        return await cursor.fetchone() or Roster()
