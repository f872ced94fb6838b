"""A bare ASGI function on Hypercorn, the least that a Python program on it can do.

Run as a program with the number of a listening socket and a JSON file that holds the answer.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

EMPTY = "/empty"  # answered with 304 and the same headers


def main() -> None:
    """Serve the answer until a signal ends the process."""
    answer = json.loads(Path(sys.argv[2]).read_text())
    body = answer["body"].encode()
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
    page = {"type": "http.response.start", "status": 200, "headers": headers}
    empty = {
        **page,
        "status": 304,
        "headers": [(name, value) for name, value in headers if name != b"content-length"],
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001 (ASGI)
        if scope["type"] != "http":
            return
        is_empty = scope["path"] == EMPTY
        await send(empty if is_empty else page)
        await send({"type": "http.response.body", "body": b"" if is_empty else body})

    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.include_server_header = False  # as Roster
    config.keep_alive_max_requests = sys.maxsize
    config.errorlog = None  # it would say where it runs
    uvloop.run(serve(app, config))


if __name__ == "__main__":
    main()
