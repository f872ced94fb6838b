"""Snapshots as HTML, rendered once for each variant."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from markupsafe import Markup
from quart import Quart, render_template

from services.live_list import Snapshot
from web.compression import EncodedBody, compress
from web.i18n import Locale, force_locale, present_year

T = TypeVar("T")


class SnapshotRenderer:
    """Renders each snapshot once for each variant.

    Those are its locales, and for list updates also whether an organiser gets it. Whoever first asks for
    one has it rendered; the others wait for that. It is rendered again in a new year, in which the times
    of the old one have their year.
    """

    def __init__(self, app: Quart) -> None:
        self._app = app
        self._rendered: WeakKeyDictionary[Snapshot, dict[object, Any]] = WeakKeyDictionary()
        self._lock = asyncio.Lock()

    async def render_page(self, snapshot: Snapshot, locale: Locale) -> dict[str, EncodedBody]:
        """Return the page of a visitor without cookies.

        It comes by content coding.
        """

        def build(html: str) -> dict[str, EncodedBody]:
            return compress(html.encode(), brotli_quality=5)

        return await self._render(snapshot, locale, "home.html", build)

    async def render_list_update(
        self, snapshot: Snapshot, locale: Locale, *, is_organiser: bool = False
    ) -> Markup:
        """Return what changes on open pages."""
        return await self._render(snapshot, locale, "_list_update.html", Markup, is_organiser=is_organiser)

    async def render_event(self, snapshot: Snapshot, locale: Locale, *, is_organiser: bool = False) -> bytes:
        """Return what changes as a Server-Sent Event."""
        list_update = await self.render_list_update(snapshot, locale, is_organiser=is_organiser)
        return await self._render(
            snapshot,
            locale,
            "_event.html",
            partial(format_event, snapshot.event_id),
            is_organiser=is_organiser,
            list_update=list_update,
        )

    async def _render(
        self,
        snapshot: Snapshot,
        locale: Locale,
        template: str,
        build: Callable[[str], T],
        *,
        is_organiser: bool = False,
        **context: object,
    ) -> T:
        rendered = self._rendered.setdefault(snapshot, {})
        key = template, locale, is_organiser, present_year()
        if key not in rendered:
            async with self._lock:
                if key not in rendered:
                    with force_locale(locale):
                        async with self._app.app_context():
                            html = await render_template(
                                template,
                                user_page=snapshot.user_page,
                                roster=snapshot.user_page.roster,
                                is_organiser=is_organiser,
                                is_live=snapshot.is_live,
                                away_since=snapshot.away_since,
                                **context,
                            )
                    rendered[key] = build(html)
        return cast("T", rendered[key])


def format_event(event_id: str, html: str) -> bytes:
    """Return a Server-Sent Event (WHATWG HTML, 9.2)."""
    # A carriage return alone would end a line, too. Empty lines may be those of a description.
    data = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", html))
    return f"id: {event_id}\n{data}\n".encode()
