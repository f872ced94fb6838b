"""The log: one format for every line, on stderr.

The libraries' own lines (Hypercorn, Quart, asyncio, psycopg) come through here too.
"""

import logging
import re
import sys
import time
from collections import Counter
from io import TextIOWrapper

import psycopg

REPEAT_SECONDS = 10.0  # between two lines on the same cause
# Line breaks, escape sequences, and marks that reorder a line: what is logged may come from outside.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

logger = logging.getLogger(__name__)
organiser_logger = logging.getLogger("organiser")
organiser_logger.setLevel(logging.INFO)  # all others have theirs from set_up_output

_quiet_until: dict[str, float] = {}
_left_out: Counter[str] = Counter()


def set_up_output() -> None:
    """Log to stderr; let stdout escape what it cannot encode."""
    if isinstance(sys.stdout, TextIOWrapper):  # else it is closed
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.captureWarnings(capture=True)
    # Each connection of the pool would report each attempt: two lines a second, for as long as it takes.
    logging.getLogger("psycopg.pool").addFilter(lambda record: is_due(record.name))


class _Formatter(logging.Formatter):
    """Puts time and level before each line.

    A message is one line. Those of a traceback are indented, so that no text can look like a message.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return f"{super().formatMessage(record)} {record.name}: {_escape(record.message)}"

    def format(self, record: logging.LogRecord) -> str:
        first, *traceback = super().format(record).split("\n")
        prefix = super().formatMessage(record)
        return "\n".join([first, *(f"{prefix}   {_escape(line)}" for line in traceback)])


def log_organiser(action: str) -> None:
    """Log what an organiser does. It names nobody."""
    organiser_logger.info("%s", action)


def _escape(text: str) -> str:
    return CONTROL_CHARACTERS.sub(lambda found: ascii(found[0])[1:-1], text)


def is_due(cause: str) -> bool:
    """Return whether a cause may have a line again."""
    now = time.monotonic()
    if now < _quiet_until.get(cause, 0):
        return False
    _quiet_until[cause] = now + REPEAT_SECONDS
    return True


def log_unavailable(error: Exception) -> None:
    """Log why a request is answered with 503.

    Each cause has one line in 10 s. The next one says how many requests were left out.
    """
    cause = type(error).__name__
    _left_out[cause] += 1
    if not is_due(cause):
        return
    more = _left_out.pop(cause) - 1
    left_out = f"{more} more since the last such line" if more else ""
    logger.warning(": ".join(filter(None, ["503 Service Unavailable", cause, _reason(error), left_out])))


def _reason(error: Exception) -> str:
    """Return what happened, without the statement and its values.

    PostgreSQL may put those into the further lines and the details of an error.
    """
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or " ".join(str(error).split())
