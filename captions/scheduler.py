"""Whose turn it is at the model: finals first, speakers by turns, the newest audio only.

A speaker has at most one partial waiting. It names no audio: the window is made when its
turn comes, from all there is by then, so a queue of stale partials cannot build up.
Finals wait in a queue bounded by seconds of audio; what does not fit is answered with
None at once, and its seconds are counted as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from captions.engine import EngineFailed
from captions.types import Hypothesis
from captions.window import Window

log = structlog.get_logger(__name__)

LONGEST_BACKLOG_SECONDS: Final = 120.0


class Recognizes(Protocol):
    """What the scheduler feeds; `captions.engine.Engine` is the real one."""

    async def recognize(self, window: Window) -> Hypothesis:
        """The hypothesis; `EngineFailed` where none can be made."""


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to have audio recognized.

    `window` is asked when the turn comes and may answer None (no longer wanted).
    `answer` is called exactly once, before the next turn: with the hypothesis, or with
    None where there is none. `seconds` of audio count against the bound of finals.
    """

    call: str
    speaker: str
    window: Callable[[], Window | None]
    answer: Callable[[Hypothesis | None], None]
    seconds: float = 0.0


@dataclass(slots=True)
class SchedulerCounts:
    """What happened since the start; seconds are of audio."""

    finals: int = 0
    partials: int = 0
    recognized_seconds: float = 0.0
    lost_seconds: float = 0.0
    failures: int = 0


class Scheduler:
    """One bounded queue before one model. Run `run` once, in the owner's TaskGroup."""

    def __init__(
        self, engine: Recognizes, longest_backlog_seconds: float = LONGEST_BACKLOG_SECONDS
    ) -> None:
        self._engine = engine
        self._longest_backlog_seconds = longest_backlog_seconds
        self._finals: list[Request] = []
        self._partials: dict[tuple[str, str], Request] = {}
        self._turn = 0
        self._last_turn: dict[tuple[str, ...], int] = {}
        self._leaving: set[tuple[str, str]] = set()  # forgotten, but finals still wait
        self._ended = False
        self._wake = asyncio.Event()
        self.counts = SchedulerCounts()

    @property
    def backlog_seconds(self) -> float:
        """Seconds of audio in finals that wait."""
        return sum(request.seconds for request in self._finals)

    @property
    def waiting_partials(self) -> int:
        """Speakers whose partial waits."""
        return len(self._partials)

    def submit_final(self, request: Request) -> None:
        """Queue a final behind the speaker's others; takes its waiting partial's place."""
        speaker = (request.call, request.speaker)
        self._leaving.discard(speaker)
        self._drop_partial(speaker)
        if self._ended or (self.backlog_seconds + request.seconds > self._longest_backlog_seconds):
            self.counts.lost_seconds += request.seconds
            log.warning("overloaded: audio lost", seconds=round(request.seconds, 1))
            request.answer(None)
            return
        self._finals.append(request)
        self._wake.set()

    def submit_partial(self, request: Request) -> None:
        """Let the speaker have a partial when its turn comes; replaces one that waits."""
        speaker = (request.call, request.speaker)
        self._leaving.discard(speaker)
        self._drop_partial(speaker)
        if self._ended:
            request.answer(None)
            return
        self._partials[speaker] = request
        self._wake.set()

    def forget(self, call: str, speaker: str) -> None:
        """The speaker is gone: no turn is kept for it. Its finals are still made."""
        self._drop_partial((call, speaker))
        if any((final.call, final.speaker) == (call, speaker) for final in self._finals):
            self._leaving.add((call, speaker))
        else:
            self._leaving.discard((call, speaker))
            self._forget_turns(call, speaker)

    async def run(self) -> None:
        """Serve until cancelled; whatever waits then is answered with None."""
        try:
            while True:
                request, is_final = await self._next()
                await self._serve(request, is_final=is_final)
        finally:
            self._ended = True
            waiting = [*self._finals, *self._partials.values()]
            self.counts.lost_seconds += self.backlog_seconds
            self._finals.clear()
            self._partials.clear()
            for request in waiting:
                request.answer(None)

    async def _serve(self, request: Request, *, is_final: bool) -> None:
        hypothesis: Hypothesis | None = None
        window = None
        try:
            window = request.window()
            if window is not None:
                hypothesis = await self._engine.recognize(window)
        except EngineFailed as error:
            self.counts.failures += 1
            log.error("not recognized", error=str(error), final=is_final)
        finally:  # a cancelled turn is answered too
            self._count(window, hypothesis, is_final=is_final)
            request.answer(hypothesis)

    def _count(
        self, window: Window | None, hypothesis: Hypothesis | None, *, is_final: bool
    ) -> None:
        if window is None:
            return
        self.counts.finals += is_final
        self.counts.partials += not is_final
        self.counts.recognized_seconds += window.seconds
        if is_final and hypothesis is None:
            self.counts.lost_seconds += window.seconds

    def _drop_partial(self, speaker: tuple[str, str]) -> None:
        dropped = self._partials.pop(speaker, None)
        if dropped:
            dropped.answer(None)

    def _forget_turns(self, call: str, speaker: str) -> None:
        self._last_turn.pop((call, speaker), None)
        if not any(key[0] == call for key in self._last_turn if len(key) > 1):
            self._last_turn.pop((call,), None)

    async def _next(self) -> tuple[Request, bool]:
        while not self._finals and not self._partials:
            self._wake.clear()
            await self._wake.wait()
        is_final = bool(self._finals)
        # Stable: of two finals of one speaker the older stays in front.
        request = min(self._finals or self._partials.values(), key=self._turns_ago)
        if is_final:
            self._finals.remove(request)
        else:
            del self._partials[(request.call, request.speaker)]
        self._turn += 1
        self._last_turn[(request.call,)] = self._turn
        self._last_turn[(request.call, request.speaker)] = self._turn
        if (request.call, request.speaker) in self._leaving:
            self.forget(request.call, request.speaker)
        return request, is_final

    def _turns_ago(self, request: Request) -> tuple[int, int]:
        last = self._last_turn
        return last.get((request.call,), 0), last.get((request.call, request.speaker), 0)
