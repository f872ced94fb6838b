"""Made-up people, to try a list that is full."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import click
import psycopg
from tqdm import tqdm

from db import Connection
from services.usernames import parse_username

PASSWORD_HASH = "demo"  # noqa: S105 (stands where a hash would; no password has it)
BLOCK = 10_000  # people between two steps of the progress bar
DAYS = 30  # over which they appear to have registered

NAMES = (
    (
        "Mia Noah Zoé Søren José Łukasz Ayşe Emma Kwame Priya Björn Inês",
        ".",
        "Rossi Müller Nguyễn Smith Okafor Silva Novák",
    ),
    ("Зоя Иван Олена Дмитрий Милица", ".", "Иванов Шевченко Петрова Ковач"),
    ("Νίκος Ελένη Γιάννης", "_", "Παππά Νικολάου"),
    ("张 李 王 陈 刘 杨 赵", "", "伟 芳 娜 秀英 敏 静 志强 子涵"),
    ("山田 佐藤 鈴木 高橋", "", "太郎 花子 ハナ さくら"),
    ("김 이 박 최", "", "민준 서연 지우 하윤"),
    ("نور محمد فاطمة ليلى", "_", "حسن علي منصور"),
    ("נועה דוד תמר", "_", "כהן לוי"),
    ("अनीता विकास प्रिया", "_", "शर्मा पटेल"),
    ("สมชาย มาลี ปรีชา", "_", "ใจดี สุขใจ"),
)


class DemoError(Exception):
    """The demo data cannot be added; one line says why."""


async def add_demo_people(database_url: str, count: int, *, among_real_people: bool) -> None:
    """Add made-up people in one change. They cannot sign in.

    They are older than everybody on the list and stand below them: their ids are negative, which no
    other id is, and below those of earlier ones. Raises DemoError where real people have registered,
    unless `among_real_people`.
    """
    async with await Connection.connect(database_url) as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT FROM users WHERE password_hash <> %s LIMIT 1", [PASSWORD_HASH])
        if cursor.rowcount and not among_real_people:
            raise DemoError(
                "Real people have registered here. Nothing was added; --among-real-people adds all the same."
            )
        await cursor.execute(
            "SELECT greatest(max(id), -min(id), 0) + 1, coalesce(min(registered_at), now()) FROM users"
        )
        [first, end] = await cursor.fetchone() or (1, datetime.now(UTC))
        try:
            with tqdm(total=count, unit=" people", unit_scale=True) as progress:
                async with cursor.copy(
                    "COPY users (id, username, username_key, password_hash, registered_at) FROM STDIN"
                ) as copy:
                    for rows in _blocks(first, count, end):
                        await copy.write("".join(rows))
                        progress.update(len(rows))
        except psycopg.errors.UniqueViolation:
            raise DemoError(
                "Somebody has the name of one of the made-up people. Nothing was added; try again."
            ) from None
        await cursor.execute("ANALYZE users")


async def remove_demo_people(database_url: str) -> None:
    """Remove all made-up people in one change; print how many."""
    async with await Connection.connect(database_url) as connection:
        removed = await connection.execute("DELETE FROM users WHERE password_hash = %s", [PASSWORD_HASH])
    people = "person" if removed.rowcount == 1 else "people"
    click.echo(f"{removed.rowcount} made-up {people} removed.")


def _blocks(first: int, count: int, end: datetime) -> Iterator[list[str]]:
    """Yield rows for COPY, the oldest first.

    A number at the end of each name, from `first` on, makes it unique; the id is its negative. The
    newest person has the lowest number, and registered just before `end`.
    """
    names = [
        parse_username(given + separator + family)
        for givens, separator, families in NAMES
        for given, family in product(givens.split(), families.split())
    ]
    step = timedelta(days=DAYS) / count
    end = end.astimezone(UTC).replace(tzinfo=None)  # without a zone it is written faster
    for begin in range(first + count - 1, first - 1, -BLOCK):
        numbers = range(begin, max(begin - BLOCK, first - 1), -1)
        yield [
            f"-{number}\t{name.shown}{number}\t{name.key}{number}\t{PASSWORD_HASH}\t"
            f"{(end - step * (number - first + 1)).isoformat()}+00\n"
            for number, name in zip(numbers, random.choices(names, k=len(numbers)), strict=True)  # noqa: S311
        ]
