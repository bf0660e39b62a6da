"""How busy the captioner is, in declared steps: what is given up, in which order, and when.

Overload stretches the beat of partials, then drops partials, then reports saturation so
that no new call is placed here; never a final. Pure: the time is passed in. It gets worse at
once and better a step at a time, each after some calm, so that nothing flickers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from statistics import median
from typing import Final

_MOST_WAITS: Final = 256
"""Waits that are remembered of each kind, however many end within the window."""


class Level(IntEnum):
    """What is given up; each step includes those before."""

    NORMAL = 0
    SLOWER = 1
    FINALS_ONLY = 2
    SATURATED = 3


@dataclass(frozen=True, slots=True)
class LoadRules:
    """When a step is reached, and when it is left; all times in seconds.

    A partial that waits (median) over `slower` is late, a final that waits (worst) over
    `finals_only` stops the partials, and over `saturated` new calls; so does a backlog over
    `backlog` of its bound, or `finals_only` that does not help within `patience`. A step is
    left when what reached it has stayed under the share `relief` of that for `calm`, new
    calls not before partials may come again. Waits count for `memory`.

    `beat` is the time between partials when all is well. Waits over `unnoticed` stretch it
    up to `longest_factor` times; of that `slackening` a second is taken back.
    """

    slower: float = 0.4
    finals_only: float = 1.5
    saturated: float = 3.0
    backlog: float = 0.5
    patience: float = 5.0
    relief: float = 0.5
    calm: float = 1.5
    memory: float = 3.0
    beat: float = 0.4
    unnoticed: float = 0.1
    longest_factor: float = 4.0
    slackening: float = 0.25


@dataclass(frozen=True, slots=True)
class Waits:
    """What waits at the recognizer now: ages in seconds, `backlog` as a share of its bound."""

    partials: tuple[float, ...] = ()
    oldest_final: float = 0.0
    backlog: float = 0.0


class Load:
    """Judges what waits, and what has waited lately."""

    def __init__(self, rules: LoadRules | None = None) -> None:
        self._rules = rules or LoadRules()
        self._partials: deque[tuple[float, float]] = deque(maxlen=_MOST_WAITS)
        self._finals: deque[tuple[float, float]] = deque(maxlen=_MOST_WAITS)
        self._since = 0.0  # when the level was reached
        self._pressed = 0.0  # when it was last called for
        self._looked: float | None = None
        self.level = Level.NORMAL
        self.beat_factor = 1.0

    def partial_waited(self, now: float, seconds: float) -> None:
        """A partial's turn came, or will never come, after this long."""
        self._partials.append((now, seconds))

    def final_waited(self, now: float, seconds: float) -> None:
        """A final's turn came after this long."""
        self._finals.append((now, seconds))

    def look(self, now: float, waits: Waits) -> Level:
        """The level from now on; to be asked often, and once a second at least."""
        self._forget(now)
        partial = _median([wait for _, wait in self._partials], waits.partials)
        final = max((wait for _, wait in self._finals), default=0.0)
        final = max(final, waits.oldest_final)
        self._change_level(now, partial, final, waits.backlog)
        self._change_beat(now, partial)
        self._looked = now
        return self.level

    def _forget(self, now: float) -> None:
        for waits in (self._partials, self._finals):
            while waits and now - waits[0][0] > self._rules.memory:
                waits.popleft()

    def _change_level(self, now: float, partial: float, final: float, backlog: float) -> None:
        rules = self._rules
        called_for = self._called_for(1.0, partial, final, backlog)
        if called_for > self.level:
            self._reach(called_for, now)
        elif self._called_for(rules.relief, partial, final, backlog) >= min(
            self.level, Level.FINALS_ONLY
        ):
            self._pressed = now
            if self.level is Level.FINALS_ONLY and now - self._since > rules.patience:
                self._reach(Level.SATURATED, now)
        elif now - self._pressed >= rules.calm:
            self._reach(Level(self.level - 1), now)

    def _reach(self, level: Level, now: float) -> None:
        self.level, self._since, self._pressed = level, now, now

    def _called_for(self, share: float, partial: float, final: float, backlog: float) -> Level:
        rules = self._rules
        if final > rules.saturated * share or backlog > rules.backlog * share:
            return Level.SATURATED
        if final > rules.finals_only * share:
            return Level.FINALS_ONLY
        return Level.SLOWER if partial > rules.slower * share else Level.NORMAL

    def _change_beat(self, now: float, partial: float) -> None:
        """Partials asked for every `beat` that then wait can be had every `beat` and the wait."""
        rules = self._rules
        wanted = 1 + max(0.0, partial - rules.unnoticed) / rules.beat
        if self.level >= Level.FINALS_ONLY:
            wanted = rules.longest_factor  # where partials begin again when they may
        passed = 0.0 if self._looked is None else now - self._looked
        slackened = self.beat_factor - passed * rules.slackening
        self.beat_factor = min(max(wanted, slackened, 1.0), rules.longest_factor)


def _median(over: list[float], waiting: Iterable[float]) -> float:
    waits = [*over, *waiting]
    return median(waits) if waits else 0.0
