"""The page in a browser: what Lighthouse says of it, and what a first and a second visit cost."""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.roster import add_demo_people, fresh_roster, section
from queries.user_list import PAGE_SIZE
from tests.browser.helpers import FLAGS
from tools.programs import find_browser

LIGHTHOUSE = "lighthouse@12"
CHROME = "--headless=new --no-sandbox --disable-background-networking"
PRESETS = {"phone": (), "desktop": ("--preset=desktop",)}  # a slow phone is what it takes by default
CATEGORIES = "performance", "accessibility", "best-practices", "seo"
TURNS = 3
TRIES = 3  # for a run, since a busy machine fails some (NO_NAVSTART)
PATIENCE = 300  # seconds for one run of Lighthouse; the first one is also installed then
PEOPLE = 1000  # so that the page is a full one
SETTLED = 1000  # milliseconds in which a page that is connected asks for whatever it still wants

Report = dict[str, Any]  # of Lighthouse
Event = dict[str, Any]  # of the DevTools protocol


class NoLighthouseError(Exception):
    """Lighthouse does not run here; the text says why."""


@dataclass
class Request:
    """A request of a page: the status that came over the wire and the bytes, head included."""

    path: str = ""
    status: int = 0
    size: int = 0
    cached: bool = False


def measure() -> str:
    """Return the section of the results."""
    with fresh_roster() as roster:
        add_demo_people(roster, PEOPLE)
        first, second = _visits(roster.url)
        try:
            rows, said = _judge(roster.url)
        except NoLighthouseError as reason:
            rows, said = [], f"Lighthouse was not measured: {reason}."
    return section(
        "The page in a browser",
        f"""
{said}

Visits are counted with the DevTools protocol of Chromium: bytes over the wire with heads, a page that shows
{PAGE_SIZE} of {PEOPLE:,} people. The second visit is made by address in a new tab, the list unchanged; what
the browser has in its cache and does not ask for is no request. `/live` is the connection that stays open.
""",
        ("what", "figure", "target"),
        [
            *rows,
            ("first visit: requests, `/live` among them", str(len(first)), "at most 6"),
            ("first visit: bytes, those of `/live` among them", _kilobytes(first), "35 KB"),
            ("second visit: requests without `/live`", _listed(_without_live(second)), "1, answered 304"),
            ("second visit: requests with `/live`", _listed(second), ""),
            ("second visit: bytes, those of `/live` among them", _kilobytes(second), ""),
        ],
    )


