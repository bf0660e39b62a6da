"""How long to wait before trying again, so that a thousand clients do not come at once."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from surtitle.client.errors import SurtitleError

FIRST_SECONDS: Final = 0.4
LONGEST_SECONDS: Final = 10.0


class Backoff:
    """Pauses that double, between half and the whole of each by chance.

    `patience_seconds` is how long may be tried in vain, None for ever.
    """

    def __init__(self, patience_seconds: float | None) -> None:
        self._patience_seconds = patience_seconds
        self.succeeded()

    def succeeded(self) -> None:
        """Begin anew with the next failure."""
        self._seconds = FIRST_SECONDS
        self._failing_since: float | None = None

    async def pause(self, error: SurtitleError) -> None:
        """Wait, at least for as long as the server asked; raise `error` where patience ends."""
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        asked = (error.retry_after_ms or 0) / 1000
        seconds = asked + self._seconds * random.uniform(0.5, 1)  # noqa: S311 - not a secret
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS)
        patience = self._patience_seconds
        if patience is not None and now + seconds > self._failing_since + patience:
            raise error
        await asyncio.sleep(seconds)
