import asyncio
import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from services import embedded_postgres, postgres_server
from services.embedded_postgres import DataFolderInUseError, EmbeddedPostgresError
from tests.helpers import (
    FORM,
    StartServer,
    is_alive,
    postmaster,
    processes_of,
    replace_binaries,
    start_process,
    use_binaries,
    usernames,
    wait_until,
)

SHORT_SECONDS = 0.5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@asynccontextmanager
async def run(folder: Path) -> AsyncIterator[psycopg.Connection]:
    """Run PostgreSQL on a folder, and yield a connection to it."""
    async with embedded_postgres.run(folder) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


async def create_data(folder: Path) -> None:
    async with run(folder) as psql:
        psql.execute("CREATE TABLE kept AS SELECT 'zoe' AS name")


async def holds_data(folder: Path) -> bool:
    async with run(folder) as psql:
        return psql.execute("SELECT name FROM kept").fetchall() == [("zoe",)]


def names_of(folder: Path) -> list[str]:
    """Return the names of the files and folders in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def move_files_up(folder: Path) -> None:
    """Move all files of a folder into the one above, and remove it."""
    for file in folder.iterdir():
        file.rename(folder.parent / file.name)
    folder.rmdir()
    folder.parent.chmod(0o700)  # PostgreSQL insists on it


@contextmanager
def run_stranger(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has nothing to do with PostgreSQL, in a folder, as the server's user."""
    user = None if os.geteuid() else "pgserver"
    with subprocess.Popen(["sleep", "600"], cwd=folder, user=user) as stranger:
        yield stranger
        stranger.kill()


def stored_usernames(url: str) -> list[str]:
    with psycopg.connect(url) as psql:
        return usernames(psql)


async def test_data_are_kept_and_no_process_is(data: Path) -> None:
    await create_data(data)
    assert processes_of(data) == []
    assert names_of(data) == ["postgres"]
    assert await holds_data(data)
    assert processes_of(data) == []


async def test_text_is_utf8_and_sorted_the_same_way_everywhere(data: Path) -> None:
    async with run(data) as psql:
        found = psql.execute(
            """
            SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale
            FROM pg_database WHERE datname = 'postgres'
            """
        )
        assert found.fetchone() == ("UTF8", "b", "C.UTF-8")


async def test_a_cluster_that_an_older_roster_made_is_still_used(data: Path) -> None:
    await create_data(data)
    move_files_up(data / "postgres")
    assert await holds_data(data)
    assert not (data / "postgres").exists()
    async with embedded_postgres.run(data), embedded_postgres.connect_or_run(data) as url:
        with psycopg.connect(url) as psql:
            assert psql.execute("SELECT name FROM kept").fetchone() == ("zoe",)


def test_after_kill_9_of_everything_it_comes_up_with_all_data(serve: StartServer, data: Path) -> None:
    roster = serve()
    httpx.post(f"{roster.url}/register", data=FORM)
    roster.process.kill()
    for process in processes_of(data):
        process.kill()
    assert stored_usernames(serve().database) == ["zoe"]


async def test_a_kill_during_the_first_start_leaves_nothing_that_counts(
    serve: StartServer, tmp_path: Path, data: Path
) -> None:
    # initdb has written everything, and has not ended yet.
    binaries = replace_binaries(
        tmp_path / "binaries", initdb='"$real" "$@" && touch written && exec sleep 600'
    )
    process = start_process(tmp_path, tuning=use_binaries(binaries))
    await wait_until((binaries / "written").exists)
    left_behind = [each for each in processes_of(data) if each.pid != process.pid]
    process.kill()
    process.communicate()
    assert not (data / "postgres").exists()
    try:
        assert stored_usernames(serve().database) == []
    finally:
        for each in [*left_behind, *processes_of(binaries)]:
            each.kill()
    assert names_of(data) == ["postgres"]