def _visits(url: str) -> tuple[list[Request], list[Request]]:
    """Return what a first visit, and a second one in another tab of the same browser, ask the server."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        follower = browser.new_page()
        follower.goto(url)
        follower.locator(f"#newest li:nth-child({PAGE_SIZE})").wait_for()  # the program has the list
        follower.context.close()
        context = browser.new_context()
        first, second = _visit(context, url), _visit(context, url)
        browser.close()
    return first, second


def _visit(context: BrowserContext, url: str) -> list[Request]:
    requests: dict[str, Request] = defaultdict(Request)  # by the protocol's numbers

    def note(event: Event) -> None:
        requests[event["requestId"]].path = event["request"]["url"].removeprefix(url).partition("?")[0]

    def note_cached(event: Event) -> None:
        requests[event["requestId"]].cached = True

    def note_status(event: Event) -> None:
        requests[event["requestId"]].status = event["statusCode"]

    def note_answer(event: Event) -> None:
        requests[event["requestId"]].cached |= event["response"].get("fromDiskCache", False)
        requests[event["requestId"]].size = event["response"]["encodedDataLength"]

    def note_piece(event: Event) -> None:  # `/live` has no end at which to ask for the whole
        requests[event["requestId"]].size += event["encodedDataLength"]

    def note_end(event: Event) -> None:
        requests[event["requestId"]].size = event["encodedDataLength"]

    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.on("Network.requestWillBeSent", note)
    devtools.on("Network.requestServedFromCache", note_cached)
    devtools.on("Network.responseReceivedExtraInfo", note_status)
    devtools.on("Network.responseReceived", note_answer)
    devtools.on("Network.dataReceived", note_piece)
    devtools.on("Network.loadingFinished", note_end)
    devtools.send("Network.enable")
    page.goto(url)
    page.locator("#live").wait_for()
    page.wait_for_timeout(SETTLED)
    page.close()
    return [request for request in requests.values() if not request.cached]


def _without_live(requests: Iterable[Request]) -> list[Request]:
    return [request for request in requests if request.path != "/live"]


def _listed(requests: list[Request]) -> str:
    return f"{len(requests)}: " + ", ".join(f"`{request.path}` {request.status}" for request in requests)


def _kilobytes(requests: Iterable[Request]) -> str:
    return f"{sum(request.size for request in requests) / 1000:.1f} KB"


def _judge(url: str) -> tuple[list[tuple[str, str, str]], str]:
    """Return the rows of Lighthouse's figures, and a sentence on how they came about."""
    reports = {kind: [_run_lighthouse(url, *flags) for _ in range(TURNS)] for kind, flags in PRESETS.items()}
    scores = [
        (
            f"Lighthouse, {kind}: {' / '.join(CATEGORIES)}",
            " / ".join(_score(some, c) for c in CATEGORIES),
            "100",
        )
        for kind, some in reports.items()
    ]
    every = [report for some in reports.values() for report in some]
    paint = median(_figure(report, "largest-contentful-paint") for report in reports["phone"])
    blocked = median(_figure(report, "total-blocking-time") for report in reports["phone"])
    shift = max(_figure(report, "cumulative-layout-shift") for report in every)
    rows = [
        *scores,
        (
            "audits that cost a point in any run, and warnings",
            ", ".join(sorted(_faults(every))) or "none",
            "none",
        ),
        ("largest paint, phone", f"{paint / 1000:.2f} s", "under 1.2 s"),
        ("blocked while loading, phone", f"{blocked:.0f} ms", ""),
        ("layout shift, the most of any run", f"{shift:.3g}", "0"),
    ]
    speed = median(report["environment"]["benchmarkIndex"] for report in every)
    return (
        rows,
        f"""
Lighthouse {every[0]["lighthouseVersion"]}, medians of {TURNS} runs each, as the slow phone that it takes by
default (150 ms there and back, 1.6 Mbit/s, a processor 4 times slower than this one, whose benchmark index
is {speed:.0f}) and with its desktop preset.
""".strip(),
    )


def _run_lighthouse(url: str, *flags: str) -> Report:
    """Return Lighthouse's report on a page. Raises NoLighthouseError."""
    if not shutil.which("npx"):
        raise NoLighthouseError("it needs Node.js, and npx is not on the path")
    for _ in range(TRIES):
        with TemporaryDirectory() as folder:
            path = Path(folder, "report.json")
            failure = _run_npx(folder, url, "--output=json", f"--output-path={path}", *flags)
            report: Report = json.loads(path.read_text()) if path.exists() else {}
        if report and "runtimeError" not in report:
            return report
    raise NoLighthouseError(f"npx {LIGHTHOUSE} failed {TRIES} times ({failure})")


def _run_npx(folder: str, *arguments: str) -> str:
    """Run Lighthouse, which npx installs when it is missing; return the first line of its complaint."""
    command = ["npx", "--yes", LIGHTHOUSE, "--quiet", f"--chrome-flags={CHROME}", *arguments]
    environment = os.environ | {"CHROME_PATH": find_browser() or ""}
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {PATIENCE} s"
    return (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[0]


def _score(reports: Iterable[Report], category: str) -> str:
    return f"{100 * median(report['categories'][category]['score'] for report in reports):.0f}"


def _figure(report: Report, audit: str) -> float:
    return float(report["audits"][audit]["numericValue"])


def _faults(reports: Iterable[Report]) -> set[str]:
    """Return the audits that kept a category below 100, and what Lighthouse warns of."""
    return {warning for report in reports for warning in report["runWarnings"]} | {
        ref["id"]
        for report in reports
        for category in report["categories"].values()
        for ref in category["auditRefs"]
        if category["score"] < 1 and ref["weight"] and report["audits"][ref["id"]]["score"] not in {None, 1}
    }
