"""What all rooms' tests share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import log_watch
from tests.server import Server

_told: list[str] = []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory) -> AsyncIterator[Server]:
    """One server for all tests that do not break it; each uses calls of its own."""
    folder: Path = tmp_path_factory.mktemp("server")
    # Many tests begin many calls within one heartbeat: room for all of them.
    async with Server(folder, "--capacity", "1000") as running:
        yield running


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What events in this process were logged as: structlog prints them."""
    if report.when == "teardown" and "test_log_watch" not in report.nodeid:
        # The events only: what else is printed are tracebacks with lines of the tests.
        events = re.findall(r"^\d{4}-\d\d-\d\d .*", report.capstdout, re.MULTILINE)
        found = log_watch.found_in("\n".join(events), ids=False)
        _told.extend(f"{report.nodeid}: {what}" for what in found)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """No log of the session holds what was said, who said it, or what lets anybody in."""
    _told.extend(log_watch.found_in_logs())
    if _told and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which lines."""
    if _told:
        terminalreporter.section("logs that say too much", red=True)
        for what in _told:
            terminalreporter.line(what[:500])
