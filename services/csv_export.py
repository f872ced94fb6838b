"""The list as CSV, for spreadsheets."""

import csv
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from io import StringIO

from db import Connection, Database
from queries.users import generate_users

HEADER = "name", "registered_at", "number"
# A spreadsheet takes what begins with these for a formula (OWASP: CSV Injection), full-width ones too.
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


async def generate_csv(database: Database | Connection) -> AsyncGenerator[bytes, None]:
    """Yield the file in parts: UTF-8 with a byte order mark.

    It has a line for each person, in order of registration: name, time (ISO 8601, UTC) and number. Each
    part is one query, so that neither memory nor a connection is held for as long as a download takes.
    """
    text = StringIO("\ufeff", newline="")
    text.seek(0, 2)
    csv.writer(text).writerow(HEADER)
    # Where the decimal separator is a comma, Excel splits at semicolons, but not within quotes.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    number = 0
    async for users in generate_users(database):
        for user in users:
            number += 1
            writer.writerow([escape_formula(user.username), format_time(user.registered_at), number])
        yield _take(text)
    if not number:
        yield _take(text)


def escape_formula(text: str) -> str:
    """Return a cell that no spreadsheet runs."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def format_time(time: datetime) -> str:
    """Return a time in UTC (ISO 8601)."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _take(text: StringIO) -> bytes:
    """Return what was written, and empty it."""
    written = text.getvalue().encode(errors="replace")
    text.seek(0)
    text.truncate()
    return written
