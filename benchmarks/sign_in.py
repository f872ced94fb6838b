"""Whether the time of a refused sign-in tells an unknown user name from a wrong password."""

import time
from statistics import median

import httpx

from benchmarks.roster import fresh_roster, section
from tests.helpers import PASSWORD

COUNT = 200
TRIES = {"wrong password": "zoe", "unknown user name": "nobody-of-that-name"}


def measure() -> str:
    """Return the section of the results."""
    times: dict[str, list[float]] = {what: [] for what in TRIES}
    with fresh_roster() as roster, httpx.Client(base_url=roster.url) as client:
        client.post("/register", data={"username": "zoe", "password": PASSWORD})
        for _ in range(COUNT):
            for what, username in TRIES.items():
                started = time.perf_counter()
                answer = client.post("/sign-in", data={"username": username, "password": "wrong" + PASSWORD})
                times[what].append(time.perf_counter() - started)
                if answer.status_code != httpx.codes.UNAUTHORIZED:
                    raise SystemExit(f"signing in answered {answer.status_code}")
    wrong, unknown = (median(each) for each in times.values())
    return section(
        "Refused sign-ins",
        f"{COUNT} of each, in turn, over one connection, with whole pages as answers. Medians.",
        ("what", "figure", "target"),
        [
            *((what, f"{1000 * median(each):.2f} ms", "") for what, each in times.items()),
            ("difference", f"{100 * abs(wrong - unknown) / min(wrong, unknown):.1f} %", "under 5 %"),
        ],
    )
