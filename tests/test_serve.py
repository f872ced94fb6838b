import asyncio
import contextlib
import itertools
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from serve import display_url
from services import one_time_urls
from services.one_time_urls import try_to_create_organiser_url
from services.share_origin import lan_address
from services.stop_signal import STOP_SIGNALS
from settings import VERSION, Settings
from tests.helpers import (
    FORM,
    FORM_HEADERS,
    ROOT,
    UNSET,
    StartServer,
    add_users,
    is_alive,
    postmaster,
    processes_of,
    register,
    replace_binaries,
    start_process,
    stored_usernames,
    text_of,
    use_binaries,
    usernames,
    viewing,
    wait_until,
    waits_for_lock,
)

SIGNAL_BEFORE = """import signal
original = {name}
def signal_first(*arguments, **options):
    signal.raise_signal({number:d})
    return original(*arguments, **options)
{name} = signal_first"""


FAIL_AT_BUG = """import asyncio
from web.security_headers import SecurityMiddleware
original = SecurityMiddleware.__call__
async def fail_at_bug(self, scope, *arguments):
    if scope.get("path") == "/bug":
        asyncio.get_running_loop().call_exception_handler({"message": "a callback failed"})
        raise ValueError("a bug")
    await original(self, scope, *arguments)
SecurityMiddleware.__call__ = fail_at_bug"""


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait until a process ends; return what it wrote to stdout and stderr."""
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()


@contextlib.contextmanager
def serving_on_terminal(folder: Path, **settings: str) -> Iterator[Iterator[str]]:
    """Run `serve.py` on a terminal; yield the lines it prints."""
    ours, theirs = pty.openpty()
    with (
        os.fdopen(ours) as terminal,
        subprocess.Popen(
            [sys.executable, ROOT / "serve.py"],
            cwd=folder,
            env=os.environ | UNSET | {"BIND": "127.0.0.1:0"} | settings,
            stdout=theirs,
        ) as process,
    ):
        os.close(theirs)
        try:
            yield (line.rstrip("\n") for line in terminal)
        finally:
            process.terminate()
            assert process.wait(30) == 0


def failed_start(folder: Path, **settings: str) -> str:
    """Start where that cannot work; return the one line that says why."""
    process = start_process(folder, **settings)
    output, errors = finish(process)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("Roster cannot start: ")
    assert errors.count("\n") == 1
    return errors


def stop_start(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a start, which must end it in an orderly way."""
    process.send_signal(number)
    _, errors = finish(process)
    assert (process.returncode, errors) == (0, "")


def test_it_serves_stores_and_leaves_nothing_running(serve: StartServer, tmp_path: Path) -> None:
    roster = serve()
    assert httpx.post(f"{roster.url}/register", data=FORM, headers={"HX-Request": "true"}).status_code == 200
    assert stored_usernames(roster.database) == ["zoe"]
    server = postmaster(tmp_path / "data")
    assert roster.stop(signal.SIGINT) == 0
    assert not is_alive(server)
    assert roster.stderr() == ""


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_stops_it_while_a_connection_is_open(
    serve: StartServer, tmp_path: Path, number: signal.Signals
) -> None:
    roster = serve()
    server = postmaster(tmp_path / "data")
    with httpx.Client() as client:
        client.get(roster.url)
        assert roster.stop(number) == 0
    assert not is_alive(server)
    assert roster.stderr() == ""


async def test_sigterm_stops_it_while_viewers_follow_the_list(serve: StartServer, database_url: str) -> None:
    roster = serve(DATABASE_URL=database_url)
    async with viewing(roster.url) as viewer:
        await viewer.wait_for(0)
        assert await asyncio.to_thread(roster.stop) == 0
        with pytest.raises(EOFError):
            await viewer.next()
    assert roster.stderr() == ""


