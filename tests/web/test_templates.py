from datetime import UTC, datetime

import pytest
from quart import Quart

from queries.users import User
from tests.helpers import parse_html, set_clock, text_of
from web.i18n import Locale, force_locale
from web.request_context import get_services
from web.templates import Templates

ZOE = User(7, "<zoe>", datetime(2026, 12, 31, 22, 5, tzinfo=UTC))


@pytest.fixture
def templates(app: Quart) -> Templates:
    return get_services(app).templates


def render_row(templates: Templates, *, own_id: int | None = None, is_organiser: bool = False) -> str:
    template = "{{ render_rows(users, own_id=own_id, is_organiser=is_organiser) }}"
    return templates.environment.from_string(template).render(
        users=[ZOE], own_id=own_id, is_organiser=is_organiser
    )


def test_a_row_is_rendered_once(templates: Templates) -> None:
    assert text_of(render_row(templates), "#user-7 bdi") == "<zoe>"
    templates.environment.globals["format_datetime"] = None  # it would fail now
    assert text_of(render_row(templates), "#user-7 bdi") == "<zoe>"


def test_a_row_is_another_one_for_its_owner_an_organiser_a_language_and_a_new_year(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    plain = render_row(templates)
    assert text_of(plain, "relative-time") == "Dec 31 22:05 UTC"
    assert text_of(render_row(templates, own_id=7), "em") == "you"
    assert render_row(templates, own_id=8) == plain
    assert parse_html(render_row(templates, is_organiser=True)).select("details.person")
    with force_locale(Locale("zh")):
        assert text_of(render_row(templates, own_id=7), "em") == "你"
    with force_locale(Locale("en", chosen=True)):
        form = parse_html(render_row(templates, is_organiser=True)).select("form")[0]
        assert form["action"] == "/organiser/reset?lang=en"
    set_clock(monkeypatch, datetime(2027, 1, 1, tzinfo=UTC))
    assert text_of(render_row(templates), "relative-time") == "Dec 31, 2026 22:05 UTC"
    assert render_row(templates) != plain