async def test_what_is_left_of_a_killed_first_start_is_removed(data: Path) -> None:
    (data / ".postgres-draft-old" / "base").mkdir(parents=True)
    (data / ".postgres-draft-old" / "PG_VERSION").write_text("18\n")
    await create_data(data)
    assert names_of(data) == ["postgres"]
    (data / ".postgres-draft-old").mkdir()
    assert await holds_data(data)
    assert names_of(data) == ["postgres"]


async def test_what_cannot_be_removed_of_a_killed_first_start_is_no_obstacle(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / ".postgres-draft-old").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        await create_data(data)
    assert await holds_data(data)


async def test_the_initdb_of_a_killed_start_does_not_disturb_the_next_one(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It removes its own folder while the next one works, as initdb does after an error.
    first = replace_binaries(
        tmp_path / "first",
        initdb='touch started; while [ ! -e next ]; do sleep 0.02; done; rm -rf "$2"; touch removed',
    )
    process = start_process(tmp_path, tuning=use_binaries(first))
    await wait_until((first / "started").exists)
    process.kill()
    process.communicate()
    wait = f"touch '{first}/next'; while [ ! -e '{first}/removed' ]; do sleep 0.02; done"
    second = replace_binaries(tmp_path / "second", initdb=f'"$real" "$@" && {wait}')
    monkeypatch.setattr(postgres_server, "BINARIES", second)
    await create_data(data)
    assert await holds_data(data)


async def test_initdb_ends_when_the_start_is_cancelled(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = replace_binaries(tmp_path / "binaries", initdb="touch started; sleep 600 & sleep 600")
    monkeypatch.setattr(postgres_server, "BINARIES", binaries)
    start = asyncio.create_task(create_data(data))
    await wait_until((binaries / "started").exists)
    start.cancel()
    await asyncio.wait([start])
    assert start.cancelled()
    await wait_until(lambda: not processes_of(data) and not processes_of(binaries))


async def test_a_first_start_that_fails_says_why(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = replace_binaries(tmp_path / "binaries", initdb="echo no space left >&2; exit 1")
    with monkeypatch.context() as patch:
        patch.setattr(postgres_server, "BINARIES", binaries)
        with pytest.raises(EmbeddedPostgresError, match=r"DATA_DIR='.*data' cannot be used: no space left"):
            await create_data(data)
    await create_data(data)


async def test_a_server_that_does_not_become_ready_is_given_up(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_data(data)
    binaries = replace_binaries(tmp_path / "binaries", postgres="exec sleep 600")
    monkeypatch.setattr(postgres_server, "BINARIES", binaries)
    monkeypatch.setattr(postgres_server, "START_SECONDS", SHORT_SECONDS)
    with pytest.raises(EmbeddedPostgresError, match="is not ready after"):
        await create_data(data)
    assert processes_of(binaries) == []


async def test_a_server_that_finds_shared_memory_in_use_is_started_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_data(data)
    message = "FATAL:  pre-existing shared memory block is still in use"
    script = (
        f'[ -e twice ] && exec "$real" "$@"; [ -e once ] && touch twice; touch once; echo "{message}"; exit 1'
    )
    binaries = replace_binaries(tmp_path / "binaries", postgres=script)
    monkeypatch.setattr(postgres_server, "BINARIES", binaries)
    assert await holds_data(data)


async def test_a_server_that_ignores_signals_is_killed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_data(data)
    script = "trap '' INT QUIT; touch started; sleep 600 & wait; sleep 600"
    binaries = replace_binaries(tmp_path / "binaries", postgres=script)
    monkeypatch.setattr(postgres_server, "BINARIES", binaries)
    monkeypatch.setattr(postgres_server, "STOP_SECONDS", SHORT_SECONDS)
    start = asyncio.create_task(create_data(data))
    await wait_until((binaries / "started").exists)
    start.cancel()
    await asyncio.wait([start])
    await wait_until(lambda: not processes_of(binaries))


async def test_a_server_that_is_killed_is_started_again_and_again(data: Path) -> None:
    await create_data(data)
    async with embedded_postgres.run(data) as url:

        def can_read() -> bool:
            try:
                with psycopg.connect(url) as psql:
                    return psql.execute("SELECT name FROM kept").fetchone() == ("zoe",)
            except psycopg.OperationalError:
                return False

        async def kill() -> None:
            killed = postmaster(data)
            killed.kill()
            await wait_until(lambda: not is_alive(killed))
            await wait_until(can_read)
            assert postmaster(data).pid != killed.pid

        for _ in range(3):
            await kill()
    assert processes_of(data) == []


async def test_a_server_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_server, "RESTART_SECONDS", 0.05)
    binaries = postgres_server.BINARIES
    async with embedded_postgres.run(data):
        killed = postmaster(data)
        monkeypatch.setattr(postgres_server, "BINARIES", tmp_path / "nothing")
        killed.kill()
        await wait_until(lambda: "cannot be started" in caplog.text)
        monkeypatch.setattr(postgres_server, "BINARIES", binaries)
        await wait_until((data / "postgres" / "postmaster.pid").exists)
    assert processes_of(data) == []


async def test_no_error_ends_the_supervision(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "RESTART_SECONDS", 0.05)
    stop_orphan = postgres_server.stop_orphan
    errors = [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        ValueError("a bug"),
    ]

    async def fail_first(cluster: Path) -> None:
        if errors:
            raise errors.pop()
        await stop_orphan(cluster)

    async with embedded_postgres.run(data):
        monkeypatch.setattr(postgres_server, "stop_orphan", fail_first)
        killed = postmaster(data)

        def is_replaced() -> bool:
            with suppress(FileNotFoundError, psutil.NoSuchProcess):
                return postmaster(data).pid != killed.pid
            return False

        killed.kill()
        await wait_until(lambda: not errors)
        await wait_until(is_replaced)
    assert processes_of(data) == []


async def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data: Path) -> None:
    async with embedded_postgres.run(data):
        assert os.getpgid(postmaster(data).pid) != os.getpgrp()


async def test_the_server_writes_a_log(data: Path) -> None:
    async with run(data) as psql:
        with pytest.raises(psycopg.errors.UndefinedTable):
            psql.execute("SELECT FROM no_such_table")
    texts = [file.read_text() for file in (data / "postgres" / "log").glob("???.log")]  # of a weekday
    assert any("no_such_table" in text for text in texts)


async def test_stale_files_with_a_strangers_number_hurt_neither() -> None:
    with tempfile.TemporaryDirectory() as folder:  # of a short path, so that the socket is in the cluster
        data = Path(folder) / "data"
        await create_data(data)
        with run_stranger(data / "postgres") as stranger:
            for name in "postmaster.pid", ".s.PGSQL.5432.lock":
                (data / "postgres" / name).write_text(f"{stranger.pid}\n{data}\n1\n5432\n")
            assert await holds_data(data)
            assert stranger.poll() is None


async def test_a_stale_pid_file_of_another_postgres_hurts_neither(data: Path, tmp_path: Path) -> None:
    await create_data(data)
    async with run(tmp_path / "other") as other:
        running = postmaster(tmp_path / "other")
        lines = (tmp_path / "other" / "postgres" / "postmaster.pid").read_text().splitlines()
        (data / "postgres" / "postmaster.pid").write_text("\n".join([*lines, ""]))
        assert await holds_data(data)
        assert is_alive(running)
        assert other.execute("SELECT 1").fetchone() == (1,)
        assert postmaster(tmp_path / "other") == running


async def test_a_stale_pid_file_and_a_stranger_in_the_folder_hurt_neither(
    data: Path,
) -> None:
    await create_data(data)
    with run_stranger(data / "postgres") as stranger:
        (data / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n")
        assert await holds_data(data)
        assert stranger.poll() is None


@pytest.mark.parametrize("text", ["", "no number\n", "99999999\n"])
async def test_a_broken_pid_file_does_not_stop_the_start(data: Path, text: str) -> None:
    await create_data(data)
    (data / "postgres" / "postmaster.pid").write_text(text)
    assert await holds_data(data)


@pytest.mark.parametrize("name", ["a b'c", "a,b", "数据", "100%41", "x" * 120, 'q"uote'])
async def test_any_path_can_hold_the_data(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is so long that its own end matters no more
        await create_data(Path(folder) / name)
        assert await holds_data(Path(folder) / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a user")
async def test_a_user_for_postgresql_that_cannot_be_made_is_an_error(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "USERNAME", "no such user")
    with pytest.raises(EmbeddedPostgresError, match="the user no such user cannot be made"):
        await create_data(data)


async def test_folders_above_the_data_are_made(tmp_path: Path) -> None:
    await create_data(tmp_path / "a" / "b")
    assert await holds_data(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["short", "x" * 120])
async def test_nobody_else_can_reach_the_server(tmp_path: Path, name: str) -> None:
    async with embedded_postgres.run(tmp_path / name):
        server = postmaster(tmp_path / name)
        addresses = [Path(str(c.laddr)) for c in server.net_connections("unix") if c.laddr]
        assert addresses
        assert {address.parent.stat().st_mode & 0o077 for address in addresses} == {0}
        assert server.net_connections("inet") == []
    assert not any(address.exists() for address in addresses)
    assert all(
        address.parent.is_relative_to(tmp_path) or not address.parent.exists() for address in addresses
    )


@pytest.mark.parametrize("is_below_a_file", [False, True])
async def test_a_data_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, *, is_below_a_file: bool
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"DATA_DIR=.*cannot be used"):
        await create_data(tmp_path / "file" / "data" if is_below_a_file else tmp_path / "file")


async def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, data: Path) -> None:
    (tmp_path / "data").mkdir()
    (data / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match=r"'thesis\.txt'"):
        await create_data(data)
    assert names_of(data) == ["thesis.txt"]


async def test_a_cluster_of_another_postgresql_version_is_left_alone(data: Path) -> None:
    await create_data(data)
    (data / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 17"):
        await create_data(data)
    (data / "postgres" / "PG_VERSION").write_text("18\n")
    assert await holds_data(data)


async def test_a_cluster_that_postgresql_refuses_is_an_error_with_its_reason(data: Path) -> None:
    await create_data(data)
    (data / "postgres" / "postgresql.conf").write_text("no_such_option = 1\n")
    with pytest.raises(EmbeddedPostgresError, match=r"does not start.*: .*FATAL"):
        await create_data(data)


async def test_a_folder_that_is_in_use_is_refused_until_it_is_free(data: Path) -> None:
    async with run(data) as psql:
        with pytest.raises(DataFolderInUseError, match="in use by another Roster"):
            await create_data(data)
        assert psql.execute("SELECT 1").fetchone() == (1,)
    await create_data(data)


async def test_a_running_server_is_shared(data: Path) -> None:
    await create_data(data)
    async with embedded_postgres.run(data) as url:
        running = postmaster(data)
        async with embedded_postgres.connect_or_run(data) as shared:
            assert shared == url
        assert postmaster(data) == running


async def test_a_server_with_a_long_path_is_shared(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 120)
    async with embedded_postgres.run(data) as url, embedded_postgres.connect_or_run(data) as shared:
        assert shared == url


async def test_where_none_runs_a_server_is_started_and_stopped(data: Path) -> None:
    async with embedded_postgres.connect_or_run(data) as url:
        with psycopg.connect(url) as psql:
            assert psql.execute("SELECT 1").fetchone() == (1,)
    assert processes_of(data) == []


@pytest.mark.parametrize("text", [None, "", "1\n"])
async def test_a_server_that_is_just_starting_cannot_be_shared_yet(data: Path, text: str | None) -> None:
    (data / "postgres").mkdir(parents=True)
    if text is not None:
        (data / "postgres" / "postmaster.pid").write_text(text)
    descriptor = os.open(data, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(EmbeddedPostgresError, match="just starting or stopping; try again"):
        async with embedded_postgres.connect_or_run(data):
            pass
    os.close(descriptor)
