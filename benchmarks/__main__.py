"""Runs the benchmarks and writes RESULTS.md: all of them, or anew those that are named."""

import argparse
import re
from pathlib import Path

from benchmarks import (
    burst,
    event_loop,
    first_screen,
    first_visit,
    front,
    hashing,
    listeners,
    live_latency,
    loads,
    organiser,
    page,
    polling,
    profile,
    sign_in,
    size,
    start,
    statements,
    viewers,
)
from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "RESULTS.md"
SUBJECTS = {
    "live_latency": live_latency.measure,
    "viewers": viewers.measure,
    "statements": statements.measure,
    "polling": polling.measure,
    "organiser": organiser.measure,
    "burst": burst.measure,
    "size": size.measure,
    "first_visit": first_visit.measure,
    "front": front.measure,
    "loads": loads.measure,
    "page": page.measure,
    "first_screen": first_screen.measure,
    "hashing": hashing.measure,
    "profile": profile.measure,
    "listeners": listeners.measure,
    "sign_in": sign_in.measure,
    "loop": event_loop.measure,
    "start": start.measure,
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

Written by `make bench`. Machines differ: compare only within one run.

{describe_machine()}"""


def _read() -> dict[str, str]:
    """Return the sections of the last run by title."""
    _, *texts = re.split(r"^(?=## )", RESULTS.read_text() if RESULTS.exists() else "", flags=re.MULTILINE)
    return {_title(text): text.strip() + "\n" for text in texts}


def _title(text: str) -> str:
    return text.partition("\n")[0]


if __name__ == "__main__":  # the burst's own process imports this module too
    main()