async def test_sigterm_refuses_registrations_that_wait_for_a_hash(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    # Hashes end long before and long after the moment of the refusal, half of the 8 s after the signal.
    slow = "import argon2, time; argon2.PasswordHasher.hash = lambda *_: time.sleep(1.6) or 'no hash'"
    slow += "; import services.stop_signal; services.stop_signal.GRACEFUL_SECONDS = 8"
    roster = serve(tuning=slow, DATABASE_URL=database_url)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        waiting = [asyncio.create_task(register(client, f"user{number}")) for number in range(80)]
        await wait_until(lambda: usernames(psql) != [])
        assert await asyncio.to_thread(roster.stop) == 0
        responses = await asyncio.gather(*waiting)
    refused = [response for response in responses if response.status_code != 303]
    assert {(response.status_code, response.headers["Retry-After"]) for response in refused} == {(503, "5")}
    assert len(responses) - len(refused) == len(usernames(psql))
    errors = roster.stderr()
    assert errors.count("503 Service Unavailable: BusyError") == 1
    assert "Traceback" not in errors


async def test_a_frozen_database_is_answered_for_and_does_not_delay_the_end(
    serve: StartServer, tmp_path: Path
) -> None:
    roster = serve(tuning="import db; db.RESPONSE_SECONDS = db.POOL_SECONDS = 0.5")
    server = postmaster(tmp_path / "data")
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        assert (await register(client)).status_code == 303
        client.cookies.clear()  # whoever has none is not looked up first
        locking, watching = psycopg.connect(roster.database), psycopg.connect(roster.database)
        locking.execute("LOCK TABLE users")
        registering = asyncio.create_task(register(client, "anna"))
        await wait_until(lambda: waits_for_lock(watching))  # by then it inserts
        server.suspend()  # first, so that it has no more children than these
        frozen = [server, *server.children()]
        for process in frozen:
            process.suspend()
        registered = await registering
        locking.close()
        watching.close()
        found = await asyncio.gather(*(client.get("/?q=z") for _ in range(12)))
    assert {response.status_code for response in (registered, *found)} == {503}
    assert "cannot say whether this was done" in registered.text
    assert "Nothing is lost" in found[-1].text
    assert await asyncio.to_thread(roster.stop) == 0
    assert not any(is_alive(process) for process in frozen)
    assert stored_usernames(serve().database) == ["zoe"]


async def test_a_request_to_a_frozen_database_does_not_keep_it_from_ending(
    serve: StartServer, tmp_path: Path
) -> None:
    roster = serve(tuning="import db; db.RESPONSE_SECONDS = db.STATEMENT_SECONDS = 3600")
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    locking, watching = psycopg.connect(roster.database), psycopg.connect(roster.database, autocommit=True)
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        await client.get("/?q=z")  # by then the list was read
        locking.execute("LOCK TABLE users")
        search = asyncio.create_task(client.get("/?q=z"))
        await wait_until(lambda: watching.execute(waiting).rowcount > 0)
        server = postmaster(tmp_path / "data")
        for process in (server, *server.children()):
            process.suspend()
        assert await asyncio.to_thread(roster.stop) == 0
        await asyncio.wait([search])
    locking.close()
    watching.close()
    assert processes_of(tmp_path) == []
    assert "Traceback" not in roster.stderr()


def test_every_odd_request_gets_a_response_with_security_headers(
    serve: StartServer, database_url: str
) -> None:
    roster = serve(DATABASE_URL=database_url)
    address = "127.0.0.1", int(roster.url.rpartition(":")[2])
    lines = "GET ?x", "GET http://[::1", "GET http://a:b@[zz]:99/users", "OPTIONS *", "GET x"
    hosts = "[..]", "[::::]", "[fffff::1]", "..", "x" * 300, "a..b", "[::1", "a/b", "a@b", "\xff", "a:b:c"
    for line, host in [
        *zip_longest(lines, [], fillvalue="roster"),
        *product(["GET /nowhere", "GET /share"], hosts),
    ]:
        with socket.create_connection(address) as client:
            client.sendall(f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            response = b"".join(iter(lambda: client.recv(65536), b""))
        assert int(response.split()[1]) in {200, 303, 400, 404, 405}
        assert b"content-security-policy" in response
        assert b"\r\nserver:" not in response.lower()
    roster.stop()
    assert roster.stderr() == ""


def test_every_line_of_the_log_has_a_time_and_a_level(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    roster = serve(tuning=FAIL_AT_BUG, DATABASE_URL=database_url)
    psql.execute("DROP TABLE users")
    for path in "/?q=z", "/bug":
        assert httpx.get(roster.url + path).status_code == 500
    roster.stop()
    lines = roster.stderr().splitlines()
    assert [
        line for line in lines if not re.match(r"[0-9-]{10}T[0-9:]{8}[+-]\d{4} (WARNING|ERROR) ", line)
    ] == []
    for part in (
        "ERROR app: Exception on request GET /",
        "ERROR hypercorn.error: Error in ASGI Framework",
        "ERROR asyncio: a callback failed",
        "ERROR   ValueError: a bug",
    ):
        assert any(part in line for line in lines)


def test_connections_that_are_cut_leave_no_traceback(serve: StartServer, database_url: str) -> None:
    roster = serve(DATABASE_URL=database_url)
    address = "127.0.0.1", int(roster.url.rpartition(":")[2])
    body = b"POST /register HTTP/1.1\r\nHost: roster\r\nContent-Length: 100\r\n"
    body += f"Content-Type: {FORM_HEADERS['Content-Type']}\r\n\r\nusername=".encode()
    with contextlib.ExitStack() as stack:
        for sent in (b"", b"GET / HTTP/1.1\r\n", body, b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n"):
            with socket.create_connection(address) as cut:
                cut.sendall(sent)
            still_open = stack.enter_context(socket.create_connection(address))
            still_open.sendall(sent)
        assert httpx.get(roster.url).status_code == 200
        assert roster.stop() == 0
    assert roster.stderr() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can drop a peer that stops reading")
def test_a_viewer_that_stops_reading_is_dropped(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    tuning = (
        "from services import live_list; serve.USER_TIMEOUT_SECONDS, serve.SEND_BUFFER_BYTES = 1, 4096; "
        "live_list.REFRESH_SECONDS = 0.01"
    )
    roster = serve(tuning=tuning, DATABASE_URL=database_url, MAX_VIEWERS="1")
    with socket.socket() as idle, httpx.Client() as client:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", int(roster.url.rpartition(":")[2])))
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: roster\r\n\r\n")
        while client.head(f"{roster.url}/live").status_code != 503:
            pass
        for number in itertools.count():
            add_users(psql, 50, f"user{number}x")
            if client.head(f"{roster.url}/live").status_code == 200:
                break
    roster.stop()
    [line] = roster.stderr().splitlines()
    assert line.endswith("TooManyViewersError: MAX_VIEWERS is 1")


@pytest.mark.parametrize(("program", "number"), [("initdb", signal.SIGINT), ("postgres", signal.SIGHUP)])
async def test_a_signal_while_postgresql_is_started_stops_it(
    tmp_path: Path, program: str, number: signal.Signals
) -> None:
    binaries = replace_binaries(tmp_path / "binaries", **{program: "touch started; exec sleep 600"})
    process = start_process(tmp_path, tuning=use_binaries(binaries))
    await wait_until((binaries / "started").exists)
    await asyncio.to_thread(stop_start, process, number)
    assert processes_of(tmp_path) == []
    assert (tmp_path / "data" / "postgres").exists() == (program == "postgres")


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_a_signal_during_the_start_leaves_no_postgresql(tmp_path: Path, number: signal.Signals) -> None:
    process = start_process(tmp_path)
    await wait_until((tmp_path / "data" / "postgres" / "postmaster.pid").exists)
    await asyncio.to_thread(stop_start, process, number)
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()


async def test_a_signal_while_it_waits_to_migrate_ends_its_connection(
    tmp_path: Path, empty_database_url: str
) -> None:
    waiting = """
        SELECT FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database() AND backend_type = 'client backend'
        """
    with psycopg.connect(empty_database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('roster.migrate'))")
        process = start_process(tmp_path, DATABASE_URL=empty_database_url)
        await wait_until(lambda: other.execute(waiting).rowcount > 0)
        await asyncio.to_thread(stop_start, process, signal.SIGTERM)
        await wait_until(lambda: other.execute(waiting).rowcount == 0)
        assert other.execute("SELECT to_regclass('users')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("serve.embedded_postgres.run", signal.SIGINT),
        ("serve._prepare_schema", signal.SIGTERM),
        ("serve._allow_many_connections", signal.SIGHUP),
        ("serve.create_app", signal.SIGINT),
        ("serve._serve", signal.SIGTERM),
        ("serve.HTTPServer", signal.SIGHUP),
    ],
)
def test_a_signal_between_the_steps_of_the_start_stops_it(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    process = start_process(tmp_path, tuning=SIGNAL_BEFORE.format(name=name, number=number))
    _, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15), (signal.SIGHUP, -1)]
)
@pytest.mark.parametrize("name", ["serve.read_settings", "serve._open_listener", "serve._new_event_loop"])
def test_a_signal_before_the_start_ends_it_at_once(
    tmp_path: Path, name: str, number: signal.Signals, status: int
) -> None:
    process = start_process(tmp_path, tuning=SIGNAL_BEFORE.format(name=name, number=number))
    output, errors = finish(process)
    assert (process.returncode, output, errors) == (status, "", "")
    assert not (tmp_path / "data").exists()


async def test_further_signals_while_a_start_is_stopped_change_nothing(tmp_path: Path) -> None:
    script = "trap 'touch stopping' INT; touch started; while :; do sleep 0.02; done"
    binaries = replace_binaries(tmp_path / "binaries", postgres=script)
    process = start_process(tmp_path, tuning=use_binaries(binaries))
    await wait_until((binaries / "started").exists)
    process.send_signal(signal.SIGTERM)
    await wait_until((binaries / "stopping").exists)
    while process.poll() is None:
        for number in STOP_SIGNALS:
            process.send_signal(number)
        await asyncio.sleep(0.01)
    _, errors = await asyncio.to_thread(finish, process)
    assert (process.returncode, errors) == (0, "")
    assert processes_of(tmp_path) == []


async def test_further_signals_while_it_stops_change_nothing(serve: StartServer, tmp_path: Path) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer:
        await viewer.wait_for(0)
        while roster.process.poll() is None:
            for number in STOP_SIGNALS:
                roster.process.send_signal(number)
            await asyncio.sleep(0.01)
    assert roster.process.returncode == 0
    assert processes_of(tmp_path) == []
    assert roster.stderr() == ""


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signals_are_ignored_while_the_process_ends(
    tmp_path: Path, database_url: str, number: signal.Signals
) -> None:
    tuning = f"import atexit, signal; atexit.register(lambda: signal.raise_signal({number:d}))"
    process = start_process(tmp_path, tuning=tuning, DATABASE_URL=database_url)
    assert process.stdout
    assert process.stdout.readline()
    stop_start(process, signal.SIGTERM)


async def test_viewers_stay_when_the_embedded_database_is_killed(serve: StartServer, tmp_path: Path) -> None:
    roster = serve()
    async with viewing(roster.url) as viewer, httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        assert (await register(client)).status_code == 303
        await viewer.wait_for(1)
        for total, username in ((2, "eve"), (3, "ann")):
            postmaster(tmp_path / "data").kill()
            async with asyncio.timeout(60):
                while (await register(client, username)).status_code == 503:
                    await asyncio.sleep(0.1)
            await viewer.wait_for(total)
    assert stored_usernames(roster.database) == ["zoe", "eve", "ann"]
    assert await asyncio.to_thread(roster.stop) == 0
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()


def test_open_to_the_network_it_prints_a_qr_code(serve: StartServer, database_url: str) -> None:
    roster = serve(BIND="0.0.0.0:0", PUBLIC_ORIGIN="https://roster.example", DATABASE_URL=database_url)
    assert roster.process.stdout
    assert roster.process.stdout.readline() == "Others: https://roster.example\n"
    assert re.search("[▀▄█]{5}", roster.process.stdout.readline() + roster.process.stdout.readline())


def test_output_that_cannot_have_every_character_has_a_qr_code_all_the_same(
    serve: StartServer, database_url: str
) -> None:
    roster = serve(
        BIND="0.0.0.0:0",
        PUBLIC_ORIGIN="https://röster.example",
        DATABASE_URL=database_url,
        PYTHONIOENCODING="iso8859-5",
    )
    assert roster.process.stdout
    assert roster.process.stdout.readline() == "Others: https://r\\xf6ster.example\n"
    assert "\x1b[7m  " in roster.process.stdout.readline()
    assert roster.stop() == 0
    assert roster.stderr() == ""


def test_open_to_the_network_it_prints_its_address_there(serve: StartServer, database_url: str) -> None:
    roster = serve(BIND="0.0.0.0:0", DATABASE_URL=database_url)
    roster.stop()
    assert roster.process.stdout
    printed = roster.process.stdout.read()
    port = roster.url.rpartition(":")[2]
    if address := lan_address():
        assert printed.startswith(f"Others: http://{address}:{port}\n")
    else:
        assert printed == ""


def test_open_to_this_computer_only_it_prints_no_qr_code(serve: StartServer, database_url: str) -> None:
    roster = serve(DATABASE_URL=database_url)
    roster.stop()
    assert roster.process.stdout
    assert roster.process.stdout.read() == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_on_a_terminal_it_prints_a_link_for_the_organiser(
    tmp_path: Path, database_url: str, workers: str
) -> None:
    with serving_on_terminal(tmp_path, DATABASE_URL=database_url, WORKERS=workers) as lines:
        [roster, database, organiser] = (next(lines) for _ in range(3))
        assert database.startswith("Database: ")
        url = organiser.removeprefix("Organiser: ")
        assert url.startswith(f"{roster.removeprefix('Roster: ')}/organise/")
        assert httpx.post(url).status_code == 303
        assert httpx.post(url).status_code == 404


def test_elsewhere_it_prints_no_link_for_the_organiser(
    serve: StartServer, database_url: str, psql: psycopg.Connection
) -> None:
    roster = serve(DATABASE_URL=database_url)
    roster.stop()
    assert roster.process.stdout
    assert "/organise/" not in roster.process.stdout.read()
    assert psql.execute("SELECT FROM one_time_links").rowcount == 0


def test_it_starts_where_the_link_for_the_organiser_cannot_be_stored(
    tmp_path: Path, database_url: str
) -> None:
    settings = {
        "BIND": "0.0.0.0:0",
        "PUBLIC_ORIGIN": "https://roster.example",
        "DATABASE_URL": make_conninfo(database_url, options="-cdefault_transaction_read_only=on"),
    }
    with serving_on_terminal(tmp_path, **settings) as lines:
        printed = [next(lines) for _ in range(3)]
    assert [line.partition(":")[0] for line in printed] == ["Roster", "Database", "Others"]


async def test_a_link_for_the_organiser_that_takes_too_long_is_left_out(
    database_url: str, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_time_urls, "STORE_SECONDS", 0.1)
    with psql.transaction():
        psql.execute("LOCK TABLE one_time_links")
        assert await try_to_create_organiser_url(Settings(database_url=database_url)) == ""
    assert psql.execute("SELECT FROM one_time_links").rowcount == 0


def test_the_page_knows_the_port_that_the_system_chose(serve: StartServer, database_url: str) -> None:
    roster = serve(DATABASE_URL=database_url)
    port = roster.url.rpartition(":")[2]
    assert f"BIND=0.0.0.0:{port}" in text_of(httpx.get(f"{roster.url}/share"), "main")


def test_it_serves_on_ipv6(serve: StartServer, database_url: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    roster = serve(BIND="[::1]:0", DATABASE_URL=database_url)
    assert roster.url.startswith("http://[::1]:")
    assert httpx.get(roster.url).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the limits of another process")
def test_it_opens_as_many_files_as_the_system_allows(serve: StartServer, database_url: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    tuning = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))"
    roster = serve(tuning=tuning, DATABASE_URL=database_url)
    assert psutil.Process(roster.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)


def test_without_a_free_file_it_says_so_and_serves_again_later(serve: StartServer, database_url: str) -> None:
    tuning = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    roster = serve(tuning=tuning, DATABASE_URL=database_url)
    address = "127.0.0.1", int(roster.url.rpartition(":")[2])
    clients = [socket.create_connection(address) for _ in range(80)]
    assert roster.process.stderr
    assert "ERROR web.http_server: No connection can be accepted" in roster.process.stderr.readline()
    for client in clients:
        client.close()
    assert httpx.get(f"{roster.url}/healthz", timeout=60).status_code == 200
    assert roster.stop() == 0


async def test_two_that_start_at_once_on_one_database_both_come_up(
    empty_database_url: str, tmp_path: Path
) -> None:
    processes = [start_process(tmp_path, DATABASE_URL=empty_database_url) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline().startswith("Roster: http://127.0.0.1:")
        stop_start(process, signal.SIGTERM)
    assert stored_usernames(empty_database_url) == []


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = failed_start(tmp_path, BIND=f"127.0.0.1:{port}")
    assert f"BIND=127.0.0.1:{port}: another program uses this port" in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("bind", ["192.0.2.1:8000", "no.such.host.invalid:8000", ".a:8000"])
def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path, bind: str) -> None:
    assert f"BIND={bind}" in failed_start(tmp_path, BIND=bind)


@pytest.mark.parametrize("folder", ["file", "file/data", "/proc/roster"])
def test_a_data_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    assert "DATA_DIR=" in failed_start(tmp_path, DATA_DIR=str(tmp_path / folder))


def test_a_cluster_that_postgresql_refuses_is_one_clear_line(serve: StartServer, tmp_path: Path) -> None:
    serve().stop()
    (tmp_path / "data" / "postgres" / "postgresql.conf").write_text("no_such_option = 1\n")
    assert "does not start" in failed_start(tmp_path)


def test_a_second_roster_on_the_same_data_is_refused(serve: StartServer, tmp_path: Path) -> None:
    first = serve()
    assert "in use by another Roster" in failed_start(tmp_path)
    assert httpx.get(first.url).status_code == 200


def test_an_unreachable_database_is_one_clear_line_without_its_password(tmp_path: Path) -> None:
    line = failed_start(tmp_path, DATABASE_URL="postgresql://me:s3cret@127.0.0.1:1/roster")
    assert "DATABASE_URL=postgresql://me:***@127.0.0.1:1/roster" in line
    assert "s3cret" not in line


def test_a_bad_setting_is_one_clear_line(tmp_path: Path) -> None:
    assert "POOL_SIZE='many'" in failed_start(tmp_path, POOL_SIZE="many")


def test_a_misspelt_setting_is_one_clear_line(tmp_path: Path) -> None:
    assert "write POOL_SIZE" in failed_start(tmp_path, POOLSIZE="3")


def test_a_missing_migration_is_one_clear_line_without_migrate(
    tmp_path: Path, empty_database_url: str
) -> None:
    line = failed_start(tmp_path, DATABASE_URL=empty_database_url, MIGRATE="off")
    assert "the schema lacks 001_" in line


@pytest.mark.parametrize("arguments", [["serve.py"], ["cli.py", "demo", "3"]])
def test_the_env_file_is_that_of_the_project_wherever_a_command_is_called(
    tmp_path: Path, arguments: list[str]
) -> None:
    project = tmp_path / "roster"
    shutil.copytree(
        ROOT, project, ignore=shutil.ignore_patterns(".*", "__pycache__", "data", "docs", "tests")
    )
    (project / ".env").write_text("COLOUR=red\n")
    done = subprocess.run(
        [sys.executable, project / arguments[0], *arguments[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "'COLOUR' in .env is not the name of a setting" in done.stderr


def test_a_data_folder_that_needs_one_for_temporary_files_says_so_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / "data"  # too long for the path of a socket
    process = start_process(
        tmp_path, tuning="import tempfile; tempfile._candidate_tempdir_list = list", DATA_DIR=str(folder)
    )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = error.splitlines()
    assert "cannot be used: No usable temporary directory found" in line


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [(["--version"], 0, VERSION), (["--help"], 0, "Usage:"), (["--nonsense"], 2, "No such option")],
)
def test_the_command_line_is_checked(tmp_path: Path, arguments: list[str], status: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "serve.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert text in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("database_url", "shown"),
    [
        ("postgresql://me:s3cret@db/roster", "postgresql://me:***@db:5432/roster"),
        ("host=a,b port=1,2 user=me password=s3cret dbname=r", "postgresql://me:***@a:1,b:2/r"),
        ("postgresql://a,b:6432/r?user=me&password=s3cret", "postgresql://me:***@a:5432,b:6432/r"),
        ("host=::1 dbname=r", "postgresql://[::1]:5432/r"),
        ("postgresql://m%40e@/r?host=/a%20b", "postgresql://m%40e@/r?host=/a%20b"),
    ],
)
def test_a_database_url_is_shown_without_its_password(database_url: str, shown: str) -> None:
    assert display_url(database_url) == shown
