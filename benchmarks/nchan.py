"""nginx with nchan, the peer of the live list: it sends what is published to all who listen."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.programs import PATH, install_packages

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")  # where Debian has it
PACKAGES = ["nginx", "libnginx-mod-nchan"]
START_SECONDS = 10
CONFIGURATION = """
load_module {module};
{user}
daemon off;
pid {folder}/pid;
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 64k;
    nchan_shared_memory_size 128m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /live {{ nchan_subscriber eventsource; nchan_channel_id list; }}
        location = /publish {{ nchan_publisher; nchan_channel_id list; nchan_message_buffer_length 1; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nchan:
    """An nginx that runs: `GET /live` follows, `POST /publish` sends an event's data to all."""

    process: psutil.Process
    url: str

    def memory(self) -> int:
        """Return the bytes of all its processes; what they share counts once (PSS)."""
        processes = [self.process, *self.process.children()]
        return sum(process.memory_full_info().pss for process in processes)


@contextmanager
def running_nchan(workers: int, viewers: int) -> Iterator[Nchan]:
    """Run it for so many viewers, which may all come to one worker; install it where Debian has it."""
    if not MODULE.exists():
        install_packages(PACKAGES)
    program = shutil.which("nginx", path=PATH)
    if program is None or not MODULE.exists():
        raise SystemExit("this needs nginx with nchan, found none and could not install it")
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        text = CONFIGURATION.format(
            module=MODULE,
            user="" if os.geteuid() else "user root;",
            folder=folder,
            workers=workers,
            files=viewers + 1000,
            port=port,
        )
        path = Path(folder, "nginx.conf")
        path.write_text(text)
        log = Path(folder, "error.log")
        process = subprocess.Popen([program, "-e", log, "-c", path], stderr=subprocess.DEVNULL)
        try:
            _wait(port, log)
            yield Nchan(psutil.Process(process.pid), f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, log: Path) -> None:
    """Wait until it accepts connections."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nginx does not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
