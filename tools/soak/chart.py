"""The curves of a run as one picture, in SVG."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from tools.soak.faults import FAULTS
from tools.soak.samples import Sample

WIDTH, LEFT, RIGHT = 900, 60, 20
HEIGHT, GAP, TOP = 80, 34, 60  # of a panel, and between two
LEGEND_COLUMNS, LEGEND_LINE = 3, 18
STYLE = 'font-family="sans-serif" font-size="12" fill="#1b2422"'
TITLE = "{minutes:.0f} minutes of make soak; each line down is a fault, named below"
COLORS = ("#0b6e5f", "#c2571a")

Curve = tuple[str, Callable[[Sample], float | None]]
PANELS: list[tuple[str, list[Curve]]] = [
    (
        "memory, MB",
        [("Roster", lambda s: s.usage.roster_memory), ("PostgreSQL", lambda s: s.usage.postgres_memory)],
    ),
    ("viewers, and asyncio tasks", [("viewers", lambda s: s.viewers), ("tasks", lambda s: s.usage.tasks)]),
    (
        "descriptors beside the viewers', and threads",
        [("descriptors", lambda s: s.other_descriptors), ("threads", lambda s: s.usage.threads)],
    ),
    ("connections to PostgreSQL", [("connections", lambda s: s.connections)]),
    ("registrations a second", [("confirmed", lambda s: s.registrations)]),
]


def write_chart(file: Path, samples: Sequence[Sample], faults: Sequence[tuple[float, int]]) -> None:
    """Draw the samples; `faults` has the second of each fault and its place in FAULTS."""
    seconds = max((sample.at for sample in samples), default=1)

    def x(at: float) -> float:
        return LEFT + at / seconds * (WIDTH - LEFT - RIGHT)

    bottom = TOP + len(PANELS) * (HEIGHT + GAP)
    legend = _draw_legend(bottom)
    height = bottom + len(legend) // LEGEND_COLUMNS * LEGEND_LINE + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {STYLE}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{TITLE.format(minutes=seconds / 60)}</text>',
    ]
    for at, place in faults:
        line = f'x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP - 14}" y2="{bottom - GAP}"'
        parts.append(f'<line {line} stroke="#d8d4ca"/>')
        parts.append(f'<text x="{x(at):.1f}" y="{TOP - 18}" text-anchor="middle">{place + 1}</text>')
    for number, (title, curves) in enumerate(PANELS):
        parts += _draw_panel(TOP + number * (HEIGHT + GAP), title, curves, samples, x)
    file.write_text("\n".join([*parts, *legend, "</svg>"]) + "\n")


def _draw_panel(
    top: float, title: str, curves: list[Curve], samples: Sequence[Sample], x: Callable[[float], float]
) -> list[str]:
    points = [[(sample.at, read(sample)) for sample in samples] for _, read in curves]
    most = max((value for curve in points for _, value in curve if value is not None), default=0) or 1
    bottom = top + HEIGHT
    parts = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#6b7471"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:,.0f}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{LEFT}" y="{bottom + 16}">{escape(title)}</text>',
    ]
    for number, ((label, _), curve) in enumerate(zip(curves, points, strict=True)):
        color = COLORS[number]
        drawn = [(x(at), bottom - value / most * HEIGHT) for at, value in curve if value is not None]
        line = " ".join(f"{across:.1f},{down:.1f}" for across, down in drawn)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        place = f'x="{WIDTH - RIGHT - 100 * (len(curves) - 1 - number)}" y="{bottom + 16}"'
        parts.append(f'<text {place} text-anchor="end" fill="{color}">{escape(label)}</text>')
    return parts


def _draw_legend(top: float) -> list[str]:
    width = (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS
    return [
        f'<text x="{LEFT + number % LEGEND_COLUMNS * width:.0f}"'
        f' y="{top + number // LEGEND_COLUMNS * LEGEND_LINE + 10}">{number + 1}: {escape(fault.name)}</text>'
        for number, fault in enumerate(FAULTS)
    ]
