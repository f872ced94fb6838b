"""The commands for operators: `python cli.py --help`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import click

import db
from services import embedded_postgres
from services.demo_people import DemoError, add_demo_people, remove_demo_people
from services.login_import import ImportLoginError, import_login
from services.logs import set_up_output
from services.stop_signal import StopSignal
from settings import VERSION, BadSettingError, read_settings

ERRORS = (
    BadSettingError,
    DemoError,
    ImportLoginError,
    db.SchemaError,
    embedded_postgres.EmbeddedPostgresError,
)


@click.group(help="What an operator of Roster does by hand, on the same settings as serve.py.")
@click.version_option(VERSION, prog_name="Roster")
def main() -> None:
    """Read the command line."""
    set_up_output()


@main.command()
@click.argument("count", type=click.IntRange(1, 100_000_000), required=False)
@click.option("--among-real-people", is_flag=True, help="Add them even if real people have registered.")
@click.option("--remove", is_flag=True, help="Remove all made-up people, and nobody else.")
def demo(count: int | None, *, among_real_people: bool, remove: bool) -> None:
    """Add COUNT made-up people to the list.

    They appear older than everybody there.
    """
    if remove and count is None:
        run(remove_demo_people)
    elif count is not None and not remove:
        run(lambda url: add_demo_people(url, count, among_real_people=among_real_people))
    else:
        raise click.UsageError("Give either COUNT or --remove.")


@main.command("import-login")
@click.option("--from", "source", metavar="DSN", required=True, help="The database that holds the table.")
def import_login_command(source: str) -> None:
    """Copy the people of a table login(username, password).

    Its passwords are plain text; here they are hashed.
    """
    run(lambda url: import_login(url, source))


@main.command()
def migrate() -> None:
    """Bring the schema up to date, even if MIGRATE is off.

    Give it the role that owns the tables in DATABASE_URL.
    """
    run(_migrate, migrate_first=False)


async def _migrate(url: str) -> None:
    names = await db.migrate(url)
    click.echo("\n".join(f"Applied {name}" for name in names) or "The schema is up to date.")


def run(command: Callable[[str], Coroutine[Any, Any, None]], *, migrate_first: bool = True) -> None:
    """Run a command on the database, which is migrated first.

    The exit status is 1 if it fails, and 130 if it is interrupted.
    """
    try:
        asyncio.run(_run_on_database(command, migrate_first=migrate_first))
    except ERRORS as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)


async def _run_on_database(
    command: Callable[[str], Coroutine[Any, Any, None]], *, migrate_first: bool
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
            await command(url)


if __name__ == "__main__":
    main()
