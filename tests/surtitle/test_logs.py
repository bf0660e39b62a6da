"""Log lines say what happened and never what was said, by whom, or with which token."""

from __future__ import annotations

import json
import subprocess
import sys

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
