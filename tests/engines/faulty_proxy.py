"""A proxy in front of Roster that gives bad answers to `/live`."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class FaultyProxy(socketserver.ThreadingTCPServer):
    """Passes requests on, but those to `/live` only where there is no `live_answer`."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.target = ("127.0.0.1", int(urlsplit(url).port or 80))
        self.live_answer: bytes | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.start()
        yield
        self.shutdown()
        thread.join()

    @contextmanager
    def answering(self, live_answer: bytes) -> Iterator[None]:
        """Answer `/live` so within the block; b"" closes the connection without an answer."""
        self.live_answer = live_answer
        yield
        self.live_answer = None


class _ProxyHandler(socketserver.BaseRequestHandler):
    """Handles one request: the response ends the connection."""

    server: FaultyProxy

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65_536)
            if not received:
                return
            head += received
        if head.startswith(b"GET /live") and self.server.live_answer is not None:
            self.request.sendall(self.server.live_answer)
            return
        with socket.create_connection(self.server.target) as upstream:
            upstream.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            threading.Thread(target=_copy, args=(self.request, upstream), daemon=True).start()
            _copy(upstream, self.request)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until one of them ends; then end the other one."""
    with suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
