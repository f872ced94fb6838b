"""What an operator does by hand: `python cli.py demo 1000000`, `python cli.py import-login --from DSN`."""

import argparse
import asyncio
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product

import psycopg
from tqdm import tqdm

import db
import embedded
from accounts import Passwords, RefusedError, Username, normalise_password, parse_username
from settings import BadSettingError, mask_password, parse_database_url, read_settings

NO_PASSWORD = "demo"  # noqa: S105 (stands where a hash would; no password has it)
BLOCK = 10_000  # people between two steps of the progress bar
IMPORT_BLOCK = 100  # people between two changes of the list; they wait in the queue of `Passwords`
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


class ImportLoginError(Exception):
    """The `login` table cannot be read; the text says why in one line."""


def main() -> int:
    """Do what the command line asks. Return the exit status: 1 if it could not be done."""
    parser = argparse.ArgumentParser(description="What an operator of Roster does by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="fill the database with made-up people")
    demo.add_argument("count", type=_count, help="how many people")
    demo.add_argument("--among-real-people", action="store_true", help="even if real people have registered")
    login = commands.add_parser(
        "import-login",
        help="bring along the people of a table login(username, password) with plain-text passwords",
    )
    login.add_argument(
        "--from", dest="source", metavar="DSN", required=True, help="the database that holds it"
    )
    arguments = parser.parse_args()
    try:
        settings = read_settings()
        with ExitStack() as stack:
            url = settings.database_url or stack.enter_context(embedded.reached(settings.data_dir))
            db.migrate(url)
            if arguments.command == "demo":
                add_demo_people(url, arguments.count, among_real_people=arguments.among_real_people)
            else:
                asyncio.run(import_login(url, arguments.source))
    except (BadSettingError, embedded.EmbeddedError, db.SchemaError, DemoError, ImportLoginError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201
        return 130
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
    start = datetime.now(UTC).replace(tzinfo=None) - step * count  # without a zone it is written faster
    for begin in range(0, count, BLOCK):
        numbers = range(begin, min(begin + BLOCK, count))
        yield [
            f"{name.shown}{first + n}\t{name.key}{first + n}\t{NO_PASSWORD}\t"
            f"{(start + step * n).isoformat()}+00\n"
            for n, name in zip(numbers, random.choices(names, k=len(numbers)), strict=True)  # noqa: S311
        ]


async def import_login(database_url: str, source: str) -> None:
    """Bring along the people of the table login(username, password) in the database at `source`.

    Their passwords, which there are plain text, are hashed here; weak ones too, since people know no
    others yet. Who exists already stays as they are, so it can be repeated. Prints each row that is
    refused and why, never a password, and last how many were brought along. Raises ImportLoginError
    when the table cannot be read.
    """
    try:
        parse_database_url(source)
    except ValueError as error:
        raise ImportLoginError(f"--from {mask_password(source)!r} is not allowed: {error}") from None
    passwords = Passwords(min_length=1, wait_seconds=math.inf)
    results: Counter[str] = Counter()
    try:
        async with (
            await psycopg.AsyncConnection.connect(db.with_timeout(source), client_encoding="utf8") as there,
            await psycopg.AsyncConnection.connect(database_url, autocommit=True) as here,
            there.cursor(name="login") as rows,
        ):
            counted = await there.execute("SELECT count(*) FROM login")
            [total] = await counted.fetchone() or (0,)
            await rows.execute("SELECT username::text, password::text FROM login")
            with tqdm(total=total, unit=" people") as progress:
                while block := await rows.fetchmany(IMPORT_BLOCK):
                    results += await _import_block(here, passwords, block)
                    progress.update(len(block))
    except (psycopg.Error, UnicodeError) as error:
        reason = mask_password(" ".join(str(error).split()))
        message = f"The table login cannot be brought along: {reason}"
        raise ImportLoginError(message) from None
    finally:
        passwords.close()
    new, existing, refused = (results[outcome] for outcome in ("new", "existing", "refused"))
    print(f"{new} brought along, {existing} existed already, {refused} refused.")  # noqa: T201


async def _import_block(
    here: psycopg.AsyncConnection, passwords: Passwords, block: list[tuple[str | None, str | None]]
) -> Counter[str]:
    allowed: list[tuple[Username, str]] = []
    for typed, password in block:
        try:
            allowed.append((parse_username(typed or ""), normalise_password(password or "")))
        except RefusedError as refusal:
            shown = ascii(typed) if typed and not typed.isprintable() else typed
            tqdm.write(f"Refused {shown!s:.40}: {refusal}", sys.stdout)
    existing = await db.select_existing_keys(here, [username.key for username, _ in allowed])
    new = [(username, password) for username, password in allowed if username.key not in existing]
    hashes = await asyncio.gather(*(passwords.hash_old(password) for _, password in new))
    inserted = await db.insert_users(
        here, [username.shown for username, _ in new], [username.key for username, _ in new], hashes
    )
    return Counter(new=inserted, existing=len(allowed) - inserted, refused=len(block) - len(allowed))


if __name__ == "__main__":
    sys.exit(main())
