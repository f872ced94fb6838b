"""Statements that a change costs the database, however many people watch."""

import uvloop

from benchmarks.crowd import watching
from benchmarks.roster import StatementLog, connect, fresh_roster, insert_person, section
from tests.helpers import Server

COUNTS = 1, 1000
CHANGES = 20


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        figures = uvloop.run(_measure(roster))
    return section(
        "Statements for each change",
        f"""
{CHANGES} people are inserted, one when all viewers have the one before; counted in the log of the database
server (`log_statement = all`), the inserts themselves left out.
""",
        ("viewers", "statements a change", "target"),
        [
            (f"{count:,}", f"{figure:.2f}", "" if count == 1 else "the same number")
            for count, figure in figures.items()
        ],
    )


async def _measure(roster: Server) -> dict[int, float]:
    figures = {}
    with connect(roster) as connection:
        statements = StatementLog(connection)
        for count in COUNTS:
            async with watching(roster.url, count) as crowd:
                await crowd.reach(insert_person(connection))
                statements.count()
                for _ in range(CHANGES):
                    await crowd.reach(insert_person(connection))
                figures[count] = statements.count() / CHANGES
    return figures
