"""The counters of the rate limits, which all processes share."""

from datetime import timedelta

from db import Connection, retryable


@retryable
async def consume(connection: Connection, key: str, count: int, seconds: int) -> float:
    """Count one request of `key`; return the seconds to wait.

    They are 0 unless the request is over the limit.

    `count` are allowed at once and come back evenly, all of them in `seconds` (GCRA, the generic
    cell rate algorithm of ATM Forum TM 4.0). Each call also deletes a few counters that are full
    again.
    """
    found = await connection.execute(
        """
        WITH consumed AS (
            INSERT INTO rate_limits AS l VALUES (%(key)s, now() + %(one)s)
            ON CONFLICT (key) DO UPDATE SET full_at = %(one)s
                + CASE WHEN l.full_at < now() + 2 * %(all)s THEN greatest(l.full_at, now()) ELSE now() END
            -- Not now(): a request that began a moment earlier may come here a moment later.
            WHERE greatest(l.full_at, now()) + %(one)s <= clock_timestamp() + %(all)s
               OR l.full_at >= now() + 2 * %(all)s  -- the clock was set back
            RETURNING key
        ), deleted AS (
            -- After the other, and it waits for nobody: two requests can then not wait for each other.
            DELETE FROM rate_limits WHERE (SELECT count(*) FROM consumed) >= 0 AND key = ANY (ARRAY(
                SELECT key FROM rate_limits WHERE full_at < now() AND key <> %(key)s
                ORDER BY full_at LIMIT 4 FOR UPDATE SKIP LOCKED
            ))
        )
        SELECT CASE WHEN EXISTS (SELECT FROM consumed) THEN 0 ELSE greatest(0.001, (
            SELECT extract(epoch FROM full_at + %(one)s - %(all)s - now())
            FROM rate_limits WHERE key = %(key)s
        )) END
        """,
        {"key": key, "one": timedelta(seconds=seconds / count), "all": timedelta(seconds=seconds)},
    )
    [wait] = await found.fetchone() or (0,)
    return float(wait)


@retryable
async def refund(connection: Connection, key: str, count: int, seconds: int) -> None:
    """Take back one request of `key` that `consume` has counted."""
    one = timedelta(seconds=seconds / count)
    await connection.execute("UPDATE rate_limits SET full_at = full_at - %s WHERE key = %s", [one, key])
