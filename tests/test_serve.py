import asyncio
import itertools
import re
import shutil
import signal
import socket
import subprocess
import sys
from itertools import product, zip_longest
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from serve import masked
from tests.conftest import PASSWORD, ROOT, Serve, add_users, start_process, until, viewing

FORM = {"username": "zoe", "password": PASSWORD}


def failed_start(folder: Path, **settings: str) -> str:
    """Start where that cannot work; return the one line that says why."""
    process = start_process(folder, **settings)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("Roster cannot start: ")
    assert errors.count("\n") == 1
    return errors


def names(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [name for (name,) in connection.execute("SELECT username FROM users ORDER BY id")]


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def alive(process: psutil.Process) -> bool:
    """Return whether it runs; where nobody reaps orphans an ended one stays as a zombie."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_it_serves_stores_and_ends_with_nothing_left_behind(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    answer = httpx.post(f"{roster.url}/register", data=FORM, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert names(roster.database) == ["zoe"]
    server = postmaster(tmp_path / "data")
    assert roster.stop(signal.SIGINT) == 0
    assert not alive(server)
    assert roster.process.stderr
    assert roster.process.stderr.read() == ""


def test_sigterm_ends_it_while_a_client_holds_a_connection_open(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    server = postmaster(tmp_path / "data")
    with httpx.Client() as client:
        client.get(roster.url)
        assert roster.stop() == 0
    assert not alive(server)


async def test_sigterm_ends_it_while_viewers_follow_the_list(serve: Serve) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer:
        await viewer.until(0)
        assert await asyncio.to_thread(roster.stop) == 0
        with pytest.raises(EOFError):
            await viewer.next()
    assert roster.process.stderr
    assert roster.process.stderr.read() == ""


async def test_a_database_that_freezes_is_answered_for_and_does_not_keep_it_from_ending(
    serve: Serve, tmp_path: Path
) -> None:
    roster = serve(tuning="import db; db.ANSWER_SECONDS = db.WAIT_SECONDS = 0.5")
    server = postmaster(tmp_path / "data")
    async with httpx.AsyncClient(base_url=roster.url) as client:
        assert (await client.post("/register", data=FORM)).status_code == 303
        frozen = [server, *server.children()]
        for process in frozen:
            process.suspend()
        answers = [await client.post("/register", data=FORM, timeout=10)]
        answers += await asyncio.gather(*(client.get("/?q=z", timeout=10) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {503}
        assert "cannot say whether this was done" in answers[0].text
        assert "Nothing is lost" in answers[-1].text
    assert await asyncio.to_thread(roster.stop) == 0
    assert not any(alive(process) for process in frozen)
    assert names(serve().database) == ["zoe"]


def test_no_request_is_too_odd_for_an_answer_of_ours(serve: Serve, database_url: str) -> None:
    roster = serve(DATABASE_URL=database_url)
    address = "127.0.0.1", int(roster.url.rpartition(":")[2])
    lines = "GET ?x", "GET http://[::1", "GET http://a:b@[zz]:99/users", "OPTIONS *", "GET x", "CONNECT a:1"
    hosts = "..", "x" * 300, "a..b", "[::1", "a/b", "a@b", "\xff", "a:b:c"
    for line, host in [*zip_longest(lines, [], fillvalue="roster"), *product(["GET /nowhere"], hosts)]:
        with socket.create_connection(address) as client:
            client.sendall(f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert int(answer.split()[1]) in {303, 400, 404, 405}
        assert b"content-security-policy" in answer
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in ("/", "/live", "/static/x"):
        assert httpx.get(roster.url + path, headers=upgrade).status_code == 403
    roster.stop()
    assert roster.process.stderr
    assert roster.process.stderr.read() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can drop a peer that stops reading")
def test_a_viewer_that_stops_reading_is_dropped_by_itself(
    serve: Serve, database_url: str, database: psycopg.Connection
) -> None:
    tuning = "serve.UNREAD_SECONDS, serve.UNREAD_BYTES, live.REFRESH_SECONDS = 1, 4096, 0.01"
    roster = serve(tuning=tuning, DATABASE_URL=database_url, MAX_VIEWERS="1")
    with socket.socket() as idle, httpx.Client() as client:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", int(roster.url.rpartition(":")[2])))
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n")
        while client.head(f"{roster.url}/live").status_code != 503:
            pass
        for number in itertools.count():
            add_users(database, 50, f"user{number}x")
            if client.head(f"{roster.url}/live").status_code == 200:
                break
    roster.stop()
    assert roster.process.stderr
    assert roster.process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_during_the_start_leaves_no_database_running(tmp_path: Path, number: int) -> None:
    process = start_process(tmp_path)
    await until((tmp_path / "data" / "postmaster.pid").exists)
    process.send_signal(number)
    process.communicate(timeout=5)
    assert process.returncode == 0
    assert not (tmp_path / "data" / "postmaster.pid").exists()


async def test_asking_to_stop_again_and_again_does_not_disturb_the_end(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer:
        await viewer.until(0)
        while roster.process.poll() is None:
            roster.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.01)
    assert roster.process.returncode == 0
    assert not (tmp_path / "data" / "postmaster.pid").exists()
    assert roster.process.stderr
    assert roster.process.stderr.read() == ""


async def test_the_embedded_database_is_started_again_when_it_is_killed(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer, httpx.AsyncClient(base_url=roster.url) as client:
        assert (await client.post("/register", data=FORM)).status_code == 303
        await viewer.until(1)
        postmaster(tmp_path / "data").kill()
        async with asyncio.timeout(20):
            while (await client.post("/register", data=FORM | {"username": "eve"})).status_code == 503:
                await asyncio.sleep(0.1)
        await viewer.until(2)
    assert names(roster.database) == ["zoe", "eve"]
    assert await asyncio.to_thread(roster.stop) == 0
    assert not (tmp_path / "data" / "postmaster.pid").exists()


def test_open_to_the_network_it_prints_a_qr_code(serve: Serve) -> None:
    roster = serve(BIND="0.0.0.0:0", PUBLIC_ORIGIN="https://roster.example")
    assert roster.process.stdout
    assert roster.process.stdout.readline() == "Others: https://roster.example\n"
    assert re.search("[▀▄█]{5}", roster.process.stdout.readline() + roster.process.stdout.readline())


def test_after_kill_9_it_comes_up_with_all_data(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    httpx.post(f"{roster.url}/register", data=FORM)
    left_behind = postmaster(tmp_path / "data")
    roster.process.kill()
    roster.process.wait()
    again = serve()
    assert not alive(left_behind)
    assert names(again.database) == ["zoe"]


def test_after_kill_9_of_everything_it_comes_up_with_all_data(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    httpx.post(f"{roster.url}/register", data=FORM)
    roster.process.kill()
    for process in [server := postmaster(tmp_path / "data"), *server.children()]:
        process.kill()
    assert names(serve().database) == ["zoe"]


def test_a_stale_pid_file_with_a_strangers_number_hurts_neither(serve: Serve, tmp_path: Path) -> None:
    roster = serve()
    httpx.post(f"{roster.url}/register", data=FORM)
    pid_file = tmp_path / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    roster.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        assert names(serve().database) == ["zoe"]
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("rest", ["", "no number\n", "99999999\n"])
def test_a_broken_pid_file_does_not_stop_the_start(serve: Serve, tmp_path: Path, rest: str) -> None:
    serve().stop()
    (tmp_path / "data" / "postmaster.pid").write_text(rest)
    assert names(serve().database) == []


def test_a_first_start_that_was_killed_midway_is_begun_again(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data" / ".draft" / "base").mkdir(parents=True)
    (tmp_path / "data" / ".draft" / "PG_VERSION").write_text("18\n")
    assert names(serve().database) == []


def test_a_first_start_that_was_killed_while_moving_files_in_is_ended(serve: Serve, tmp_path: Path) -> None:
    serve().stop()
    data = tmp_path / "data"
    (data / ".ready").mkdir()
    (data / "base").rename(data / ".ready" / "base")
    (data / "PG_VERSION").rename(data / ".ready" / "PG_VERSION")
    assert names(serve().database) == []
    assert not (data / ".ready").exists()


@pytest.mark.parametrize("name", ["a b'c", "数据", "x" * 120, 'q"uote'])
def test_any_path_can_hold_the_data(serve: Serve, tmp_path: Path, name: str) -> None:
    roster = serve(DATA_DIR=str(tmp_path / name))
    assert httpx.post(f"{roster.url}/register", data=FORM).status_code == 303
    assert names(roster.database) == ["zoe"]


def test_nobody_else_can_reach_the_embedded_database(serve: Serve, tmp_path: Path) -> None:
    serve(DATA_DIR=str(tmp_path / ("x" * 120)))
    folders = [
        Path(str(c.laddr)).parent
        for c in postmaster(tmp_path / ("x" * 120)).net_connections("unix")
        if c.laddr
    ]
    assert folders
    assert {folder.stat().st_mode & 0o077 for folder in folders} == {0}


def test_two_on_one_database_at_once_both_come_up(empty_database_url: str, tmp_path: Path) -> None:
    processes = [start_process(tmp_path, DATABASE_URL=empty_database_url) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline().startswith("Roster: http://127.0.0.1:")
        process.terminate()
        process.communicate(timeout=5)
        assert process.returncode == 0
    assert names(empty_database_url) == []


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"BIND=127.0.0.1:{port}" in failed_start(tmp_path, BIND=f"127.0.0.1:{port}")
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path) -> None:
    assert "BIND=192.0.2.1:8000" in failed_start(tmp_path, BIND="192.0.2.1:8000")
    assert "BIND=no.such.host.invalid:8000" in failed_start(tmp_path, BIND="no.such.host.invalid:8000")
    assert "BIND=.a:8000" in failed_start(tmp_path, BIND=".a:8000")


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "DATA_DIR=" in failed_start(tmp_path, DATA_DIR=str(tmp_path / "file"))
    assert "DATA_DIR=" in failed_start(tmp_path, DATA_DIR=str(tmp_path / "file" / "data"))
    assert "DATA_DIR=" in failed_start(tmp_path, DATA_DIR="/proc/roster")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    assert "'thesis.txt'" in failed_start(tmp_path)
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["thesis.txt"]


def test_data_of_another_postgresql_version_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    serve().stop()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    assert "PostgreSQL 17" in failed_start(tmp_path)


def test_data_that_postgresql_refuses_is_one_clear_line(serve: Serve, tmp_path: Path) -> None:
    serve().stop()
    (tmp_path / "data" / "postgresql.conf").write_text("no_such_option = 1\n")
    assert "does not start" in failed_start(tmp_path)


def test_a_second_roster_on_the_same_data_is_refused(serve: Serve, tmp_path: Path) -> None:
    first = serve()
    assert "in use by another Roster" in failed_start(tmp_path)
    assert httpx.get(first.url).status_code == 200


def test_an_unreachable_database_is_one_clear_line_without_its_password(tmp_path: Path) -> None:
    line = failed_start(tmp_path, DATABASE_URL="postgresql://me:s3cret@127.0.0.1:1/roster")
    assert "DATABASE_URL=postgresql://me:***@127.0.0.1:1/roster" in line
    assert "s3cret" not in line


def test_a_bad_setting_is_one_clear_line(tmp_path: Path) -> None:
    assert "POOL_SIZE='many'" in failed_start(tmp_path, POOL_SIZE="many")


@pytest.mark.parametrize(
    ("database_url", "shown"),
    [
        ("postgresql://me:s3cret@db/roster", "postgresql://me:***@db:5432/roster"),
        ("host=a,b port=1,2 user=me password=s3cret dbname=r", "postgresql://me:***@a:1,b:2/r"),
        ("postgresql://a,b:6432/r?user=me&password=s3cret", "postgresql://me:***@a:5432,b:6432/r"),
        ("postgresql://m%40e@/r?host=/a%20b", "postgresql://m%40e@/r?host=/a%20b"),
    ],
)
def test_an_address_is_shown_without_its_password(database_url: str, shown: str) -> None:
    assert masked(database_url) == shown


def test_make_names_the_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    pretend = "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretend}' \"$2\"\n")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").touch()
    done = subprocess.run(
        ["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"Roster needs Python 3.11 or newer, and {old} is 3.9." in done.stderr
    assert "Traceback" not in done.stderr
