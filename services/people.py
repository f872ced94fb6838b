"""Listing and removing people, from the command line."""

from collections.abc import AsyncGenerator

import click

from db import Connection
from queries.user_list import select_users_by_prefix
from queries.users import BLOCK, User, delete_users, generate_users, select_account
from services.csv_export import format_time
from services.terminal import confirm, printable
from services.usernames import fold_prefix, username_key


class PersonNotFoundError(Exception):
    """Nobody has one of these names; one line says which."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Not on the list: {', '.join(map(printable, names))}")


async def find_people(connection: Connection, names: list[str]) -> list[User]:
    """Return the people of those names, each of them once.

    Raises PersonNotFoundError if one of the names is nobody's.
    """
    found = {name: await select_account(connection, username_key(name)) for name in names}
    if missing := [name for name, account in found.items() if account is None]:
        raise PersonNotFoundError(missing)
    return list({account.id: account for account in found.values() if account}.values())


async def list_people(connection: Connection, prefix: str) -> None:
    """Print time of registration and name of people, a line each.

    That is everybody in order of registration, or those whose name begins with `prefix` in
    alphabetical order.
    """
    key = fold_prefix(prefix)
    blocks = _blocks_by_prefix(connection, key) if key else generate_users(connection)
    async for people in blocks:
        click.echo(
            "\n".join(f"{format_time(user.registered_at)} {printable(user.username)}" for user in people)
        )


async def remove_people(connection: Connection, names: list[str], *, ask: bool) -> None:
    """Remove people in one change; print how many.

    If `ask`, that is only after a question. Raises PersonNotFoundError, and removes nobody, if one of
    the names is nobody's.
    """
    people = await find_people(connection, names)
    if ask:
        confirm(f"Remove {', '.join(printable(user.username) for user in people)}?")
    removed = await delete_users(connection, [user.id for user in people])
    click.echo(f"{len(removed)} {'person' if len(removed) == 1 else 'people'} removed.")


async def _blocks_by_prefix(connection: Connection, prefix: str) -> AsyncGenerator[list[User], None]:
    last_key = ""
    while rows := await select_users_by_prefix(connection, prefix, last_key, BLOCK):
        yield [user for _, user in rows]
        last_key = rows[-1][0]
