import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import psycopg
import pytest

from services import logs
from services.logs import log_unavailable, set_up_output
from tests.helpers import ROOT

PREFIX = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} "


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test sets it; no line was logged before."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(logs, "_quiet_until", {})
    monkeypatch.setattr(logs, "_left_out", Counter())
    return clock


def run(code: str) -> list[str]:
    """Run a program that logs; return its lines without their times, which each must have."""
    program = f"import logging\nfrom services.logs import set_up_output\nset_up_output()\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = done.stderr.split("\n")[:-1]
    assert all(re.match(PREFIX, line) for line in found)
    return [re.sub(PREFIX, "", line) for line in found]


def test_every_line_has_a_time_and_a_level() -> None:
    log = "logging.getLogger('library')"
    assert run(f"{log}.warning('%s is full', 'disk')\n{log}.error('down')\n{log}.info('no news')") == [
        "WARNING library: disk is full",
        "ERROR library: down",
    ]


def test_connections_that_the_pool_cannot_open_have_one_line_in_ten_seconds() -> None:
    report = "logging.getLogger('psycopg.pool').warning('error connecting in %r', 'pool-1')"
    assert run(f"{report}\n{report}\nimport services.logs\nservices.logs._quiet_until.clear()\n{report}") == [
        "WARNING psycopg.pool: error connecting in 'pool-1'",
        "WARNING psycopg.pool: error connecting in 'pool-1'",
    ]


def test_a_message_cannot_forge_a_line() -> None:
    message = "/\n2026-01-01\r\x1b[31m\x85\u2028\u202ex"
    assert run(f"logging.error('GET %s', {message!r})") == [
        r"ERROR root: GET /\n2026-01-01\r\x1b[31m\x85\u2028\u202ex"
    ]


def test_an_exception_keeps_its_traceback_and_cannot_forge_a_line() -> None:
    code = """
try:
    raise ValueError("bad\\nWARNING library: forged\\r")
except ValueError:
    logging.exception("Exception on request")
"""
    assert run(code) == [
        "ERROR root: Exception on request",
        "ERROR   Traceback (most recent call last):",
        'ERROR     File "<string>", line 6, in <module>',
        "ERROR   ValueError: bad",
        r"ERROR   WARNING library: forged\r",
    ]


def test_a_warning_of_python_is_logged() -> None:
    [line] = run("import warnings\nwarnings.warn('old')")
    assert line.startswith("WARNING py.warnings: ")
    assert "UserWarning: old" in line


def test_a_closed_stdout_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    set_up_output()


def test_a_cause_of_503_has_one_line_in_ten_seconds(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        log_unavailable(psycopg.errors.DiskFull("No space left"))
    log_unavailable(psycopg.OperationalError("away"))
    clock.now += 10
    for _ in range(2):
        log_unavailable(psycopg.errors.DiskFull("No space left"))
    clock.now += 10
    log_unavailable(psycopg.errors.DiskFull("No space left"))
    assert [record.message for record in caplog.records] == [
        "503 Service Unavailable: DiskFull: No space left",
        "503 Service Unavailable: OperationalError: away",
        "503 Service Unavailable: DiskFull: No space left: 2 more since the last such line",
        "503 Service Unavailable: DiskFull: No space left: 1 more since the last such line",
    ]


def test_the_cause_of_503_is_one_line_without_the_statement(
    clock: SimpleNamespace, psql: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    assert clock
    with pytest.raises(psycopg.Error) as caught:
        psql.execute(
            "DO $$ BEGIN RAISE 'disk full' USING ERRCODE = '53100', DETAIL = 's3cret', HINT = 'try'; END $$"
        )
    log_unavailable(caught.value)
    log_unavailable(psycopg.OperationalError("connection failed:\n\tIs the server running?"))
    assert [record.message for record in caplog.records] == [
        "503 Service Unavailable: DiskFull: disk full",
        "503 Service Unavailable: OperationalError: connection failed: Is the server running?",
    ]
