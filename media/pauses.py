"""How long to wait before the next attempt to reach what is lost or has nothing yet."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 10.0

LONGEST_ASKED_SECONDS: Final = 30.0
"""A server may ask for more patience than we would have, up to this."""


class Pauses:
    """Each pause is twice the one before, less up to half of it by chance.

    By chance, so that calls that were lost together do not come back together.
    """

    def __init__(
        self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._seconds = first_seconds

    def reset(self) -> None:
        """It went well: the next pause is the shortest."""
        self._seconds = self._first_seconds

    def next(self, asked_seconds: float | None = None) -> float:
        """Seconds to wait now, at least what the server asked for within reason."""
        seconds = self._seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._seconds = min(2 * self._seconds, self._longest_seconds)
        return max(seconds, min(asked_seconds or 0.0, LONGEST_ASKED_SECONDS))

    async def wait(self, closed: asyncio.Event, asked_seconds: float | None = None) -> None:
        """Wait for `next`, or until `closed` is set."""
        try:
            async with asyncio.timeout(self.next(asked_seconds)):
                await closed.wait()
        except TimeoutError:
            return
