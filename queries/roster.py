"""The roster's row, which each change of the list updates."""

from db import Connection, retryable


@retryable
async def select_version(connection: Connection) -> int:
    """Return the version of the list."""
    found = await connection.execute("SELECT version FROM roster")
    [version] = await found.fetchone() or (0,)
    return int(version)
