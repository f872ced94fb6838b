"""The list as a CSV file, or on stdout."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from db import Connection
from queries.roster import select_roster
from queries.users import BLOCK
from services.csv_export import generate_csv
from services.terminal import printable


class CsvFileError(Exception):
    """The file cannot be written; one line says why."""


def is_existing_file(file: str) -> bool:
    """Return whether an export would take the place of a file."""
    try:
        return file != "-" and Path(file).is_file()
    except OSError:  # such as a name that is too long
        return False


async def export_csv(connection: Connection, file: str) -> None:
    """Write the list to a file, or to stdout if that is "-".

    Raises CsvFileError, and leaves the file as it was, if it cannot be written.
    """
    with _open_stdout() if file == "-" else _replace_file(Path(file)) as output:
        total = (await select_roster(connection)).size
        with tqdm(total=total, unit=" people", unit_scale=True, delay=1) as progress:
            async for part in generate_csv(connection):
                output.write(part)
                progress.update(min(BLOCK, total - progress.n))


@contextmanager
def _open_stdout() -> Iterator[BinaryIO]:
    if sys.stdout is None:
        raise CsvFileError("stdout is closed: name a file")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _replace_file(file: Path) -> Iterator[BinaryIO]:
    """Open a file that takes another's place at the end.

    If the block fails, the other one stays as it was.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe or a device stays what it is
            with file.open("wb") as output:
                yield output
            return
        target = file.resolve()
        temporary = target.with_name(f".{secrets.token_hex(8)}.csv")
        try:
            with temporary.open("xb") as output:
                if target.exists():
                    shutil.copymode(target, temporary)
                yield output
                output.flush()
                os.fsync(output.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # ValueError: it holds a NUL; RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        raise CsvFileError(f"{printable(str(file))} cannot be written: {reason}") from None
