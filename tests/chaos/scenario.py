"""Scenarios as tests: all that are wanted go on at the same time, some at once.

Most of a scenario is waiting for what was killed, so a test only waits for the outcome of its
own, which the fixture `play` (`tests/chaos/conftest.py`) has begun with all the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

Run = Callable[[Path], Awaitable[None]]

AT_ONCE = 4
"""Clusters: what two cores bear while people speak in all of them."""


def scenario(*, seconds: float) -> Callable[[Run], Any]:
    """Make a test of what is given a folder; those that last longest begin first."""

    def as_test(run: Run) -> Any:
        async def test(play: Play) -> None:
            await play.outcome(run)

        test.__name__, test.__doc__ = run.__name__, run.__doc__
        test.__module__, test.__qualname__ = run.__module__, run.__qualname__
        test.run, test.seconds = run, seconds  # type: ignore[attr-defined]
        return test

    return as_test


class Play:
    """The scenarios of a session, under way."""

    def __init__(self, tests: Iterable[Any], folder: Path) -> None:
        longest_first = sorted(tests, key=lambda test: -test.seconds)
        self._folder = folder
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks = {
            test.run: asyncio.create_task(self._play(test.run), name=test.__name__)
            for test in longest_first
        }

    async def _play(self, run: Run) -> None:
        async with self._room:
            folder = self._folder / run.__name__.removeprefix("test_")[:40]
            folder.mkdir()
            await run(folder)

    async def outcome(self, run: Run) -> None:
        """Wait for one; raises what it raised."""
        await asyncio.shield(self._tasks[run])

    async def close(self) -> None:
        """End what is still going on, as where the session is broken off."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
