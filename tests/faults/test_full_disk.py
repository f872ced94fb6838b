"""The disk of the embedded PostgreSQL is full, and later has room again."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.helpers import StartServer, register, usernames

DISK = "200m"
MANY = 500  # more registrations than the pages of the tables have room for


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where `serve` keeps its data."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user or container cannot mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(65536))
        except OSError:
            os.fsync(filler.fileno())


async def test_a_full_disk_refuses_what_it_cannot_keep(disk: Path, serve: StartServer) -> None:
    roster = serve()
    done = set()
    async with httpx.AsyncClient(base_url=roster.url, timeout=60) as client:
        fill(disk / "filler")
        for number in range(MANY):
            response = await register(client, f"user{number}x")
            if response.status_code == 503:
                break
            assert response.status_code == 303
            done.add(f"user{number}x")
        assert "Nothing is lost" in response.text
        assert (await client.get("/?q=user0x")).status_code == 200
        (disk / "filler").unlink()
        while (again := await register(client, f"user{number}x")).status_code != 303:
            assert again.status_code == 503
        done.add(f"user{number}x")
    with psycopg.connect(roster.database) as psql:
        assert set(usernames(psql)) == done
    assert roster.stop() == 0
    assert "503 Service Unavailable: DiskFull: could not extend file" in roster.stderr()
