"""Snapshots as HTML, rendered once for each locale."""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from markupsafe import Markup
from quart import Quart, render_template

from services.live_list import Snapshot
from web.compression import EncodedBody, compress
from web.i18n import Locale, force_locale, present_year

_Key = tuple[Locale, int]  # with the year


@dataclass(frozen=True)
class RenderedSnapshot:
    """A page, and the fragment that updates an open page."""

    event_id: str
    page: str
    list_update: Markup

    @cached_property
    def event(self) -> bytes:
        """The list update as a Server-Sent Event (WHATWG HTML, 9.2)."""
        data = "".join(f"data: {line}\n" for line in self.list_update.split("\n") if line)
        return f"id: {self.event_id}\n{data}\n".encode()

    @cached_property
    def compressed_page(self) -> dict[str, EncodedBody]:
        """The page by content coding."""
        return compress(self.page.encode(), brotli_quality=5)


class SnapshotRenderer:
    """Renders each snapshot once for each locale.

    Whoever first asks for it has it rendered; the others wait for that. It is rendered again in a
    new year, in which the times of the old one have their year.
    """

    def __init__(self, app: Quart) -> None:
        self._app = app
        self._rendered: WeakKeyDictionary[Snapshot, dict[_Key, RenderedSnapshot]] = WeakKeyDictionary()
        self._lock = asyncio.Lock()

    async def render(self, snapshot: Snapshot, locale: Locale) -> RenderedSnapshot:
        """Return the snapshot, rendered in that locale."""
        rendered = self._rendered.setdefault(snapshot, {})
        key = locale, present_year()
        if key not in rendered:
            async with self._lock:
                if key not in rendered:
                    rendered[key] = await self._render(snapshot, locale)
        return rendered[key]

    async def _render(self, snapshot: Snapshot, locale: Locale) -> RenderedSnapshot:
        with force_locale(locale):
            async with self._app.app_context():
                context = {
                    "user_page": snapshot.user_page,
                    "is_live": snapshot.is_live,
                    "away_since": snapshot.away_since,
                }
                page = await render_template("home.html", **context)
                list_update = await render_template("_list_update.html", **context)
        return RenderedSnapshot(snapshot.event_id, page, Markup(list_update))  # noqa: S704 (a template's)
