"""Rendering templates.

The framework's own `render_template` is for templates that wait for something. Ours do not, and then take
two thirds of the time.
"""

from functools import cached_property, lru_cache
from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup
from quart import Quart

from queries.roster import Roster
from queries.users import User
from services.live_list import LiveList
from web.i18n import Locale, get_locale, present_year

KEPT_ROWS = 1000  # of the list, as HTML; a page has 50
# What templates may ask for although a route has nothing to say about it.
OPTIONAL = (
    "account",
    "account_is_unknown",
    "away_since",
    "error",
    "flashed",
    "invitation",
    "is_organiser",
    "list_update",
    "place",
    "registered",
    "reset_link",
    "sign_in_username",
    "typed",
    "typed_username",
)


class RowVariant(NamedTuple):
    """What the HTML of a row depends on, beside the user."""

    is_own: bool
    is_organiser: bool
    locale: Locale
    year: int


class Templates:
    """Renders the templates of an application.

    In them, `render_rows` returns rows of the list. Most of those of a page were on the one before.
    """

    def __init__(self, app: Quart, live_list: LiveList) -> None:
        self._app = app
        self._live_list = live_list
        self._render_row = lru_cache(KEPT_ROWS)(self._render_new_row)

    def render(self, template: str, **context: object) -> str:
        """Return a template as text."""
        snapshot = self._live_list.snapshot
        roster = snapshot.user_page.roster if snapshot else Roster()
        defaults = dict.fromkeys(OPTIONAL) | {"is_live": self._live_list.is_live, "roster": roster}
        return self.environment.get_template(template).render(defaults | context)

    @cached_property
    def environment(self) -> Environment:
        """Jinja's environment, as the application has set it up."""
        environment = self._app.jinja_env.overlay(enable_async=False)
        environment.globals["render_rows"] = self._render_rows
        return environment

    def _render_rows(self, users: list[User], *, own_id: int | None, is_organiser: bool) -> Markup:
        other = RowVariant(
            is_own=False, is_organiser=bool(is_organiser), locale=get_locale(), year=present_year()
        )
        own = other._replace(is_own=True)
        rows = [self._render_row(user, own if user.id == own_id else other) for user in users]
        return Markup("".join(rows))  # noqa: S704 (our templates escape)

    def _render_new_row(self, user: User, variant: RowVariant) -> str:
        template = self.environment.get_template("_user_row.html")
        return template.render(user=user, is_own=variant.is_own, is_organiser=variant.is_organiser)
