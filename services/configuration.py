"""What an operator decides in place of an organiser."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from db import Connection
from queries.roster import Roster, select_roster, update_roster
from services.registration_rules import new_invitation
from services.roster_choices import parse_capacity, parse_description, parse_title
from services.terminal import printable

# For each option, what makes a column's value of it.
PARSERS: dict[str, Callable[[Any], Any]] = {
    "title": parse_title,
    "description": parse_description,
    "open": bool,
    "capacity": lambda text: parse_capacity("" if text == "none" else text),
    "invitation": lambda action: new_invitation() if action == "new" else None,
}


async def configure(connection: Connection, options: Mapping[str, Any]) -> None:
    """Change what the options name, in one change; print all.

    Options that are None are left out. Raises ValidationError, and changes nothing, if a value is not
    allowed.
    """
    choices = {name: PARSERS[name](value) for name, value in options.items() if value is not None}
    roster = await update_roster(connection, choices) if choices else await select_roster(connection)
    click.echo(_format(roster))


def _format(roster: Roster) -> str:
    lines = {
        "title": printable(roster.title),
        "description": printable(roster.description),
        "registration": "open" if roster.open else "closed",
        "capacity": roster.capacity or "none",
        "invitation": roster.invitation or "none",
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items())
