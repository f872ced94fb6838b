from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.helpers import parse_html
from tools.soak.chart import write_chart
from tools.soak.ledger import REGISTER, Answer, Ledger, Visit, compare
from tools.soak.samples import Sample, Usage, find_growth

SAMPLE = Sample(0, Usage({7: 80}, 200, 40, 1100, 20, 4000), connections=9, viewers=1000, registrations=2)


def registration(username: str, answer: Answer) -> Visit:
    return Visit(REGISTER, username, 0, 1, answer)


def samples(memory_a_minute: float = 0) -> list[Sample]:
    """Return the samples of half an hour, in which a worker grows."""
    found = []
    for at in range(0, 1800, 5):
        memory = 80 + at / 60 * memory_a_minute
        usage = replace(SAMPLE.usage, workers={7: memory}, roster_memory=120 + memory)
        found.append(replace(SAMPLE, at=at, usage=usage))
    return found


def test_the_ledger_finds_what_is_lost_doubled_or_said_wrongly() -> None:
    visits = [
        registration("kept", Answer.DONE),
        registration("lost", Answer.DONE),
        registration("refused", Answer.NOT_DONE),
        registration("done-after-all", Answer.NOT_DONE),
        registration("unknown", Answer.UNKNOWN),
        registration("cut", Answer.NO_ANSWER),
        registration("told-that-it-exists", Answer.FALSE),
        registration("odd", Answer.UNEXPECTED),
    ]
    stored = ["kept", "kept", "done-after-all", "unknown", "cut", "somebody-else"]
    account = compare(visits, stored)
    assert account.lost == ["lost"]
    assert account.doubled == ["kept"]
    assert [visit.username for visit in account.false] == ["told-that-it-exists", "done-after-all"]
    assert [visit.username for visit in account.unexpected] == ["odd"]


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (httpx.ConnectError("refused"), Answer.NOT_CONNECTED),
        (httpx.ReadError("reset"), Answer.NO_ANSWER),
        (httpx.ReadTimeout("silence"), Answer.NO_ANSWER),
    ],
)
async def test_the_ledger_knows_what_cannot_have_been_done(error: Exception, answer: Answer) -> None:
    ledger = Ledger()

    async def send() -> tuple[httpx.Response, Answer]:
        raise error

    await ledger.record(REGISTER, "zoe", send)
    assert [visit.answer for visit in ledger.visits] == [answer]
    assert ledger.confirmed == []


def test_a_steady_run_did_not_grow() -> None:
    assert not [growth for growth in find_growth(samples()) if growth.is_too_much]


def test_a_worker_that_grows_is_found() -> None:
    grown = [growth.what for growth in find_growth(samples(memory_a_minute=2)) if growth.is_too_much]
    assert grown == ["memory of worker 7 in 28 minutes, MB"]


def test_connections_that_no_pool_may_have_are_found() -> None:
    leaking = [replace(sample, connections=9 + int(sample.at // 60)) for sample in samples()]
    grown = [growth.what for growth in find_growth(leaking) if growth.is_too_much]
    assert grown == ["connections to PostgreSQL that no pool has"]


def test_the_chart_has_every_curve(tmp_path: Path) -> None:
    chart = tmp_path / "soak.svg"
    write_chart(chart, [replace(SAMPLE, connections=None), *samples()], [(60, 0), (120, 1)])
    curves = parse_html(chart.read_text()).select("polyline")
    assert len(curves) == 8
    assert all("," in curve["points"] for curve in curves)
