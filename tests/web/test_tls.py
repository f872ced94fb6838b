import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.helpers import FORM, Server, StartServer, make_certificate, start_process, wait_until

REQUESTS = int(os.environ.get("REQUESTS", "1100"))  # Hypercorn ends a connection after 1,000 by default


def served_certificate(roster: Server) -> str:
    return ssl.get_server_certificate(("127.0.0.1", int(roster.url.rpartition(":")[2])))


def client_of(settings: dict[str, str]) -> httpx.AsyncClient:
    """Return a client that trusts the certificate and speaks HTTP/2."""
    context = ssl.create_default_context(cafile=settings["TLS_CERTIFICATE"])
    return httpx.AsyncClient(http2=True, verify=context, timeout=60)


async def test_it_serves_https_with_http2(serve: StartServer, tmp_path: Path, database_url: str) -> None:
    settings = make_certificate(tmp_path)
    roster = serve(DATABASE_URL=database_url, **settings)
    assert roster.url.startswith("https://127.0.0.1:")
    async with client_of(settings) as client:
        await client.post(f"{roster.url}/register", data=FORM)
        response = await client.post(f"{roster.url}/sign-in", data=FORM, headers={"Origin": roster.url})
    assert (response.http_version, response.status_code) == ("HTTP/2", 303)
    assert response.headers["Set-Cookie"].startswith("__Host-session=")
    assert "secure" in response.headers["Set-Cookie"].lower()
    assert "Strict-Transport-Security" in response.headers
    assert await asyncio.to_thread(roster.stop) == 0
    assert roster.stderr() == ""


async def test_a_stream_outlives_thousands_of_requests_on_its_connection(
    serve: StartServer, tmp_path: Path, database_url: str
) -> None:
    settings = make_certificate(tmp_path)
    roster = serve(DATABASE_URL=database_url, **settings)
    async with client_of(settings) as client, client.stream("GET", f"{roster.url}/live") as stream:
        chunks = stream.aiter_text()
        await anext(chunks)
        for _ in range(REQUESTS):
            assert (await client.get(f"{roster.url}/healthz")).status_code == 200
        await client.post(f"{roster.url}/register", data=FORM)
        async with asyncio.timeout(30):
            while "zoe" not in await anext(chunks):
                pass


async def test_sighup_renews_the_certificate_while_a_stream_goes_on(
    serve: StartServer, tmp_path: Path, database_url: str
) -> None:
    settings = make_certificate(tmp_path, "old")
    roster = serve(DATABASE_URL=database_url, **settings)
    old = await asyncio.to_thread(served_certificate, roster)
    async with client_of(settings) as client, client.stream("GET", f"{roster.url}/live") as stream:
        chunks = stream.aiter_text()
        await anext(chunks)
        make_certificate(tmp_path, "new")
        assert served_certificate(roster) == old
        roster.process.send_signal(signal.SIGHUP)
        await wait_until(lambda: served_certificate(roster) != old)
        await client.post(f"{roster.url}/register", data=FORM)
        async with asyncio.timeout(30):
            while "zoe" not in await anext(chunks):
                pass


def test_a_renewal_that_fails_keeps_the_old_certificate(
    serve: StartServer, tmp_path: Path, database_url: str
) -> None:
    settings = make_certificate(tmp_path, "old")
    roster = serve(DATABASE_URL=database_url, **settings)
    old = served_certificate(roster)
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    Path(settings["TLS_CERTIFICATE"]).write_text(Path(other["TLS_CERTIFICATE"]).read_text())
    roster.process.send_signal(signal.SIGHUP)
    assert roster.process.stderr
    line = roster.process.stderr.readline()
    assert "does not belong" in line
    assert served_certificate(roster) == old
    assert roster.stop() == 0
    assert roster.stderr() == ""


def test_the_address_for_others_is_https(serve: StartServer, tmp_path: Path, database_url: str) -> None:
    roster = serve(BIND="0.0.0.0:0", DATABASE_URL=database_url, **make_certificate(tmp_path))
    roster.stop()
    assert roster.process.stdout
    assert not re.search("http://", roster.process.stdout.read())


def test_clients_that_speak_no_tls_leave_no_traceback(
    serve: StartServer, tmp_path: Path, database_url: str
) -> None:
    roster = serve(DATABASE_URL=database_url, **make_certificate(tmp_path))
    address = "127.0.0.1", int(roster.url.rpartition(":")[2])
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: roster\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"):
        with socket.create_connection(address) as client:
            client.sendall(sent)
    with pytest.raises(httpx.ConnectError):
        httpx.get(roster.url)  # it does not trust the certificate
    with socket.create_connection(address):
        assert roster.stop() == 0
    assert roster.stderr() == ""


def start_error(folder: Path, **settings: str) -> str:
    process = start_process(folder, **settings)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = errors.splitlines()
    return line


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [("missing.pem", "No such file"), ("nonsense.pem", "no PEM files"), (".", "Is a directory")],
)
def test_a_bad_certificate_is_one_clear_line(tmp_path: Path, certificate: str, reason: str) -> None:
    settings = make_certificate(tmp_path)
    (tmp_path / "nonsense.pem").write_text("nonsense")
    path = str(tmp_path / certificate)
    line = start_error(tmp_path, **settings | {"TLS_CERTIFICATE": path})
    assert line.startswith(f"Roster cannot start: TLS_CERTIFICATE={path}, ")
    assert reason in line


def test_a_key_with_a_password_is_one_clear_line(tmp_path: Path) -> None:
    settings = make_certificate(tmp_path)
    key = settings["TLS_KEY"]
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", key, "-out", f"{key}.locked"]
    subprocess.run(command, check=True, capture_output=True)
    assert "or the key has a password" in start_error(tmp_path, **settings | {"TLS_KEY": f"{key}.locked"})


def test_a_key_that_openssl_finds_too_short_is_one_clear_line(tmp_path: Path) -> None:
    assert "the key is too short" in start_error(tmp_path, **make_certificate(tmp_path, bits=512))
