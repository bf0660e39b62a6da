"""One model before which speakers queue: who is with it, and what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from captions.turns import SpeakerKey
from captions.types import Hypothesis
from captions.window import Window
from captions.worker import WorkerFailed

log = structlog.get_logger(__name__)


class Recognizes(Protocol):
    """What the scheduler feeds; `captions.engine.Engine` is the real one."""

    @property
    def workers(self) -> int:
        """Batches that it takes at once."""

    async def recognize(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """A hypothesis of each; `WorkerFailed` where one cannot be made."""


@dataclass(slots=True)
class Lane:
    """An engine, and whether it is for `finals`, for `partials`, or for both.

    `instead` is the engine for windows that this one cannot recognize, of another model.
    `busy` are the speakers whose request is with it, in `serving` batches, `background` of which
    can wait.
    """

    engine: Recognizes
    finals: bool
    partials: bool
    instead: Recognizes | None = None
    serving: int = 0
    background: int = 0
    busy: set[SpeakerKey] = field(default_factory=set)

    @property
    def free(self) -> int:
        """Batches that it could take besides."""
        return self.engine.workers - self.serving

    @property
    def takes_background(self) -> bool:
        """Whether it may begin what can wait: of several workers one stays free of it."""
        return self.finals and self.background < max(1, self.engine.workers - 1)

    async def recognize(self, windows: list[Window]) -> list[Hypothesis | None]:
        """What is heard in each window, None where nothing could be."""
        if self.instead is None:
            return await _tried(self.engine, windows)
        # Words are of the other model's tokens, which mean nothing to this one.
        afresh = [replace(window, prefix=(), shown=()) for window in windows]
        heard = await _tried(self.engine, afresh)
        missing = [n for n, one in enumerate(heard) if one is None]
        if missing:
            found = await _tried(self.instead, [windows[n] for n in missing])
            for n, one in zip(missing, found, strict=True):
                heard[n] = one
        return heard


async def _tried(engine: Recognizes, windows: list[Window]) -> list[Hypothesis | None]:
    try:
        return list(await engine.recognize(windows))
    except WorkerFailed as error:
        log.error("not recognized", error=str(error), windows=len(windows))
        return list(error.answers) or [None] * len(windows)
