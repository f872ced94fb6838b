"""The one-time links that the programs for operators print."""

import asyncio
from contextlib import suppress

import click
import psycopg

from db import Connection
from queries.one_time_links import insert_link
from queries.organisers import delete_organisers
from services.people import PersonNotFoundError, find_people
from services.share_origin import link_origin
from services.terminal import print_qr_code, printable
from services.tokens import hash_token, new_token
from settings import Settings

STORE_SECONDS = 5  # in which a start stores its link, or goes on without one


async def create_organiser_url(connection: Connection, settings: Settings) -> str:
    """Store a new link that makes a browser an organiser's.

    Return its URL. Raises UnknownPortError, see `link_origin`.
    """
    url, token = f"{link_origin(settings)}/organise/", new_token()
    await insert_link(connection, hash_token(token))
    return url + token


async def try_to_create_organiser_url(settings: Settings) -> str:
    """Return the URL of a new link, "" if it cannot be stored.

    That is so in a database that is read-only, for example.
    """
    with suppress(psycopg.Error, TimeoutError):
        async with (
            asyncio.timeout(STORE_SECONDS),
            await Connection.connect(settings.database_url, autocommit=True) as connection,
        ):
            return await create_organiser_url(connection, settings)
    return ""


async def print_organiser_url(connection: Connection, settings: Settings) -> None:
    """Print a new link that makes a browser an organiser's."""
    url = await create_organiser_url(connection, settings)
    _print_url(url, "Open it in the browser that is to be the organiser's.")


async def print_reset_url(connection: Connection, settings: Settings, name: str) -> None:
    """Print a new link with which somebody sets a new password.

    Raises PersonNotFoundError if nobody has that name.
    """
    url, token = f"{link_origin(settings)}/reset/", new_token()
    [user] = await find_people(connection, [name])
    if not await insert_link(connection, hash_token(token), user):
        raise PersonNotFoundError([name])
    _print_url(url + token, f"With it {printable(user.username)} sets a new password.")


async def revoke_organisers(connection: Connection) -> None:
    """Let no browser be an organiser's any more; print how many."""
    count = await delete_organisers(connection)
    browsers = "browser was" if count == 1 else "browsers were"
    click.echo(f"{count} {browsers} an organiser's. Now none is.")


def _print_url(url: str, purpose: str) -> None:
    click.echo(url)
    click.echo(f"{purpose} It works once, within an hour.")
    print_qr_code(url)
