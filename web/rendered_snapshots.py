"""Snapshots as HTML, rendered once for each variant."""

import asyncio
import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from markupsafe import Markup
from quart import Quart, render_template

from services.live_list import Snapshot
from web.i18n import Locale, force_locale, present_year


@dataclass(frozen=True)
class RenderedSnapshot:
    """What changes on open pages.

    `list_update` is the HTML of it, `event` is a Server-Sent Event. An organiser's event has their forms,
    too.
    """

    list_update: Markup
    event: bytes


class SnapshotRenderer:
    """Renders each snapshot once for each variant.

    Those are its locales, and whether an organiser gets it. Whoever first asks for one has it rendered;
    the others wait for that. It is rendered again in a new year, in which the times of the old one have
    their year.
    """

    def __init__(self, app: Quart) -> None:
        self._app = app
        self._rendered: WeakKeyDictionary[Snapshot, dict[object, RenderedSnapshot]] = WeakKeyDictionary()
        self._lock = asyncio.Lock()

    async def render(
        self, snapshot: Snapshot, locale: Locale, *, is_organiser: bool = False
    ) -> RenderedSnapshot:
        """Return what a snapshot changes on open pages."""
        rendered = self._rendered.setdefault(snapshot, {})
        key = locale, is_organiser, present_year()
        if key not in rendered:
            async with self._lock:
                if key not in rendered:
                    with force_locale(locale):
                        rendered[key] = await self._render(snapshot, is_organiser=is_organiser)
        return rendered[key]

    async def _render(self, snapshot: Snapshot, *, is_organiser: bool) -> RenderedSnapshot:
        context = {
            "user_page": snapshot.user_page,
            "roster": snapshot.user_page.roster,
            "is_organiser": is_organiser,
            "is_live": snapshot.is_live,
            "away_since": snapshot.away_since,
        }
        async with self._app.app_context():
            list_update = await render_template("_list_update.html", **context)
            organiser = await render_template("_organiser_update.html", **context) if is_organiser else ""
        return RenderedSnapshot(
            Markup(list_update),  # noqa: S704 (our templates escape)
            format_event(snapshot.event_id, list_update + organiser),
        )


def format_event(event_id: str, html: str) -> bytes:
    """Return a Server-Sent Event (WHATWG HTML, 9.2)."""
    # A carriage return alone would end a line, too. Empty lines may be those of a description.
    data = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", html))
    return f"id: {event_id}\n{data}\n".encode()
