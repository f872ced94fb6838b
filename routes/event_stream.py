"""The event stream: every change of the list (SSE)."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
from quart import Blueprint, Response, request
from werkzeug.exceptions import TooManyRequests

from queries import organisers
from services.live_list import TooManyViewersError
from services.logs import log_unavailable
from services.tokens import hash_token
from web.client_address import client_address
from web.cookies import ORGANISER, read_cookie
from web.error_responses import RETRY_SECONDS
from web.forms import read_query
from web.i18n import Locale, get_locale
from web.request_context import Services, services

# A classroom of 300 behind one address, each with three windows, needs 900.
STREAMS_PER_ADDRESS = 2000
HEARTBEAT_SECONDS = 15.0  # of silence, after which proxies might close the stream
HEARTBEAT = b":\nevent: heartbeat\n\n"  # a comment, and an event for scripts, which see no comments

bp = Blueprint("event_stream", __name__)


@bp.get("/live")
async def stream() -> Response:
    """Send the changes of the list that the viewer lacks."""
    live_list, settings, address = services().live_list, services().settings, client_address()
    if live_list.viewers >= settings.max_viewers:
        raise TooManyViewersError(f"MAX_VIEWERS is {settings.max_viewers}")
    if settings.rate_limits and live_list.streams[address] >= STREAMS_PER_ADDRESS:
        raise TooManyRequests(retry_after=RETRY_SECONDS)
    version, shows_organiser = read_query("version", "organiser")
    # Only a page that shows an organiser's controls has the places for what changes there.
    organiser = hash_token(read_cookie(ORGANISER)) if shows_organiser else None
    last_event_id = request.headers.get("Last-Event-ID", version)
    # None, for which there is no Content-Length, as there is none for the stream (RFC 9110, 8.6).
    body = (
        None
        if request.method == "HEAD"
        else generate_events(services(), get_locale(), last_event_id, address, organiser)
    )
    response = Response(body, content_type="text/event-stream")
    response.timeout = None  # Quart would cut it after 60 s
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


async def generate_events(
    services: Services, locale: Locale, last_event_id: str, address: str, organiser: bytes | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the events after the one of that id, and heartbeats.

    `organiser` is the hash of an organiser's token. Once it is no organiser's any more, the events are
    those of everybody, which also take away what only an organiser sees.

    This runs after the request's context has ended, so it is given what it needs of that.
    """
    live_list = services.live_list
    with live_list.streams.counting(address):
        sent = live_list.snapshot
        if sent and sent.event_id != last_event_id:
            sent = None
        yield HEARTBEAT
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    sent = await live_list.next_snapshot(sent)
            except TimeoutError:
                yield HEARTBEAT
            else:
                if sent is None:
                    break
                # The snapshot may be older than the token.
                try:
                    is_organiser = organiser is not None and (
                        organiser in sent.user_page.roster.organisers
                        or await organisers.is_organiser(services.database, organiser)
                    )
                except psycopg.Error as error:  # the page connects again
                    log_unavailable(error)
                    break
                if not is_organiser:
                    organiser = None
                rendered = services.snapshot_renderer.render(sent, locale, is_organiser=is_organiser)
                yield rendered.event
