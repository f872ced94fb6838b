"""Creates the peers' database and fills it: `python -m benchmarks.peers.tables 1000`."""

import os
import random
import secrets
import sys
from itertools import product

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.peers import DATABASE, run_module
from benchmarks.peers.shared import hash_password
from services.demo_people import NAMES

TABLES = """
    CREATE TABLE login (username text PRIMARY KEY, password text);
    CREATE TABLE people (
        id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        username text NOT NULL UNIQUE,
        password_hash text NOT NULL,
        registered_at timestamptz NOT NULL DEFAULT now()
    )
"""


def main() -> None:
    """Create the database that DATABASE_URL names, with as many people as the argument says."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE} ENCODING UTF8 TEMPLATE template0")
    run_module("django migrate --verbosity 0 --settings benchmarks.peers.django_settings", url)
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)
        _add_people(connection, _names(int(sys.argv[1])))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _add_people(connection: psycopg.Connection, names: list[str]) -> None:
    """Insert the same people for each peer, who cannot sign in."""
    password = secrets.token_urlsafe()
    for statement, value in (
        ("INSERT INTO login SELECT unnest(%s::text[]), %s", password),
        (
            "INSERT INTO people (username, password_hash) SELECT unnest(%s::text[]), %s",
            hash_password(password),
        ),
        (
            """
            INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff,
                is_active, date_joined)
            SELECT unnest(%s::text[]), %s, false, '', '', '', false, true, now()
            """,
            f"argon2{hash_password(password)}",
        ),
    ):
        connection.execute(statement, [names, value])


def _names(count: int) -> list[str]:
    """Return made-up names, each with a number that makes it unique."""
    names = [
        given + separator + family
        for givens, separator, families in NAMES
        for given, family in product(givens.split(), families.split())
    ]
    return [f"{random.choice(names)}{number}" for number in range(count, 0, -1)]  # noqa: S311


if __name__ == "__main__":
    main()
