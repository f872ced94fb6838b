"""The home page of anonymous visitors, answered from memory.

It stands in front of the framework, which costs more than all the rest of such a response.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    HTTPScope,
    Scope,
)
from hypercorn.typing import ASGISendEvent as Event
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header, parse_etags
from werkzeug.sansio.http import parse_cookie

from services.live_list import LiveList, Snapshot
from web.compression import compress, evaluate_preconditions
from web.cookies import has_personal_cookies
from web.i18n import LANGUAGE_TAGS, Locale, negotiate_locale, present_year

# The language that the query names.
LANGUAGES = {b"": ""} | {f"lang={language}".encode(): language for language in LANGUAGE_TAGS}
BODY_HEADERS = {b"content-length", b"content-type"}  # which are not in a 304 (RFC 9110, 15.4.5)
CACHE_CONTROL = b"no-cache"  # of the page that the route makes from the snapshot, and for nobody alone
EMPTY_BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}

Headers = dict[bytes, str]


@dataclass(frozen=True)
class Representation:
    """The page in one content coding, as ASGI messages.

    `start_messages` has the first message of the response by its status.
    """

    etag: str
    start_messages: dict[int, HTTPResponseStartEvent]
    body: HTTPResponseBodyEvent


Page = dict[str, Representation]  # by content coding


class HomePageCache:
    """Answers `GET /` of anonymous visitors.

    That is while the list is live. The framework renders the page once for each snapshot, locale and
    scheme, and gets all other requests.
    """

    def __init__(self, app: ASGIFramework, live_list: LiveList) -> None:
        self.app = app
        self.live_list = live_list
        self._snapshot: Snapshot | None = None
        self._pages: dict[object, Page] = {}
        self._lock = asyncio.Lock()

    def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> Awaitable[None]:
        """Answer the request, or pass it on.

        This is not `async`: an event stream would keep its coroutine for as long as it is open.
        """
        if scope["type"] != "http" or (headers := read_anonymous_request(scope)) is None:
            return self.app(scope, receive, send)
        return self._answer(headers, scope, receive, send)

    async def _answer(
        self,
        headers: Headers,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        snapshot = self.live_list.live_snapshot
        page = await self._find_page(snapshot, scope, headers) if snapshot else None
        if page is None:
            await self.app(scope, receive, send)
            return
        # What HTTP/2 may send as a body would fill the queue, and hold the connection for ever.
        while (await receive()).get("more_body"):
            pass
        representation = page[choose_coding(headers.get(b"accept-encoding", ""), tuple(page))]
        status = evaluate_preconditions(
            parse_etags(headers.get(b"if-match")),
            parse_etags(headers.get(b"if-none-match")),
            representation.etag,
        )
        await send(representation.start_messages[status])
        has_body = status == HTTPStatus.OK and scope["method"] != "HEAD"
        await send(representation.body if has_body else EMPTY_BODY)

    async def _find_page(self, snapshot: Snapshot, scope: HTTPScope, headers: Headers) -> Page | None:
        """Return the page, None if it could not be rendered."""
        if snapshot is not self._snapshot:
            self._snapshot, self._pages = snapshot, {}
        pages, accepted = self._pages, headers.get(b"accept-language", "")
        key = choose_locale(scope["query_string"], accepted), scope["scheme"], present_year()
        if key not in pages:
            async with self._lock:
                is_missing = key not in pages and self.live_list.live_snapshot
                if is_missing and (page := await self._render(scope, accepted)):
                    pages[key] = page
        return pages.get(key)

    async def _render(self, scope: HTTPScope, accepted: str) -> Page | None:
        """Have the framework render the page for everybody.

        Only the language and the scheme of this visitor's request matter.
        """
        messages: list[Event] = []
        anonymous_scope = scope | {
            "method": "GET",
            "headers": [(b"accept-language", accepted.encode("latin-1"))],
        }

        async def collect(message: Event) -> None:
            messages.append(message)

        await self.app(anonymous_scope, _receive_nothing, collect)
        start = cast("HTTPResponseStartEvent", messages[0])
        body = b"".join(cast("HTTPResponseBodyEvent", message)["body"] for message in messages[1:])
        is_from_snapshot = (b"cache-control", CACHE_CONTROL) in start["headers"]
        return build_page(start, body) if start["status"] == HTTPStatus.OK and is_from_snapshot else None


def read_anonymous_request(scope: HTTPScope) -> Headers | None:
    """Return the headers of a request for everybody's page.

    None if it asks for anything else, has a body, or comes from somebody whom the page may know.
    """
    if (
        scope["path"] != "/"
        or scope["method"] not in {"GET", "HEAD"}
        or scope["query_string"] not in LANGUAGES
    ):
        return None
    headers: Headers = {}
    cookies = []
    for name, value in scope["headers"]:
        if name == b"cookie":  # HTTP/2 may split it (RFC 9113, 8.2.3)
            cookies.append(value.decode("latin-1"))
        else:
            headers.setdefault(name, value.decode("latin-1"))
    has_body = b"content-length" in headers or b"transfer-encoding" in headers
    is_personal = cookies and has_personal_cookies(parse_cookie(";".join(cookies)))
    return None if has_body or is_personal else headers


@lru_cache
def choose_locale(query: bytes, accepted: str) -> Locale:
    """Return the locale; see `negotiate_locale`."""
    return negotiate_locale(LANGUAGES[query], parse_accept_header(accepted, LanguageAccept))


@lru_cache
def choose_coding(accepted: str, codings: tuple[str, ...]) -> str:
    """Return the content coding that the browser likes best."""
    return parse_accept_header(accepted).best_match(codings, default="identity") or "identity"


def build_page(start: HTTPResponseStartEvent, body: bytes) -> Page:
    """Return the framework's page in each content coding."""
    page = {}
    for coding, encoded in compress(body, brotli_quality=5).items():
        headers = dict(start["headers"]) | {
            b"content-length": str(len(encoded.content)).encode(),
            b"etag": f'"{encoded.etag}"'.encode(),
        }
        headers[b"vary"] += b", Accept-Encoding"
        bodiless = [(name, value) for name, value in headers.items() if name not in BODY_HEADERS]
        if coding != "identity":
            headers[b"content-encoding"] = coding.encode()
        page[coding] = Representation(
            encoded.etag,
            {
                status: {"type": "http.response.start", "status": status, "headers": each}
                for status, each in (
                    (HTTPStatus.OK, list(headers.items())),
                    (HTTPStatus.NOT_MODIFIED, bodiless),
                    (HTTPStatus.PRECONDITION_FAILED, [*bodiless, (b"content-length", b"0")]),
                )
            },
            {"type": "http.response.body", "body": encoded.content, "more_body": False},
        )
    return page


async def _receive_nothing() -> ASGIReceiveEvent:
    await asyncio.Event().wait()
    raise AssertionError
