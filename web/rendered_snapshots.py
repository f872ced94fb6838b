"""Snapshots as HTML, rendered once for each variant."""

import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from markupsafe import Markup

from services.live_list import Snapshot
from web.i18n import Locale, force_locale, present_year
from web.templates import Templates


@dataclass(frozen=True)
class RenderedSnapshot:
    """What changes on open pages.

    `list_update` is HTML, `event` is a Server-Sent Event. An organiser's event has their forms,
    too.
    """

    list_update: Markup
    event: bytes


class SnapshotRenderer:
    """Renders each snapshot once for each variant.

    Those are its locales, and whether an organiser gets it.
    """

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._rendered: WeakKeyDictionary[Snapshot, dict[object, RenderedSnapshot]] = WeakKeyDictionary()

    def render(self, snapshot: Snapshot, locale: Locale, *, is_organiser: bool = False) -> RenderedSnapshot:
        """Return what a snapshot changes on open pages."""
        rendered = self._rendered.setdefault(snapshot, {})
        key = locale, is_organiser, present_year()
        if key not in rendered:
            with force_locale(locale):
                rendered[key] = self._render(snapshot, is_organiser=is_organiser)
        return rendered[key]

    def _render(self, snapshot: Snapshot, *, is_organiser: bool) -> RenderedSnapshot:
        context = {
            "user_page": snapshot.user_page,
            "roster": snapshot.user_page.roster,
            "is_organiser": is_organiser,
            "is_live": snapshot.is_live,
            "away_since": snapshot.away_since,
        }
        list_update = self._templates.render("_list_update.html", **context)
        organiser = self._templates.render("_organiser_update.html", **context) if is_organiser else ""
        return RenderedSnapshot(
            Markup(list_update),  # noqa: S704 (our templates escape)
            format_event(snapshot.event_id, list_update + organiser),
        )


def format_event(event_id: str, html: str) -> bytes:
    """Return a Server-Sent Event (WHATWG HTML, 9.2)."""
    # A carriage return alone would end a line, too. Empty lines may be those of a description.
    data = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", html))
    return f"id: {event_id}\n{data}\n".encode()
