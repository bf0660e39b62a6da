"""Whose turn it is at the model: finals first, speakers by turns, the newest audio only.

A speaker has at most one partial waiting. It names no audio: the window is made when its
turn comes, from all there is by then, so a queue of stale partials cannot build up.
Finals wait in a queue bounded by seconds of audio; what does not fit is answered with
None at once, and its seconds are counted as lost. Batches are made of what waits when a
worker is free; nothing waits for a batch to fill. Finals in the background (of recordings)
are taken while nothing of a live speaker could be, and no load is judged by them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from captions.lane import Lane, Recognizes
from captions.load import Level, Load, Waits
from captions.types import Hypothesis
from captions.waiting import Entry, Request, Waiting
from captions.window import Window

__all__ = ["Recognizes", "Request", "Scheduler", "SchedulerCounts", "SchedulerRules"]

log = structlog.get_logger(__name__)

_SHORTEST_SECONDS: Final = 8.0  # below, the recognizer's effort is the same for all windows
_ALIKE: Final = 1.5


@dataclass(frozen=True, slots=True)
class SchedulerRules:
    """`batch` windows at most are recognized together, finals among them if `batch_finals`.

    On a CPU a batch saves a third of the decoding but makes everybody in it wait for all of
    it: good for partials, not for finals. `longest_backlog_seconds` of audio may wait in
    finals.
    """

    batch: int = 4
    batch_finals: bool = False
    longest_backlog_seconds: float = 120.0


@dataclass(slots=True)
class SchedulerCounts:
    """What happened since the start; seconds are of audio."""

    finals: int = 0
    partials: int = 0
    partials_dropped: int = 0
    recognized_seconds: float = 0.0
    lost_seconds: float = 0.0
    failures: int = 0


_Job = tuple[Entry, Window]


class Scheduler:
    """One bounded queue before one model, or two. Run `run` once, in the owner's TaskGroup."""

    def __init__(
        self,
        engine: Recognizes,
        final_engine: Recognizes | None = None,
        rules: SchedulerRules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`final_engine` makes the finals if there is one; where it fails, `engine` does."""
        self._rules = rules or SchedulerRules()
        self._clock = clock
        self._lanes = [Lane(engine, finals=final_engine is None, partials=True)]
        if final_engine is not None:
            self._lanes.append(Lane(final_engine, finals=True, partials=False, instead=engine))
        self._waiting = Waiting()
        self._load = Load()
        self._ended = False
        self._wake = asyncio.Event()
        self.counts = SchedulerCounts()

    @property
    def has_final_model(self) -> bool:
        """Whether finals are made by another model than partials."""
        return len(self._lanes) > 1

    @property
    def backlog_seconds(self) -> float:
        """Seconds of audio in finals that wait."""
        return self._waiting.backlog_seconds

    @property
    def waiting_partials(self) -> int:
        """Speakers whose partial waits."""
        return len(self._waiting.partials)

    @property
    def level(self) -> Level:
        """How busy it is, as of the last `look`."""
        return self._load.level

    @property
    def beat_factor(self) -> float:
        """How many times the beat of partials is to be stretched, 1 to 4."""
        return self._load.beat_factor

    def look(self) -> Level:
        """Judge how busy it is; whoever owns it asks once a second."""
        now, before = self._clock(), self._load.level
        oldest = self._waiting.oldest_final
        # Who waits for their own last answer does not wait for others.
        busy = self._lanes[0].busy
        level = self._load.look(
            now,
            Waits(
                tuple(now - e.since for e in self._waiting.partials if e.speaker not in busy),
                now - oldest.since if oldest else 0.0,
                self.backlog_seconds / self._rules.longest_backlog_seconds,
            ),
        )
        if level is not before:
            log.warning("load changed", load=level.name.lower(), before=before.name.lower())
        if level >= Level.FINALS_ONLY:
            for dropped in self._waiting.drop_partials():
                self.counts.partials_dropped += 1
                dropped.request.answer(None)
        return level

    def submit_final(self, request: Request) -> None:
        """Queue a final behind the speaker's others; takes its waiting partial's place.

        One in the background is not bounded here: who submits it waits for answers.
        """
        entry = Entry(request, self._clock(), final=True)
        dropped = self._waiting.drop_partial(entry.speaker)
        if dropped and entry.speaker not in self._lanes[0].busy:
            self._measure(dropped)  # its turn never came: all the more it waited
        self._answer_none(dropped)
        longest = self._rules.longest_backlog_seconds
        too_much = self.backlog_seconds + request.seconds > longest and not request.background
        if self._ended or too_much:
            self.counts.lost_seconds += request.seconds
            log.warning("overloaded: audio lost", seconds=round(request.seconds, 1))
            request.answer(None)
            return
        self._waiting.add_final(entry)
        self.look()
        self._wake.set()

    def submit_partial(self, request: Request) -> None:
        """Let the speaker have a partial when its turn comes; replaces one that waits.

        Answered with None at once where there are only finals.
        """
        entry = Entry(request, self._clock(), final=False)
        if self._ended:
            request.answer(None)
            return
        self._answer_none(self._waiting.add_partial(entry))
        self.look()
        self._wake.set()

    def hurry(self, call: str, speaker: str) -> None:
        """What waits of the speaker in the background does so no longer."""
        self._waiting.hurry((call, speaker), self._clock())
        self._wake.set()

    def forget(self, call: str, speaker: str) -> None:
        """The speaker is gone: no turn is kept for it. Its finals are still made."""
        self._answer_none(self._waiting.forget((call, speaker)))

    async def run(self) -> None:
        """Serve until cancelled; whatever waits then is answered with None."""
        try:
            async with asyncio.TaskGroup() as workers:
                for lane in self._lanes:
                    for _ in range(lane.engine.workers):
                        workers.create_task(self._work(lane))
        finally:
            self._ended = True
            self.counts.lost_seconds += self.backlog_seconds
            for entry in self._waiting.drop_all():
                entry.request.answer(None)

    async def _work(self, lane: Lane) -> None:
        while True:
            await self._serve(lane, await self._next(lane))

    async def _next(self, lane: Lane) -> list[_Job]:
        while True:
            self._wake.clear()  # before: composing may wake others, and this one too
            jobs = self._compose(lane)
            if jobs:
                lane.serving += 1
                lane.background += jobs[0][0].request.background
                return jobs
            await self._wake.wait()

    def _compose(self, lane: Lane) -> list[_Job]:
        """What a worker that is free takes now."""
        jobs: list[_Job] = []
        batch = self._rules.batch
        if lane.finals:
            ready = self._waiting.next_finals(lane.busy)
            jobs = self._take(lane, ready, batch if self._rules.batch_finals else 1)
        if not jobs and lane.partials:
            ready = self._waiting.next_partials(lane.busy)
            share = -(-len(ready) // lane.free)  # as much as each of those who are free
            jobs = self._take(lane, ready, min(batch, share))
        if not jobs and lane.takes_background and not self._live_waits():
            ready = self._waiting.next_background(lane.busy)
            jobs = self._take(lane, ready, batch if self._rules.batch_finals else 1)
        return jobs

    def _live_waits(self) -> bool:
        """Whether anybody live waits for a worker of any lane, rather than for their own answer."""
        return any(
            (lane.finals and self._waiting.next_finals(lane.busy))
            or (lane.partials and self._waiting.next_partials(lane.busy))
            for lane in self._lanes
        )

    def _take(self, lane: Lane, ready: list[Entry], most: int) -> list[_Job]:
        """Up to `most` of those that are ready, of about the same length."""
        jobs: list[_Job] = []
        unwanted: list[Entry] = []
        for entry in ready:
            if len(jobs) == most:
                break
            if jobs and not alike(jobs[0][1].seconds, entry.request.seconds):
                continue
            self._waiting.take(entry)
            window = entry.request.window()
            if window is None:
                unwanted.append(entry)
                continue
            jobs.append((entry, window))
            lane.busy.add(entry.speaker)
            if not entry.request.background:
                self._measure(entry)
        for entry in unwanted:
            entry.request.answer(None)
        return jobs

    def _measure(self, entry: Entry) -> None:
        now = self._clock()
        waited = self._load.final_waited if entry.final else self._load.partial_waited
        waited(now, now - entry.since)

    async def _serve(self, lane: Lane, jobs: list[_Job]) -> None:
        heard: list[Hypothesis | None] = [None] * len(jobs)
        try:
            heard = await lane.recognize([window for _, window in jobs])
            self.counts.failures += heard.count(None)
        finally:  # a cancelled turn is answered too
            self._release(lane, jobs)
            for (entry, window), hypothesis in zip(jobs, heard, strict=True):
                self._count(entry, window, hypothesis)
                entry.request.answer(hypothesis)
            self._wake.set()

    def _release(self, lane: Lane, jobs: list[_Job]) -> None:
        lane.serving -= 1
        lane.background -= jobs[0][0].request.background
        for entry, _ in jobs:
            lane.busy.discard(entry.speaker)
            waiting = self._waiting.partial_of(entry.speaker)
            if waiting and lane.partials:
                waiting.since = self._clock()

    def _count(self, entry: Entry, window: Window, hypothesis: Hypothesis | None) -> None:
        self.counts.finals += entry.final
        self.counts.partials += not entry.final
        self.counts.recognized_seconds += window.seconds
        if entry.final and hypothesis is None:
            self.counts.lost_seconds += window.seconds

    @staticmethod
    def _answer_none(dropped: Entry | None) -> None:
        if dropped:
            dropped.request.answer(None)


def alike(seconds: float, others: float) -> bool:
    """Whether two windows are so near in length that padding one to the other costs little."""
    short, long = sorted((max(seconds, _SHORTEST_SECONDS), max(others, _SHORTEST_SECONDS)))
    return long <= short * _ALIKE
