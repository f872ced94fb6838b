"""The commands for operators: `python cli.py --help`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import click
import psycopg

import db
from services import embedded_postgres
from services.configuration import configure
from services.csv_file import CsvFileError, export_csv, is_existing_file
from services.demo_people import DemoError, add_demo_people, remove_demo_people
from services.login_import import ImportLoginError, import_login
from services.logs import set_up_output
from services.one_time_urls import print_organiser_url, print_reset_url, revoke_organisers
from services.people import PersonNotFoundError, list_people, remove_people
from services.share_origin import UnknownPortError
from services.stop_signal import StopSignal
from services.terminal import confirm, printable
from services.validation import ValidationError
from settings import VERSION, BadSettingError, Settings, read_settings

ERRORS = (
    BadSettingError,
    CsvFileError,
    DemoError,
    ImportLoginError,
    OSError,  # of the output, such as a full disk
    PersonNotFoundError,
    UnknownPortError,
    ValidationError,
    db.SchemaError,
    embedded_postgres.EmbeddedPostgresError,
    psycopg.Error,
)

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(help="What an operator of Roster does by hand, on the same settings as serve.py.")
@click.version_option(VERSION, prog_name="Roster")
def main() -> None:
    """Read the command line."""
    set_up_output()


@main.command()
@click.option("--revoke", is_flag=True, help="End this for all browsers, and all links for it.")
@yes_option
def organiser(*, revoke: bool, yes: bool) -> None:
    """Print a link that makes a browser an organiser's.

    It works once, within an hour.
    """
    if not revoke:
        run_connected(print_organiser_url)
        return
    if not yes:
        confirm("No browser will be an organiser's any more. Go on?")
    run_connected(lambda connection, _: revoke_organisers(connection))


@main.command("configure")
@click.option("--title", help='The title of the page; "" for none.')
@click.option("--description", help='What stands below the title; "" for nothing.')
@click.option("--open/--closed", default=None, help="Whether people may register.")
@click.option("--capacity", metavar="N|none", help="How many people may be on the list.")
@click.option("--invitation", type=click.Choice(["new", "off"]), help="Ask for a new code, or for none.")
def configure_command(**options: str | bool | None) -> None:
    """Change what organisers decide, and print it.

    Without options nothing is changed.
    """
    run_connected(lambda connection, _: configure(connection, options))


@main.command("list")
@click.argument("prefix", default="")
def list_command(prefix: str) -> None:
    """Print when people registered, and their names.

    With PREFIX these are those whose name begins with it.
    """
    run_connected(lambda connection, _: list_people(connection, prefix))


@main.command()
@click.argument("file", default="-")
@yes_option
def export(file: str, *, yes: bool) -> None:
    """Write the list to FILE, or to stdout, as CSV."""
    if is_existing_file(file) and not yes:
        confirm(f"{printable(file)} exists. Overwrite it?")
    run_connected(lambda connection, _: export_csv(connection, file))


@main.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@yes_option
def remove(names: tuple[str, ...], *, yes: bool) -> None:
    """Remove people from the list, and their accounts."""
    run_connected(lambda connection, _: remove_people(connection, [*names], ask=not yes))


@main.command()
@click.argument("name")
def reset(name: str) -> None:
    """Print a link with which somebody sets a new password.

    It works once, within an hour.
    """
    run_connected(lambda connection, settings: print_reset_url(connection, settings, name))


@main.command()
@click.argument("count", type=click.IntRange(1, 100_000_000), required=False)
@click.option("--among-real-people", is_flag=True, help="Add them even if real people have registered.")
@click.option("--remove", is_flag=True, help="Remove all made-up people, and nobody else.")
def demo(count: int | None, *, among_real_people: bool, remove: bool) -> None:
    """Add COUNT made-up people to the list.

    They appear older than everybody there.
    """
    if remove and count is None:
        run(lambda settings: remove_demo_people(settings.database_url))
    elif count is not None and not remove:
        run(
            lambda settings: add_demo_people(
                settings.database_url, count, among_real_people=among_real_people
            )
        )
    else:
        raise click.UsageError("Give either COUNT or --remove.")


@main.command("import-login")
@click.option("--from", "source", metavar="DSN", required=True, help="The database that holds the table.")
def import_login_command(source: str) -> None:
    """Copy the people of a table login(username, password).

    Its passwords are plain text; here they are hashed.
    """
    run(lambda settings: import_login(settings.database_url, source))


@main.command()
def migrate() -> None:
    """Bring the schema up to date, even if MIGRATE is off.

    Give it the role that owns the tables in DATABASE_URL.
    """
    run(_migrate, migrate_first=False)


async def _migrate(settings: Settings) -> None:
    names = await db.migrate(settings.database_url)
    click.echo("\n".join(f"Applied {name}" for name in names) or "The schema is up to date.")


def run_connected(command: Callable[[db.Connection, Settings], Coroutine[Any, Any, None]]) -> None:
    """Run a command on a connection, see `run`."""

    async def connect_and_run(settings: Settings) -> None:
        # No prepared statements: behind PgBouncer each statement may run on another connection.
        async with await db.Connection.connect(
            settings.database_url, autocommit=True, prepare_threshold=None
        ) as connection:
            await command(connection, settings)

    run(connect_and_run)


def run(command: Callable[[Settings], Coroutine[Any, Any, None]], *, migrate_first: bool = True) -> None:
    """Run a command; `database_url` is set in its settings.

    The database is migrated first. The exit status is 1 if the command fails, and 130 if it is
    interrupted.
    """
    try:
        asyncio.run(_run_on_database(command, migrate_first=migrate_first))
    except BrokenPipeError:
        raise  # click ends quietly, as `head` expects it
    except ERRORS as error:
        click.echo(" ".join(str(error).split()), err=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)


async def _run_on_database(
    command: Callable[[Settings], Coroutine[Any, Any, None]], *, migrate_first: bool
) -> None:
    settings = read_settings()
    stop_signal = StopSignal()
    async with AsyncExitStack() as stack:
        with stop_signal.cancels_task():
            url = settings.database_url or await stack.enter_async_context(
                embedded_postgres.connect_or_run(settings.data_dir)
            )
            if migrate_first:
                await (db.migrate if settings.migrate else db.check_migrated)(url)
            await command(replace(settings, database_url=url))


if __name__ == "__main__":
    main()
