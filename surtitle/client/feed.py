"""Which captions a reader is due: pure, whatever the network brings, in any order and twice.

The rules of `web/client/src/captions.ts`, but that what has been taken is not kept.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from surtitle.client.caption import Caption

WAITING_FINALS: Final = 1000
"""Finals that wait for a slow reader; what comes beyond is asked for again, later."""

KNOWN_KEYS: Final = 10_000
"""Captions of which the highest revision is remembered."""

_FINAL: Final = -1


class Feed:
    """Gives each final once, in the order of `seq`, and of open utterances the newest revision.

    A final behind a hole waits until the hole is filled, or the server no longer has it.
    """

    def __init__(self, name: str, since: int = 0, *, partials: bool = True) -> None:
        """`name` is the feed's; what is read begins behind the final `since`."""
        self.name = name
        self.settled = since
        """Every final up to this `seq` was here, or the server no longer has it."""
        self._partials = partials
        self._newest = since
        self._revisions: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._ahead: list[tuple[int, int, Caption]] = []
        self._due: deque[Caption] = deque()
        self._open: dict[tuple[str, str, str], Caption] = {}
        self._count = 0

    @property
    def has_hole(self) -> bool:
        """Whether the server has a final that is not here."""
        return self._newest > self.settled

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to ask for more finals."""
        return len(self._due) <= WAITING_FINALS // 2

    def receive(self, caption: Caption) -> None:
        """Take what the server sent by itself."""
        if caption.final and len(self._due) + len(self._ahead) >= WAITING_FINALS:
            self._newest = max(self._newest, caption.seq or 0)
            return
        self._take(caption)
        self._settle(self.settled)

    def receive_answer(self, captions: Iterable[Caption], seq: int) -> None:
        """Take an answer to "finals after `settled`".

        What it left out below its last one no longer exists. `seq` is the newest there is, so an
        answer may be one page of more.
        """
        last = 0
        for caption in captions:
            self._take(caption)
            last = max(last, caption.seq or 0)
        self._newest = max(self._newest, seq)
        self._settle(max(self.settled, last or seq))

    def receive_part(self, caption: Caption) -> None:
        """Take what the server sent of one speaker: numbers between are of others.

        Where nobody reads, the oldest finals go.
        """
        self._take(caption)
        self._settle(max(self.settled, caption.seq or 0))
        while len(self._due) > WAITING_FINALS:
            self._due.popleft()

    def take(self) -> Caption | None:
        """The next caption that is due, None for now. Finals come first."""
        if self._due:
            return self._due.popleft()
        for key in self._open:
            return self._open.pop(key)
        return None

    def _take(self, caption: Caption) -> None:
        known = self._revisions.get(caption.key, 0)
        if known == _FINAL or caption.feed != self.name:
            return
        if caption.final:
            self._remember(caption, _FINAL)
            self._open.pop(caption.key, None)
            self._count += 1
            self._newest = max(self._newest, caption.seq or 0)
            heapq.heappush(self._ahead, (caption.seq or 0, self._count, caption))
        elif caption.revision > known:
            self._remember(caption, caption.revision)
            if self._partials:
                self._open[caption.key] = caption

    def _remember(self, caption: Caption, revision: int) -> None:
        self._revisions[caption.key] = revision
        self._revisions.move_to_end(caption.key)
        if len(self._revisions) > KNOWN_KEYS:
            self._revisions.popitem(last=False)

    def _settle(self, complete: int) -> None:
        """All up to `complete` is due, and what follows it without a hole."""
        while self._ahead and self._ahead[0][0] <= max(complete, self.settled + 1):
            seq, _, caption = heapq.heappop(self._ahead)
            self._due.append(caption)
            self.settled = max(self.settled, seq)
        self.settled = max(self.settled, complete)
        self._newest = max(self._newest, self.settled)
