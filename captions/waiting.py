"""What waits for the recognizer, in the order in which it is to be served.

Pure. Finals wait in the order they came; of a speaker's partials only the newest does. Calls
take turns, and within a call its speakers. Finals in the background wait beside them: whoever
serves takes one where nothing else is to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace

from captions.turns import SpeakerKey, Turns
from captions.types import Hypothesis
from captions.window import Window


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to have audio recognized.

    `window` is asked when the turn comes and may answer None (no longer wanted).
    `answer` is called exactly once, before the speaker's next turn: with the hypothesis, or
    with None where there is none. `seconds` of audio count against the bound of finals.
    `background`: a final that nobody waits for in a call; everything else goes before it.
    """

    call: str
    speaker: str
    window: Callable[[], Window | None]
    answer: Callable[[Hypothesis | None], None]
    seconds: float = 0.0
    background: bool = False


@dataclass(slots=True)
class Entry:
    """A request that waits, `since` when (in the scheduler's seconds) it could be served."""

    request: Request
    since: float
    final: bool

    @property
    def speaker(self) -> SpeakerKey:
        """Whose it is."""
        return self.request.call, self.request.speaker


class Waiting:
    """The finals and partials that wait. What it drops is returned, to be answered."""

    def __init__(self) -> None:
        self._finals: list[Entry] = []
        self._background: list[Entry] = []  # finals, too
        self._partials: dict[SpeakerKey, Entry] = {}
        self._turns = Turns()
        self._leaving: set[SpeakerKey] = set()  # forgotten, but finals still wait

    @property
    def backlog_seconds(self) -> float:
        """Seconds of audio in finals, but for those in the background."""
        return sum(entry.request.seconds for entry in self._finals)

    @property
    def oldest_final(self) -> Entry | None:
        """The final that has waited longest; one in the background may wait for ever."""
        return self._finals[0] if self._finals else None

    @property
    def partials(self) -> list[Entry]:
        """The partials, in no order."""
        return list(self._partials.values())

    def partial_of(self, speaker: SpeakerKey) -> Entry | None:
        """The speaker's partial."""
        return self._partials.get(speaker)

    def add_final(self, entry: Entry) -> None:
        """Behind the speaker's other finals."""
        self._leaving.discard(entry.speaker)
        (self._background if entry.request.background else self._finals).append(entry)

    def add_partial(self, entry: Entry) -> Entry | None:
        """The one whose place it takes, and whose wait it goes on with."""
        self._leaving.discard(entry.speaker)
        before = self._partials.pop(entry.speaker, None)
        if before:
            entry.since = before.since
        self._partials[entry.speaker] = entry
        return before

    def drop_partial(self, speaker: SpeakerKey) -> Entry | None:
        """The speaker's partial is not wanted any more."""
        return self._partials.pop(speaker, None)

    def drop_partials(self) -> list[Entry]:
        """Nobody's partial is."""
        dropped = self.partials
        self._partials.clear()
        return dropped

    def drop_all(self) -> list[Entry]:
        """Nothing will be served any more."""
        dropped = [*self._finals, *self._background, *self.drop_partials()]
        self._finals.clear()
        self._background.clear()
        return dropped

    def hurry(self, speaker: SpeakerKey, now: float) -> None:
        """The speaker's finals wait in the background no longer: as if they came `now`."""
        for entry in [entry for entry in self._background if entry.speaker == speaker]:
            self._background.remove(entry)
            entry.since = now
            entry.request = replace(entry.request, background=False)
            self._finals.append(entry)

    def forget(self, speaker: SpeakerKey) -> Entry | None:
        """The speaker is gone: no turn is kept for it. Its finals stay; its partial does not."""
        if any(final.speaker == speaker for final in [*self._finals, *self._background]):
            self._leaving.add(speaker)
        else:
            self._leaving.discard(speaker)
            self._turns.forget(speaker)
        return self.drop_partial(speaker)

    def next_finals(self, busy: Container[SpeakerKey]) -> list[Entry]:
        """The oldest final of each speaker who is not `busy`, whose turn it is first."""
        return self._oldest(self._finals, busy)

    def next_background(self, busy: Container[SpeakerKey]) -> list[Entry]:
        """Likewise, of those in the background."""
        return self._oldest(self._background, busy)

    def next_partials(self, busy: Container[SpeakerKey]) -> list[Entry]:
        """The partials of speakers who are not `busy`, whose turn it is first."""
        return self._by_turns({k: e for k, e in self._partials.items() if k not in busy})

    def take(self, entry: Entry) -> None:
        """It is served now."""
        speaker = entry.speaker
        if entry.request.background:
            self._background.remove(entry)
        elif entry.final:
            self._finals.remove(entry)
        else:
            del self._partials[speaker]
        self._turns.take(speaker)
        if speaker in self._leaving:
            self.forget(speaker)

    def _oldest(self, finals: list[Entry], busy: Container[SpeakerKey]) -> list[Entry]:
        oldest: dict[SpeakerKey, Entry] = {}
        for entry in finals:
            if entry.speaker not in busy:
                oldest.setdefault(entry.speaker, entry)
        return self._by_turns(oldest)

    def _by_turns(self, entries: dict[SpeakerKey, Entry]) -> list[Entry]:
        return sorted(entries.values(), key=lambda entry: self._turns.order(entry.speaker))
