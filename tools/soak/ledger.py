"""The ledger: what each visitor asked for and was told.

It is kept outside the program, and compared with the database.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import httpx

from web.error_responses import MESSAGES, OUTCOME_UNKNOWN

NOTHING_IS_LOST = MESSAGES[503]
REGISTER = "register"


class Answer(Enum):
    """What a visitor was told."""

    DONE = "done"
    NOT_DONE = "not done"  # 503, and nothing is lost
    UNKNOWN = "unknown"  # 503, and Roster cannot say whether it was done
    NO_ANSWER = "no answer"  # the connection broke, or nothing came in time
    NOT_CONNECTED = "not connected"
    FALSE = "false"  # a sentence that is not true
    UNEXPECTED = "unexpected"


@dataclass(frozen=True)
class Visit:
    """A request for one person, and its answer; the times are of `time.monotonic`."""

    kind: str
    username: str
    began_at: float
    ended_at: float
    answer: Answer
    status: int | None = None


def read_answer(response: httpx.Response, false_status: int | None = None) -> Answer:
    """Return what a response says; one with `false_status` cannot be true."""
    if response.status_code in {httpx.codes.OK, httpx.codes.SEE_OTHER}:
        return Answer.DONE
    if response.status_code == false_status:
        return Answer.FALSE
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if NOTHING_IS_LOST in response.text:
            return Answer.NOT_DONE
        if OUTCOME_UNKNOWN in response.text:
            return Answer.UNKNOWN
    return Answer.UNEXPECTED


class Ledger:
    """All visits, and the people whose registration was confirmed."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.confirmed: list[str] = []
        self._sent: set[str] = set()

    async def record(
        self, kind: str, username: str, send: Callable[[], Awaitable[tuple[httpx.Response, Answer]]]
    ) -> None:
        """Send a request, and write down its answer."""
        began_at, status = time.monotonic(), None
        if kind == REGISTER:
            self._sent.add(username)
        try:
            response, answer = await send()
            status = response.status_code
        except (httpx.ConnectError, httpx.ConnectTimeout):
            answer = Answer.NOT_CONNECTED
        except httpx.TransportError:
            answer = Answer.NO_ANSWER
        self.visits.append(Visit(kind, username, began_at, time.monotonic(), answer, status))
        if kind == REGISTER and answer is Answer.DONE:
            self.confirmed.append(username)


@dataclass(frozen=True)
class Account:
    """The ledger beside the people in the database; all should be empty."""

    lost: list[str]
    doubled: list[str]
    false: list[Visit]
    unexpected: list[Visit]


def compare(visits: Iterable[Visit], stored: list[str]) -> Account:
    """Return what is wrong, given the visits and the names in the database."""
    visits, found = list(visits), set(stored)
    registrations = [visit for visit in visits if visit.kind == REGISTER]
    denied = {Answer.NOT_DONE, Answer.NOT_CONNECTED}
    names = {visit.username for visit in registrations}
    return Account(
        lost=[v.username for v in registrations if v.answer is Answer.DONE and v.username not in found],
        doubled=[name for name, times in Counter(stored).items() if times > 1 and name in names],
        false=[v for v in visits if v.answer is Answer.FALSE]
        + [v for v in registrations if v.answer in denied and v.username in found],
        unexpected=[v for v in visits if v.answer is Answer.UNEXPECTED],
    )
