"""Runs the benchmarks and writes RESULTS.md: all of them, or anew those that are named."""

import argparse
import os
import platform
import re
from pathlib import Path

from benchmarks import (
    burst,
    event_loop,
    first_screen,
    first_visit,
    live_latency,
    organiser,
    page,
    registrations,
    sign_in,
    size,
    statements,
    viewers,
)

RESULTS = Path(__file__).parent / "RESULTS.md"
SUBJECTS = {
    "live_latency": live_latency.measure,
    "viewers": viewers.measure,
    "statements": statements.measure,
    "organiser": organiser.measure,
    "burst": burst.measure,
    "size": size.measure,
    "first_visit": first_visit.measure,
    "page": page.measure,
    "first_screen": first_screen.measure,
    "registrations": registrations.measure,
    "sign_in": sign_in.measure,
    "loop": event_loop.measure,
}


def main() -> None:
    """Measure, print each section as it comes, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"by default all of {', '.join(SUBJECTS)}")
    named = parser.parse_args().subject
    if strangers := set(named) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(strangers)}")
    sections = _read() if named else {}
    for name in named or SUBJECTS:
        text = SUBJECTS[name]()
        print(text, flush=True)
        sections[_title(text)] = text
    RESULTS.write_text("\n".join([_head(), *sections.values()]))


def _head() -> str:
    return f"""# Benchmark results

Written by `make bench` on {platform.python_implementation()} {platform.python_version()}, \
{os.cpu_count()} cores. Machines differ: compare only within one run.
"""


def _read() -> dict[str, str]:
    """Return the sections of the last run by title."""
    _, *texts = re.split(r"^(?=## )", RESULTS.read_text() if RESULTS.exists() else "", flags=re.MULTILINE)
    return {_title(text): text.strip() + "\n" for text in texts}


def _title(text: str) -> str:
    return text.partition("\n")[0]


if __name__ == "__main__":  # the burst's own process imports this module too
    main()
