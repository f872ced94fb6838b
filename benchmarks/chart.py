"""One bar chart in SVG: a group of bars for each load, a bar for each program."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, MARGIN = 900, 230, 90, 20  # names stand in LEFT, the longest bar's value in RIGHT
TOP, HEAD, BAR, GAP = 50, 26, 20, 14  # of the title, a group's name, a bar, and between two groups
STYLE = """
  text { font: 13px sans-serif; fill: #1b2422; }
  .title { font-size: 17px; font-weight: bold; }
  .group { font-weight: bold; }
  .ours { font-weight: bold; }
  .page { fill: #fff; }
  .bar { fill: #9aa5a1; }
  .bar.ours { fill: #0b6e5f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6ebe9; }
    .page { fill: #14201d; }
    .bar { fill: #64716d; }
    .bar.ours { fill: #3cb8a2; }
  }
"""

Groups = Mapping[str, Mapping[str, float]]


def write_chart(file: Path, title: str, groups: Groups, ours: str) -> None:
    """Draw the values of each group by name; the bars named `ours` stand out."""
    most = max(value for bars in groups.values() for value in bars.values())
    parts = []
    top = TOP
    for group, bars in groups.items():
        parts.append(f'<text class="group" x="{MARGIN}" y="{top + 16}">{escape(group)}</text>')
        top += HEAD
        for name, value in bars.items():
            parts += _draw_bar(top, name, value, value / most, "ours" if name == ours else "")
            top += BAR
        top += GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_describe(groups))}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{top}"/>',
        f'<text class="title" x="{MARGIN}" y="30">{escape(title)}</text>',
    ]
    file.write_text("\n".join([*head, *parts, "</svg>"]) + "\n")


def _draw_bar(top: int, name: str, value: float, share: float, kind: str) -> list[str]:
    width = share * (WIDTH - LEFT - RIGHT)
    baseline = top + BAR - 6
    return [
        f'<text class="{kind}" x="{LEFT - 8}" y="{baseline}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="bar {kind}" x="{LEFT}" y="{top + 1}" width="{width:.1f}" height="{BAR - 3}"/>',
        f'<text class="{kind}" x="{LEFT + width + 6:.1f}" y="{baseline}">{format_figure(value)}</text>',
    ]


def _describe(groups: Groups) -> str:
    """Return the same figures in words, for those who cannot see them."""
    return ". ".join(
        f"{group}: " + ", ".join(f"{name} {format_figure(value)}" for name, value in bars.items())
        for group, bars in groups.items()
    )


def format_figure(value: float) -> str:
    """Return a figure with about three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004 (it has three)
