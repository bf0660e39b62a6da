"""Who had a turn when: calls take turns, and within a call its speakers."""

from __future__ import annotations

SpeakerKey = tuple[str, str]
"""A call and one of its speakers."""


class Turns:
    """Remembers speakers until they are forgotten."""

    def __init__(self) -> None:
        self._turn = 0
        self._last: dict[tuple[str, ...], int] = {}

    def take(self, speaker: SpeakerKey) -> None:
        """It is this speaker's turn."""
        self._turn += 1
        self._last[(speaker[0],)] = self._turn
        self._last[speaker] = self._turn

    def order(self, speaker: SpeakerKey) -> tuple[int, int]:
        """Whose is lowest has waited for most turns."""
        return self._last.get((speaker[0],), 0), self._last.get(speaker, 0)

    def forget(self, speaker: SpeakerKey) -> None:
        """The speaker is gone, and the call with the last of them."""
        self._last.pop(speaker, None)
        if not any(key[0] == speaker[0] for key in self._last if len(key) > 1):
            self._last.pop((speaker[0],), None)

    def __len__(self) -> int:
        return len(self._last)
