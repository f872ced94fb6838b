"""Copying people from a table login(username, password).

A well-known lesson makes such a table.
"""

import asyncio
import math
import sys
from collections import Counter

import click
import psycopg
from tqdm import tqdm

from db import Connection, with_connect_timeout
from queries.users import insert_users, select_existing_keys
from services.passwords import PasswordHasher, normalize_password
from services.usernames import Username, parse_username
from services.validation import ValidationError
from settings import mask_password, parse_database_url

BLOCK = 100  # people between two changes of the list; they wait in the queue of the hasher

Row = tuple[str | None, str | None]


class ImportLoginError(Exception):
    """The `login` table cannot be read; one line says why."""


async def import_login(database_url: str, source: str) -> None:
    """Copy the people of the table `login` at `source`.

    Passwords are plain text there, and hashed here; weak ones too, since people know no others yet.
    People who exist already are skipped, so this can run again. It prints each row that is refused
    and why, never a password, and at the end how many people were imported. Raises ImportLoginError
    when the table cannot be read.
    """
    try:
        parse_database_url(source)
    except ValueError as error:
        raise ImportLoginError(f"--from {mask_password(source)!r} is not allowed: {error}") from None
    hasher = PasswordHasher(min_length=1, queue_seconds=math.inf)
    results: Counter[str] = Counter()
    try:
        async with (
            await Connection.connect(with_connect_timeout(source), client_encoding="utf8") as origin,
            await Connection.connect(database_url, autocommit=True) as target,
            origin.cursor(name="login") as rows,
        ):
            counted = await origin.execute("SELECT count(*) FROM login")
            [total] = await counted.fetchone() or (0,)
            await rows.execute("SELECT username::text, password::text FROM login")
            with tqdm(total=total, unit=" people") as progress:
                while block := await rows.fetchmany(BLOCK):
                    results += await _import_block(target, hasher, block)
                    progress.update(len(block))
    except (psycopg.Error, UnicodeError) as error:
        reason = mask_password(" ".join(str(error).split()))
        raise ImportLoginError(f"The table login cannot be imported: {reason}") from None
    finally:
        hasher.close()
    new, existing, refused = (results[outcome] for outcome in ("new", "existing", "refused"))
    click.echo(f"{new} imported, {existing} existed already, {refused} refused.")


async def _import_block(target: Connection, hasher: PasswordHasher, block: list[Row]) -> Counter[str]:
    allowed: list[tuple[Username, str]] = []
    for typed, password in block:
        try:
            allowed.append((parse_username(typed or ""), normalize_password(password or "")))
        except ValidationError as error:
            shown = ascii(typed) if typed and not typed.isprintable() else typed
            tqdm.write(f"Refused {shown!s:.40}: {error}", sys.stdout)
    existing = await select_existing_keys(target, [username.key for username, _ in allowed])
    new = [(username, password) for username, password in allowed if username.key not in existing]
    hashes = await asyncio.gather(*(hasher.hash(password) for _, password in new))
    inserted = await insert_users(
        target, [username.shown for username, _ in new], [username.key for username, _ in new], hashes
    )
    return Counter(new=inserted, existing=len(allowed) - inserted, refused=len(block) - len(allowed))
