"""Runs wrk, a load generator in C that costs little beside the servers it asks."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import httpx
import psutil

from tests.helpers import FORM_HEADERS, PASSWORD
from tools.benchmark_programs import find_program

SCRIPTS = Path(__file__).parent / "wrk"
TIMEOUT = "60s"  # after 2 s, the default, an answer that is still to come would count as an error
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 5.0  # 256 hashes take 4 s on two cores
IDLE_PERCENT = 20  # of all cores
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
FIGURES = re.compile(r" 50% +(?P<p50>\S+).* 99% +(?P<p99>\S+).*Requests/sec: +(?P<rate>\S+)", re.DOTALL)


@dataclass(frozen=True)
class Requests:
    """What wrk asks for: one request again and again, or those of a script."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    script: str = ""
    arguments: tuple[str, ...] = ()


BuildRequests = Callable[[], Requests]  # before each run: names are used up, and pages change


@dataclass(frozen=True)
class Result:
    """Answers a second, and the seconds that half and 99 % of them took at most."""

    rate: float
    p50: float
    p99: float


def run(requests: Requests, seconds: int, connections: int) -> Result:
    """Send requests over some connections for some seconds.

    Ends the program where any was not answered, or with an error.
    """
    headers = [f"-H{name}: {value}" for name, value in requests.headers.items()]
    script = ["-s", str(SCRIPTS / requests.script)] if requests.script else []
    command = [
        *(find_program("wrk"), "--threads=1", f"--connections={connections}", f"--duration={seconds}s"),
        *("--latency", f"--timeout={TIMEOUT}", *headers, *script, requests.url),
        *(["--", *requests.arguments] if script else []),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = FIGURES.search(done.stdout)
    if done.returncode or not found or re.search("Socket errors|Non-2xx", done.stdout):
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return Result(float(found["rate"]), _seconds(found["p50"]), _seconds(found["p99"]))


def compare(
    builders: Sequence[BuildRequests], rounds: int, seconds: int, connections: int
) -> list[list[Result]]:
    """Run each in turn, in several rounds and one before to warm up; return the results of each."""
    results: list[list[Result]] = [[] for _ in builders]
    for number in range(rounds + 1):
        for build, each in zip(builders, results, strict=True):
            requests = build()
            result = run(requests, seconds if number else WARM_UP_SECONDS, connections)
            if requests.script:
                settle()
            if number:
                each.append(result)
    return results


def settle() -> None:
    """Wait until the machine has done what wrk no longer waits for, such as passwords to hash."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while psutil.cpu_percent(0.2) > IDLE_PERCENT and time.monotonic() < deadline:
        pass


def _seconds(text: str) -> float:
    [(number, unit)] = re.findall("([0-9.]+)([a-z]+)", text)
    return float(number) * UNITS[unit]


def get(url: str, headers: Mapping[str, str] = MappingProxyType({})) -> Requests:
    """Return requests of a page, as those of a new visitor."""
    return Requests(url, headers)


def revalidate(url: str) -> Requests:
    """Return requests of a page that the browser has; ends the program where that is not 304."""
    plain = {"Accept-Encoding": ""}  # wrk's: each coding has an entity tag of its own
    headers = {"If-None-Match": httpx.get(url, headers=plain).headers.get("ETag", "")}
    if (status := httpx.get(url, headers=plain | headers).status_code) != httpx.codes.NOT_MODIFIED:
        raise SystemExit(f"{url} answered {status}, not 304")
    return Requests(url, headers)


def register(url: str) -> Requests:
    """Return registrations, each under a new name."""
    return Requests(url, script="register.lua", arguments=(_new_name(), PASSWORD))


def sign_in(url: str) -> Requests:
    """Return sign-ins of a person who registers first."""
    name = _new_name()
    _register_person(url, name)
    return Requests(url, script="sign_in.lua", arguments=(name, PASSWORD))


def get_signed_in(url: str) -> Requests:
    """Return requests of the front page by a person who registers first."""
    cookies = _register_person(url, _new_name())
    return Requests(url, {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})


def mix(url: str, search: str) -> Requests:
    """Return 90 visits of the front page to 9 of the path `search` and 1 registration."""
    return Requests(url, script="mix.lua", arguments=(_new_name(), PASSWORD, search))


def _register_person(url: str, name: str) -> httpx.Cookies:
    form = {"username": name, "password": PASSWORD}
    answer = httpx.post(f"{url}/register", data=form, headers=FORM_HEADERS, timeout=60)
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise SystemExit(f"registering at {url} answered {answer.status_code}")
    return answer.cookies


def _new_name() -> str:
    return f"wrk{uuid4().hex[:12]}x"
