"""When a process that keeps failing is started again, and when it is left alone for longer.

Pure: it is told what happened and says how long to wait; whoever drives it does the waiting.
Without jitter: there is one such process a machine, so no herd to break up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """How often and how soon it is tried again; all times in seconds.

    The wait doubles with each failure, from `first_delay_seconds` to
    `longest_delay_seconds`. After `failures` in a row the circuit is open: nothing is let
    through, and every `open_seconds` one more start is tried.
    """

    failures: int = 5
    first_delay_seconds: float = 0.2
    longest_delay_seconds: float = 10.0
    open_seconds: float = 30.0


class Circuit:
    """Counts failures in a row, of starts and of what had started."""

    def __init__(self, rules: CircuitRules) -> None:
        self._rules = rules
        self._failures = 0
        self.open = False

    def failed(self) -> float:
        """It ended, or did not start: the seconds to wait before the next start."""
        self._failures += 1
        if self._failures >= self._rules.failures:
            self.open = True
            return self._rules.open_seconds
        doubled = self._rules.first_delay_seconds * 2.0 ** (self._failures - 1)
        return min(self._rules.longest_delay_seconds, doubled)

    def started(self) -> None:
        """It stands again, which proves little: let work through, but forgive no failure."""
        self.open = False

    def succeeded(self) -> None:
        """It did what it is for: all is forgiven."""
        self._failures = 0
        self.open = False
