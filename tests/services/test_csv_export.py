import csv
import io

import psycopg
import pytest

from db import Database
from services.csv_export import HEADER, escape_formula, generate_csv
from tests.helpers import add_users

HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "＝1+1",
    'a"b',
    '"',
    "a,b",
    "a;b",
    "a\nb",
    "a\r\nb",
    "a'b",
    "张三",
    "\x1b[31m",
    " ",
]


async def read(database: Database) -> tuple[bytes, list[list[str]]]:
    """Return the file, and its rows as a spreadsheet reads them."""
    file = b"".join([part async for part in generate_csv(database)])
    return file, list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))


async def test_an_empty_list_has_the_header_alone(database: Database) -> None:
    file, rows = await read(database)
    assert file == "\ufeffname,registered_at,number\r\n".encode()
    assert rows == [[*HEADER]]


async def test_hostile_names_stay_one_cell_that_no_spreadsheet_runs(
    database: Database, psql: psycopg.Connection
) -> None:
    for name in HOSTILE:
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [name, name]
        )
    file, rows = await read(database)
    assert file.startswith(b"\xef\xbb\xbf")
    assert [name.removeprefix("'") for name, *_ in rows[1:]] == HOSTILE
    assert {len(row) for row in rows} == {3}
    assert [name for name, *_ in rows[1:] if name.startswith("'")] == [f"'{name}" for name in HOSTILE[:7]]


async def test_many_people_are_complete_and_in_order_of_registration(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 2500)
    psql.execute("UPDATE users SET registered_at = '2026-03-05 00:30+01:00'")
    psql.execute("DELETE FROM users WHERE username = 'user1001'")
    file, rows = await read(database)
    names = [f"user{number}" for number in range(1, 2501) if number != 1001]
    time = "2026-03-04T23:30:00Z"
    assert rows[1:] == [[name, time, str(number)] for number, name in enumerate(names, 1)]
    assert file.count("\ufeff".encode()) == 1


async def test_it_comes_in_parts(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, 1001)
    parts = [part async for part in generate_csv(database)]
    assert [part.count(b"\r\n") for part in parts] == [1001, 1]


async def test_people_who_come_and_go_meanwhile_disturb_no_one_else(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 1500)
    parts = generate_csv(database)
    file = await anext(parts)
    psql.execute("DELETE FROM users WHERE username IN ('user1000', 'user1001')")
    add_users(psql, 1, "late")
    file += b"".join([part async for part in parts])
    names = [name for name, *_ in csv.reader(file.decode().splitlines()[1:])]
    assert names == [*(f"user{number}" for number in range(1, 1501) if number != 1001), "late1"]


async def test_it_works_on_one_connection_too(database_url: str, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        file = b"".join([part async for part in generate_csv(connection)])
    assert b'"user1",' in file


@pytest.mark.parametrize("text", ["zoe", "'=1", "a=1", "", "张三"])
def test_other_names_are_as_they_are(text: str) -> None:
    assert escape_formula(text) == text


@pytest.mark.parametrize("name", ["x;=1+1", '";=1+1', 'x";=1+1', "x\t=1+1", "=1;=1"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
async def test_no_other_delimiter_makes_a_cell_that_is_run(
    database: Database, psql: psycopg.Connection, name: str, delimiter: str
) -> None:
    psql.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [name, name]
    )
    file, _ = await read(database)
    text = io.StringIO(file.decode("utf-8-sig"), newline="")
    cells = [cell for row in csv.reader(text, delimiter=delimiter) for cell in row]
    assert [escape_formula(cell) for cell in cells] == cells
