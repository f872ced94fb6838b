"""What a run has shown: a row for each fault, and all that is wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.soak.ledger import REGISTER, Account, Answer, Ledger, Visit, compare
from tools.soak.samples import Growth
from tools.soak.viewers import Crowd

COLUMNS = "{:>3} {:32} {:>6} {:>6} {:>6} {:>5} {:>7} {:>5} {:>6} {:>6} {:>4} {:>4} {:>5}"
HEAD = COLUMNS.format(
    *("no.", "fault", "done", "refus.", "unkn.", "cut", "page*", "odd"),
    *("s back", "s last", "lost", "dbl.", "false"),
)
EXPLANATION = """
From the fault until the next one, visitors were told: done; refused, and nothing is lost; unknown, and Roster
cannot say whether it was done. cut: the connection broke, or no answer came in 30 s. page*: event streams
that the server ended, and the page connected again. odd: any other answer. s back: seconds until a
registration that was sent after the fault began was confirmed, and shown to every watcher. s last: seconds
until the answer of the last request that was not done. false: sentences that are not true.
"""


@dataclass(frozen=True)
class FaultReport:
    """What a fault did."""

    number: int
    name: str
    answers: Counter[Answer]
    streams_cut: int
    seconds_to_recovery: float | None
    seconds_of_failures: float
    account: Account

    def __str__(self) -> str:
        """Return the row of the table."""
        cut = self.answers[Answer.NO_ANSWER] + self.answers[Answer.NOT_CONNECTED]
        back = "never" if self.seconds_to_recovery is None else f"{self.seconds_to_recovery:.1f}"
        return COLUMNS.format(
            *(self.number, self.name, self.answers[Answer.DONE], self.answers[Answer.NOT_DONE]),
            *(self.answers[Answer.UNKNOWN], cut, self.streams_cut, self.answers[Answer.UNEXPECTED]),
            *(back, f"{self.seconds_of_failures:.1f}"),
            *(len(self.account.lost), len(self.account.doubled), len(self.account.false)),
        )


def report_fault(
    fault: tuple[int, str, float], ledger: Ledger, crowd: Crowd, streams_cut: int, stored: list[str]
) -> FaultReport:
    """Return what has been seen since a fault, given its number, name and beginning."""
    number, name, began_at = fault
    since = [visit for visit in ledger.visits if visit.ended_at >= began_at]
    failures = [visit.ended_at for visit in since if visit.answer is not Answer.DONE]
    return FaultReport(
        number=number,
        name=name,
        answers=Counter(visit.answer for visit in since),
        streams_cut=streams_cut,
        seconds_to_recovery=min(
            (back - began_at for visit in since if (back := _seen_at(visit, began_at, crowd))), default=None
        ),
        seconds_of_failures=max(failures, default=began_at) - began_at,
        account=compare(since, stored),
    )


def _seen_at(visit: Visit, began_at: float, crowd: Crowd) -> float | None:
    """Return when a registration of after that moment was confirmed, and shown to every watcher."""
    if visit.kind != REGISTER or visit.answer is not Answer.DONE or visit.began_at < began_at:
        return None
    seen_at = crowd.seen_at(visit.username)
    return seen_at and max(seen_at, visit.ended_at)


def find_problems(
    reports: Sequence[FaultReport], account: Account, growths: Sequence[Growth], log: Sequence[str]
) -> list[str]:
    """Return a line for all that must not be."""
    problems = [f"confirmed, and not in the database: {name}" for name in account.lost]
    problems += [f"in the database twice: {name}" for name in account.doubled]
    problems += [f"a false sentence: {visit}" for visit in account.false]
    problems += [f"an unexpected answer: {visit}" for visit in account.unexpected]
    problems += [f"no recovery from fault {each}" for each in reports if each.seconds_to_recovery is None]
    problems += [f"grew too much: {growth.what}" for growth in growths if growth.is_too_much]
    tracebacks = sum("Traceback" in line for line in log)
    return problems + ([f"tracebacks in the log: {tracebacks}"] if tracebacks else [])


def describe_visits(visits: Sequence[Visit], streams: Counter[str]) -> str:
    """Return a line for each kind of visit, and one for the event streams."""
    lines = []
    for kind in sorted({visit.kind for visit in visits}):
        ours = [visit for visit in visits if visit.kind == kind]
        answers = Counter(visit.answer.value for visit in ours)
        slowest = max(visit.ended_at - visit.began_at for visit in ours)
        counts = ", ".join(f"{count:,} {answer}" for answer, count in answers.most_common())
        lines.append(f"{kind}: {counts}; the slowest took {slowest:.1f} s")
    counts = ", ".join(f"{count:,} {status}" for status, count in streams.most_common())
    return "\n".join([*lines, f"event streams: {counts}"])
