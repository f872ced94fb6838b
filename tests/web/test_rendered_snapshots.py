import asyncio
import gc
import weakref
from datetime import UTC, datetime
from functools import partial

import pytest
from quart import Quart, render_template

from services.live_list import Snapshot
from tests.helpers import make_snapshot, names_in, parse_html, set_clock, text_of
from web.i18n import Locale
from web.rendered_snapshots import SnapshotRenderer, format_event
from web.request_context import get_services

ENGLISH, CHINESE = Locale("en"), Locale("zh")


@pytest.fixture
def renderer(app: Quart) -> SnapshotRenderer:
    return get_services(app).snapshot_renderer


async def render_both(renderer: SnapshotRenderer, snapshot: Snapshot, locale: Locale) -> tuple[str, str]:
    page = await renderer.render_page(snapshot, locale)
    return page["identity"].content.decode(), await renderer.render_list_update(snapshot, locale)


async def test_a_snapshot_is_rendered_once_for_each_variant(
    renderer: SnapshotRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates: list[str] = []

    async def count_and_render(template: str, **context: object) -> str:
        templates.append(template)
        await asyncio.sleep(0)
        return await render_template(template, **context)

    monkeypatch.setattr("web.rendered_snapshots.render_template", count_and_render)
    snapshots = make_snapshot(1), make_snapshot(1)
    for snapshot in snapshots:
        for locale in ENGLISH, CHINESE, Locale("en", chosen=True):
            templates.clear()
            for render in (
                renderer.render_page,
                renderer.render_list_update,
                partial(renderer.render_list_update, is_organiser=True),
                renderer.render_event,
                partial(renderer.render_event, is_organiser=True),
            ):
                rendered = await asyncio.gather(*(render(snapshot, locale) for _ in range(20)))
                rendered += [await render(snapshot, locale)]
                assert {id(each) for each in rendered} == {id(rendered[0])}
            assert templates == ["home.html", *["_list_update.html"] * 2, *["_event.html"] * 2]


async def test_snapshots_and_locales_are_not_mixed_up(renderer: SnapshotRenderer) -> None:
    old, new = make_snapshot(1, "zoe"), make_snapshot(2, "eve", "zoe")
    for snapshot, locale in ((old, ENGLISH), (new, ENGLISH), (new, CHINESE), (old, CHINESE)):
        page, update = await render_both(renderer, snapshot, locale)
        expected = [user.username for user in snapshot.user_page.users]
        assert names_in(page) == names_in(update) == expected
        assert parse_html(page).select(f'html[lang="{locale.tag}"]')


async def test_a_new_year_gives_the_times_of_the_old_one_their_year(
    renderer: SnapshotRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make_snapshot(1, away_since=datetime(2026, 12, 31, 22, 5, tzinfo=UTC))
    for now, time in (
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "Dec 31 22:05 UTC"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "Dec 31, 2026 22:05 UTC"),
    ):
        set_clock(monkeypatch, now)
        page, update = await render_both(renderer, snapshot, ENGLISH)
        for html in page, update:
            assert time in text_of(html, "#away")


async def test_a_snapshot_that_nobody_holds_is_forgotten(renderer: SnapshotRenderer) -> None:
    snapshot = make_snapshot()
    await renderer.render_event(snapshot, ENGLISH)
    forgotten = weakref.ref(snapshot)
    del snapshot
    gc.collect()
    assert forgotten() is None


async def test_an_event_is_written_as_the_standard_asks(renderer: SnapshotRenderer) -> None:
    event = await renderer.render_event(make_snapshot(7, "zoe"), ENGLISH)
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
    page, update = await render_both(renderer, snapshot, ENGLISH)
    event = await renderer.render_event(snapshot, ENGLISH)
    assert event.startswith(f"id: {snapshot.event_id}\n".encode())
    for html in page, update:
        assert "cannot reach its database" in text_of(html, "#away")


async def test_a_page_is_compressed(renderer: SnapshotRenderer) -> None:
    page = await renderer.render_page(make_snapshot(1, "张三"), CHINESE)
    assert list(page) == ["br", "gzip", "identity"]
    assert names_in(page["identity"].content.decode()) == ["张三"]


async def test_no_text_ends_a_line_of_an_event(renderer: SnapshotRenderer) -> None:
    event = await renderer.render_event(make_snapshot(7, "a\r\rretry: 9\r\ndata: b"), ENGLISH)
    assert b"\r" not in event
    _, *lines = event.decode().removesuffix("\n\n").split("\n")
    assert all(line.startswith("data: ") for line in lines)


def test_an_event_keeps_empty_lines() -> None:
    assert format_event("7", "a\n\nb") == b"id: 7\ndata: a\ndata: \ndata: b\n\n"
