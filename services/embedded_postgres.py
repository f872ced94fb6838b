"""The embedded PostgreSQL, started and stopped here.

Only the package's binaries are used. `postgres` runs as our own child, with its arguments as a list
and its socket in a private folder. That needs none of the package's process bookkeeping, works on
any path, and leaves nothing to which another local user could connect.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from pwd import struct_passwd
from urllib.parse import quote

from services.postgres_server import (
    VERSION,
    PostgresServer,
    PostgresServerError,
    initdb,
    make_reachable,
    server_user,
    stop_orphan,
)

DRAFT_PREFIX = ".postgres-draft-"  # of the folder in which a first start makes the cluster
SOCKET_FOLDER_LINE = 4  # of postmaster.pid, counted from 0
MAX_SOCKET_PATH = 90  # bytes; sun_path holds 104 on macOS and 108 on Linux, with the file name


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; one line says why."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"DATA_DIR={str(folder)!r} {reason}")


class DataFolderInUseError(EmbeddedPostgresError):
    """Another Roster runs on this folder."""


@asynccontextmanager
async def run(folder: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `folder`; yield its connection string.

    The first use makes the database.

    Raises EmbeddedPostgresError when the folder cannot be used. A server that a killed Roster left
    running is stopped first.
    """
    folder = folder.absolute()
    async with AsyncExitStack() as stack:
        stack.enter_context(_lock(folder))
        try:
            user = server_user()
            cluster = await _find_or_create_cluster(folder, user)
            _check_version(folder, cluster)
            await stop_orphan(cluster)
            socket_folder = stack.enter_context(_private_socket_folder(cluster, user))
            await stack.enter_async_context(PostgresServer(cluster, socket_folder, user))
        except (OSError, PostgresServerError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EmbeddedPostgresError(folder, f"cannot be used: {reason}") from None
        yield _connection_string(str(socket_folder))


@asynccontextmanager
async def connect_or_run(folder: Path) -> AsyncIterator[str]:
    """Yield the connection string of the data in `folder`.

    If no other Roster runs it, PostgreSQL runs while the block does.
    """
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(run(folder))
        except DataFolderInUseError:
            try:
                lines = (_cluster(folder) / "postmaster.pid").read_text().splitlines()
                url = _connection_string(lines[SOCKET_FOLDER_LINE])
            except (OSError, IndexError):
                reason = "is used by another Roster, which is just starting or stopping; try again"
                raise EmbeddedPostgresError(folder, reason) from None
        yield url


def _connection_string(socket_folder: str) -> str:
    return f"postgresql://postgres@/postgres?host={quote(socket_folder, safe='/')}"


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a lock, so that no two Rosters run on the same data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        reason = f"cannot be used: {error.strerror}; name a folder in which this user may write"
        raise EmbeddedPostgresError(folder, reason) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = "is in use by another Roster: stop it, or name another folder"
            raise DataFolderInUseError(folder, reason) from None
        yield
    finally:
        os.close(descriptor)


def _cluster(folder: Path) -> Path:
    """Return the folder of PostgreSQL's own files.

    Roster 1.0 made them in the data folder itself.
    """
    return folder if (folder / "PG_VERSION").exists() else folder / "postgres"


async def _find_or_create_cluster(folder: Path, user: struct_passwd | None) -> Path:
    for left_behind in folder.glob(f"{DRAFT_PREFIX}*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    cluster = _cluster(folder)
    if cluster.exists():
        return cluster
    others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(DRAFT_PREFIX)]
    if others:
        reason = f"holds other files, such as {min(others)!r}: name another folder"
        raise EmbeddedPostgresError(folder, reason)
    # A name of its own, because the initdb of a killed Roster may still write to, or remove, its draft.
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=folder))
    make_reachable(draft, user)
    await initdb(draft, user)
    draft.rename(cluster)  # atomic: a kill leaves either no cluster or a whole one
    return cluster


def _check_version(folder: Path, cluster: Path) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != str(VERSION):
        raise EmbeddedPostgresError(folder, f"holds a PostgreSQL {found} database; this Roster has {VERSION}")


@contextmanager
def _private_socket_folder(cluster: Path, user: struct_passwd | None) -> Iterator[Path]:
    """Yield a private folder with a path that is short enough."""
    # PostgreSQL cannot read a quote in this setting, and libpq takes a comma for the end of a host.
    if len(os.fsencode(cluster)) <= MAX_SOCKET_PATH and not {'"', ","} & set(str(cluster)):
        yield cluster
        return
    with tempfile.TemporaryDirectory(prefix="roster-") as folder:
        make_reachable(Path(folder), user)
        yield Path(folder)
