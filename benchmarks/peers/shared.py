"""What the peers share: the page's templates and stylesheet, the SQL, and how passwords are hashed."""

from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
STYLE = Markup((TEMPLATES.parents[2] / "static" / "style.css").read_text())  # noqa: S704 (ours)
ON_PAGE = 50  # people
POOL_SIZE = 8  # connections of each process, as many as Roster's
TIME_COST, MEMORY_COST, PARALLELISM = 2, 19 * 1024, 1  # of Argon2id, as Roster's

NEWEST = f"""
    SELECT id, username, registered_at, (SELECT count(*) FROM people) AS size
    FROM people ORDER BY id DESC LIMIT {ON_PAGE}
"""  # noqa: S608 (a constant)
ACCOUNT = "SELECT id, username FROM people WHERE id = %s"
CREDENTIALS = "SELECT id, password_hash FROM people WHERE username = %s"
INSERT = "INSERT INTO people (username, password_hash) VALUES (%s, %s) RETURNING id"

TAKEN = "This user name already exists."
WRONG = "User name or password is wrong."

_hasher = PasswordHasher(TIME_COST, MEMORY_COST, PARALLELISM)


def hash_password(password: str) -> str:
    """Return the hash of a new password."""
    return _hasher.hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    """Return whether the password is right."""
    try:
        return _hasher.verify(password_hash, password)
    except VerifyMismatchError:
        return False
