"""What an operator does by hand: `python cli.py demo 1000000`."""

import argparse
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product

import psycopg
from tqdm import tqdm

import db
import embedded
from accounts import parse_username
from settings import BadSettingError, read_settings

NO_PASSWORD = "demo"  # noqa: S105 (stands where a hash would; no password has it)
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
    """The demo data cannot be filled in; the text says why in one line."""


def main() -> int:
    """Do what the command line asks. Return the exit status: 1 if it could not be done."""
    parser = argparse.ArgumentParser(description="What an operator of Roster does by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="fill the database with made-up people")
    demo.add_argument("count", type=_count, help="how many people")
    demo.add_argument("--among-real-people", action="store_true", help="even if real people have registered")
    arguments = parser.parse_args()
    try:
        settings = read_settings()
        with ExitStack() as stack:
            url = settings.database_url or stack.enter_context(embedded.reached(settings.data_dir))
            db.migrate(url)
            add_demo_people(url, arguments.count, among_real_people=arguments.among_real_people)
    except (BadSettingError, embedded.EmbeddedError, db.SchemaError, DemoError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= 10**8):
        message = "write a whole number from 1 to 100000000"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def add_demo_people(database_url: str, count: int, *, among_real_people: bool) -> None:
    """Add made-up people, who cannot sign in, in one change; with a progress bar.

    Raises DemoError where real people have registered, unless `among_real_people`.
    """
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        real = cursor.execute("SELECT FROM users WHERE password_hash <> %s LIMIT 1", [NO_PASSWORD]).rowcount
        if real and not among_real_people:
            message = (
                "Real people have registered here. Nothing was added; --among-real-people adds all the same."
            )
            raise DemoError(message)
        cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM users")
        [first] = cursor.fetchone() or (1,)
        try:
            with (
                tqdm(total=count, unit=" people", unit_scale=True) as progress,
                cursor.copy(
                    "COPY users (username, username_key, password_hash, registered_at) FROM STDIN"
                ) as copy,
            ):
                for rows in _blocks(first, count):
                    copy.write("".join(rows))
                    progress.update(len(rows))
        except psycopg.errors.UniqueViolation:
            message = "Somebody has the name of one of the made-up people. Nothing was added; try again."
            raise DemoError(message) from None
        cursor.execute("ANALYZE users")


def _blocks(first: int, count: int) -> Iterator[list[str]]:
    """Yield rows for COPY; a number at the end of each name, from `first` on, makes it the only one."""
    names = [
        parse_username(given + joint + family)
        for givens, joint, families in NAMES
        for given, family in product(givens.split(), families.split())
    ]
    step = timedelta(days=DAYS) / count
    start = datetime.now(UTC) - step * count
    for begin in range(0, count, BLOCK):
        numbers = range(begin, min(begin + BLOCK, count))
        yield [
            f"{name.shown}{first + n}\t{name.key}{first + n}\t{NO_PASSWORD}\t{start + step * n}\n"
            for n, name in zip(numbers, random.choices(names, k=len(numbers)), strict=True)  # noqa: S311
        ]


if __name__ == "__main__":
    sys.exit(main())
