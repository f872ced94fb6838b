import gc
import weakref
from datetime import UTC, datetime

import pytest
from quart import Quart

from tests.helpers import make_snapshot, names_in, set_clock, text_of
from web.i18n import Locale
from web.rendered_snapshots import SnapshotRenderer, format_event
from web.request_context import get_services

ENGLISH, CHINESE = Locale("en"), Locale("zh")


@pytest.fixture
def renderer(app: Quart) -> SnapshotRenderer:
    return get_services(app).snapshot_renderer


async def test_a_snapshot_is_rendered_once_for_each_variant(
    app: Quart, renderer: SnapshotRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    templates = get_services(app).templates
    render = templates.render

    def count_and_render(template: str, **context: object) -> str:
        rendered.append(template)
        return render(template, **context)

    monkeypatch.setattr(templates, "render", count_and_render)
    for snapshot in make_snapshot(1), make_snapshot(1):
        for locale in ENGLISH, CHINESE, Locale("en", chosen=True):
            for is_organiser, expected in ((False, []), (True, ["_organiser_update.html"])):
                rendered.clear()
                first, second = (
                    renderer.render(snapshot, locale, is_organiser=is_organiser) for _ in range(2)
                )
                assert first is second
                assert rendered == ["_list_update.html", *expected]


async def test_snapshots_and_locales_are_not_mixed_up(renderer: SnapshotRenderer) -> None:
    old, new = make_snapshot(1, "zoe"), make_snapshot(2, "eve", "zoe")
    for snapshot, locale in ((old, ENGLISH), (new, ENGLISH), (new, CHINESE), (old, CHINESE)):
        update = (renderer.render(snapshot, locale)).list_update
        assert names_in(update) == [user.username for user in snapshot.user_page.users]
        assert text_of(update, "#live") == ("Live" if locale is ENGLISH else "实时更新")


async def test_a_new_year_gives_the_times_of_the_old_one_their_year(
    renderer: SnapshotRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make_snapshot(1, away_since=datetime(2026, 12, 31, 22, 5, tzinfo=UTC))
    for now, time in (
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "Dec 31 22:05 UTC"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "Dec 31, 2026 22:05 UTC"),
    ):
        set_clock(monkeypatch, now)
        assert time in text_of((renderer.render(snapshot, ENGLISH)).list_update, "#away")


async def test_a_snapshot_that_nobody_holds_is_forgotten(renderer: SnapshotRenderer) -> None:
    snapshot = make_snapshot()
    renderer.render(snapshot, ENGLISH)
    forgotten = weakref.ref(snapshot)
    del snapshot
    gc.collect()
    assert forgotten() is None


async def test_an_event_is_written_as_the_standard_asks(renderer: SnapshotRenderer) -> None:
    event = (renderer.render(make_snapshot(7, "zoe"), ENGLISH)).event
    first, *lines = event.decode().split("\n")
    assert first == "id: 7"
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[:-2])
    data = "\n".join(line.removeprefix("data: ") for line in lines[:-2])
    assert names_in(data) == ["zoe"]
    assert text_of(data, "#count") == "1"


async def test_an_event_without_the_database_has_an_id_of_its_own(renderer: SnapshotRenderer) -> None:
    first = datetime(2026, 11, 26, tzinfo=UTC)
    ids = {
        make_snapshot(*page, away_since=since).event_id for page in ((7,), (8,)) for since in (None, first)
    }
    assert len(ids) == 4
    snapshot = make_snapshot(7, "zoe", away_since=first)
    rendered = renderer.render(snapshot, ENGLISH)
    assert rendered.event.startswith(f"id: {snapshot.event_id}\n".encode())
    assert "cannot reach its database" in text_of(rendered.list_update, "#away")


async def test_no_text_ends_a_line_of_an_event(renderer: SnapshotRenderer) -> None:
    event = (renderer.render(make_snapshot(7, "a\r\rretry: 9\r\ndata: b"), ENGLISH)).event
    assert b"\r" not in event
    _, *lines = event.decode().removesuffix("\n\n").split("\n")
    assert all(line.startswith("data: ") for line in lines)


def test_an_event_keeps_empty_lines() -> None:
    assert format_event("7", "a\n\nb") == b"id: 7\ndata: a\ndata: \ndata: b\n\n"
