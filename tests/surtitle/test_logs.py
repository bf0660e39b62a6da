"""Log lines say what happened and never what was said, by whom, or with which token."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

FAULT = """
import sys
import structlog
from surtitle import logs

logs.configure(sys.argv[1])

def handle(name, token):
    return 1 / 0

try:
    handle("Anna Secret", "token-secret")
except ZeroDivisionError:
    structlog.get_logger("signaling.test").exception("event failed", event_name="call:join")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_fault_is_told_with_its_place_and_without_values(form):
    done = subprocess.run(
        [sys.executable, "-c", FAULT, form], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "event failed" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "in handle" in done.stderr
    assert "Secret" not in done.stderr.replace('handle("Anna Secret", "token-secret")', "")
    assert "locals" not in done.stderr
    if form == "json":
        (line,) = done.stderr.splitlines()
        assert json.loads(line)["event_name"] == "call:join"


LINES = """
import sys
import structlog
from surtitle import logs

logs.configure(sys.argv[1])
log = structlog.get_logger("signaling.test")
log.info("refused", method="GET", code="a\\nb\\r\\x1b[2Jc\\u2028d")
log.warning("what\\n2026-01-01T00:00:00Z [error] forged")
"""


@pytest.fixture(scope="module")
def lines() -> dict[str, list[str]]:
    return {
        form: subprocess.run(
            [sys.executable, "-c", LINES, form], capture_output=True, text=True, check=True
        ).stderr.splitlines()
        for form in ("text", "json")
    }


def test_each_line_says_when_in_utc_and_where(lines):
    first, _ = (json.loads(line) for line in lines["json"])
    assert datetime.fromisoformat(first["timestamp"]).utcoffset() == timedelta(0)
    assert first["logger"] == "signaling.test"
    assert first["level"] == "info"
    assert first["event"] == "refused"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[\d.]+Z \[info", lines["text"][0])


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_comes_from_outside_makes_no_line_of_its_own(lines, form):
    assert len(lines[form]) == 2
    assert not any(re.search(r"[\x00-\x1f\x7f\u2028]", line) for line in lines[form])
