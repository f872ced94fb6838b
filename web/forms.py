"""Reading the fields of forms and queries strictly."""

import re
from typing import NamedTuple
from urllib.parse import parse_qs

from quart import abort, g, request

from services.validation import REPLACEMENT_CHARACTER

MAX_BODY_LENGTH = 16 * 1024
MAX_SEARCH_LENGTH = 100  # longer than any user name
FORM_TYPE = "application/x-www-form-urlencoded"


class ListQuery(NamedTuple):
    """What a request asks of the list: a search, and cursors."""

    q: str
    before: str
    after: str


def parse_fields(encoded: bytes, *names: str) -> list[str]:
    """Return the named fields of a URL-encoded form or query.

    A missing field is "".

    What is no UTF-8 or no percent-encoding, or stands there twice, comes back as U+FFFD, which the
    rules of every field refuse. (The framework's parser passes broken bytes on as if typed.)
    """
    text = re.sub("%(?![0-9A-Fa-f]{2})", REPLACEMENT_CHARACTER, encoded.decode(errors="replace"))
    fields = parse_qs(text, keep_blank_values=True, errors="replace")
    found = [fields.get(name, [""]) for name in names]
    return [values[0] if len(values) == 1 else REPLACEMENT_CHARACTER for values in found]


async def read_body() -> bytes:
    """Return the request's body, once all of it has come."""
    return await request.get_data(cache=True, as_text=False, parse_form_data=False)


async def read_form(*names: str) -> list[str]:
    """Return the named fields of the form; see `parse_fields`.

    `submitted` returns them again.
    """
    body = await read_body()
    if body and request.mimetype != FORM_TYPE:
        abort(415)
    values = parse_fields(body, *names)
    g.form = dict(zip(names, values, strict=True))
    return values


def submitted(name: str) -> str:
    """Return a field of the form that was read, "" without one."""
    return str(g.get("form", {}).get(name, ""))


def read_query(*names: str) -> list[str]:
    """Return the named fields of the request's query."""
    return parse_fields(request.query_string, *names)


def read_list_query() -> ListQuery:
    """Return which part of the list the request asks for."""
    q, before, after = read_query("q", "before", "after")
    return ListQuery(q[:MAX_SEARCH_LENGTH], before, after)
