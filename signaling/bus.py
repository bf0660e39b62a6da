"""The caption bus: finals numbered and kept, partials passed on, each to many listeners.

One Protocol, one in-process implementation here; whatever passes
`tests/signaling/bus_contract.py` may stand in for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from captions.types import Caption
from signaling.channels import Channels

KEPT_FINALS: Final = 2000
"""Finals of a feed that the bus remembers; older ones are in the store."""

KEPT_KEY_SECONDS: Final = 24 * 3600
"""How long an idempotency key is remembered."""

LISTENER_QUEUE: Final = 1024
"""Captions that wait for one slow listener before the oldest is dropped."""

_MOST_CLAIMS: Final = 100_000


class Fenced(Exception):
    """The publisher's epoch is over: the call has another owner, or has ended."""


class Unopened(Exception):
    """The bus knows nothing of the call, or too little: it lost its memory, so `restore` it."""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A final on its way to the store; `entry` is what to acknowledge."""

    entry: int | str
    caption: Caption


@dataclass(frozen=True, slots=True)
class Letter:
    """An event for one socket of another gateway."""

    socket: str
    event: str
    payload: dict[str, Any]


class Bus(Protocol):
    """What gateways and nodes publish to and listen on.

    Every method raises `Unreachable` where the bus is out of reach just now. What listens
    goes on by itself once it is back, and then has all finals of meanwhile.
    """

    async def open_call(self, call: str, epoch: int, last_seq: Mapping[str, int]) -> None:
        """Begin (or go on with) a call: older epochs are fenced from now on.

        `last_seq` is the newest `seq` in the store by feed; numbers go on behind it.
        """

    async def publish_final(self, epoch: int, caption: Caption, after: str = "") -> Caption:
        """Number, keep and pass on a final; the same one again changes nothing.

        `after` is an utterance of this feed whose final has been published, the newest the
        publisher knows of: a bus that does not know it has lost its memory and is `Unopened`, lest
        it gives a number twice. Returns the numbered caption. Raises `Fenced`, too.
        """

    async def publish_partial(self, epoch: int, caption: Caption) -> None:
        """Pass on a partial, and keep it until the next one or the final of its utterance.

        Raises `Fenced` or `Unopened`.
        """

    async def left_open(self, call: str) -> list[Caption]:
        """The newest partial of each utterance that has no final."""

    async def restore(self, call: str, epoch: int, finals: Sequence[Caption]) -> None:
        """Give back to a bus that lost its memory what a node still has of its call.

        `finals` are numbered, in order of `seq` by feed; those it knows change nothing.
        Raises `Fenced`.
        """

    def listen(self, call: str, feed: str) -> AbstractAsyncContextManager[AsyncIterator[Caption]]:
        """Captions of a feed from now on. A slow listener loses the oldest."""

    async def since(self, call: str, feed: str, seq: int) -> list[Caption] | None:
        """Finals after `seq`, None where the bus does not (or no longer) remember that far."""

    async def last_seq(self, call: str, feed: str) -> int | None:
        """The newest `seq` of a feed, 0 before the first; None of a call it does not know."""

    async def claim(self, call: str, key: str, fingerprint: str) -> str | None:
        """Let an idempotency key of a call stand for what has this fingerprint.

        The fingerprint that it stands for already, None where it is new. It is remembered for
        `KEPT_KEY_SECONDS`, whatever becomes of the call.
        """

    async def numbers(self, call: str) -> dict[str, int]:
        """The newest `seq` by feed, of feeds that have any; empty of a call it does not know."""

    async def take_unwritten(self, limit: int) -> list[Unwritten]:
        """Wait for finals that are not acknowledged; at most `limit`, oldest first."""

    async def unwritten(self, limit: int) -> list[Unwritten]:
        """What `take_unwritten` would return, without waiting: possibly nothing."""

    async def acknowledge(self, entries: Iterable[int | str]) -> None:
        """These are in the store."""

    async def erase(self, call: str) -> dict[str, int]:
        """Forget the finals of a call; returns the newest `seq` by feed. Numbers go on."""

    async def end_call(self, call: str) -> None:
        """Nothing more is published: listeners come to their end behind what was.

        Whoever owned the call until now is fenced.
        """

    async def forget(self, call: str) -> None:
        """Keep nothing of an ended call, once the store has it. Unwritten finals stay.

        One that has begun again meanwhile is left as it is.
        """

    async def post(self, gateway: str, letter: Letter) -> None:
        """Send an event to a socket of another gateway; it may get lost."""

    def letters(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Letter]]:
        """What is posted to a gateway from now on."""


@dataclass(slots=True)
class _Feed:
    last_seq: int = 0
    finals: deque[Caption] = field(default_factory=lambda: deque(maxlen=KEPT_FINALS))
    by_utterance: dict[str, Caption] = field(default_factory=dict)
    open: dict[str, Caption] = field(default_factory=dict)


class MemoryBus:
    """The bus of one process."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._feeds: defaultdict[tuple[str, str], _Feed] = defaultdict(_Feed)
        self._ended: set[str] = set()
        self._captions = Channels[tuple[str, str], Caption](LISTENER_QUEUE)
        self._letters = Channels[str, Letter](LISTENER_QUEUE)
        self._unwritten: dict[int, Caption] = {}
        self._entries = itertools.count(1)
        self._more = asyncio.Event()
        self._to_forget: set[str] = set()
        self._claims: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    async def open_call(self, call: str, epoch: int, last_seq: Mapping[str, int]) -> None:
        """See `Bus`."""
        self._epochs[call] = max(epoch, self._epochs.get(call, 0))
        self._ended.discard(call)
        self._to_forget.discard(call)
        for feed, seq in last_seq.items():
            kept = self._feeds[(call, feed)]
            kept.last_seq = max(kept.last_seq, seq)

    async def publish_final(self, epoch: int, caption: Caption, after: str = "") -> Caption:
        """See `Bus`."""
        self._check(epoch, caption.call)
        kept = self._feeds[(caption.call, caption.feed)]
        known = kept.by_utterance.get(caption.utterance)
        if known:
            return known
        if after and after not in kept.by_utterance:
            raise Unopened("the bus does not know the final before")
        numbered = caption.numbered(kept.last_seq + 1)
        self._keep(kept, numbered)
        return numbered

    async def publish_partial(self, epoch: int, caption: Caption) -> None:
        """See `Bus`."""
        self._check(epoch, caption.call)
        kept = self._feeds[(caption.call, caption.feed)]
        if caption.utterance not in kept.by_utterance:
            kept.open[caption.utterance] = caption
        self._captions.publish((caption.call, caption.feed), caption)

    async def left_open(self, call: str) -> list[Caption]:
        """See `Bus`."""
        feeds = [kept for (owner, _), kept in self._feeds.items() if owner == call]
        return [caption for kept in feeds for caption in kept.open.values()]

    async def restore(self, call: str, epoch: int, finals: Sequence[Caption]) -> None:
        """See `Bus`."""
        self._epochs.setdefault(call, epoch)
        self._check(epoch, call)
        for final in finals:
            kept = self._feeds[(call, final.feed)]
            if final.utterance not in kept.by_utterance:
                self._keep(kept, final)

    def listen(self, call: str, feed: str) -> AbstractAsyncContextManager[AsyncIterator[Caption]]:
        """See `Bus`."""
        return self._captions.listen((call, feed))

    async def since(self, call: str, feed: str, seq: int) -> list[Caption] | None:
        """See `Bus`."""
        if call not in self._epochs:  # over, or not begun: the store knows
            return None
        kept = self._feeds.get((call, feed), _Feed())
        found = [final for final in kept.finals if (final.seq or 0) > seq]
        return found if len(found) == max(0, kept.last_seq - seq) else None

    async def last_seq(self, call: str, feed: str) -> int | None:
        """See `Bus`."""
        if call not in self._epochs:
            return None
        return self._feeds.get((call, feed), _Feed()).last_seq

    async def claim(self, call: str, key: str, fingerprint: str) -> str | None:
        """See `Bus`."""
        now = time.monotonic()
        while self._claims:
            oldest, (at, _) = next(iter(self._claims.items()))
            if now - at < KEPT_KEY_SECONDS and len(self._claims) < _MOST_CLAIMS:
                break
            del self._claims[oldest]
        mine = (now, fingerprint)
        known = self._claims.setdefault((call, key), mine)
        return None if known is mine else known[1]

    async def numbers(self, call: str) -> dict[str, int]:
        """See `Bus`."""
        feeds = {
            feed: kept.last_seq for (owner, feed), kept in self._feeds.items() if owner == call
        }
        return {feed: seq for feed, seq in feeds.items() if seq}

    async def take_unwritten(self, limit: int) -> list[Unwritten]:
        """See `Bus`."""
        while not self._unwritten:
            self._more.clear()
            await self._more.wait()
        return await self.unwritten(limit)

    async def unwritten(self, limit: int) -> list[Unwritten]:
        """See `Bus`."""
        oldest = itertools.islice(self._unwritten.items(), limit)
        return [Unwritten(entry, caption) for entry, caption in oldest]

    async def acknowledge(self, entries: Iterable[int | str]) -> None:
        """See `Bus`."""
        for entry in entries:
            self._unwritten.pop(int(entry), None)
        for call in list(self._to_forget):
            await self.forget(call)

    async def erase(self, call: str) -> dict[str, int]:
        """See `Bus`."""
        newest = {}
        for (owner, feed), kept in self._feeds.items():
            if owner == call:
                kept.finals.clear()
                kept.open.clear()
                # Their numbers stay: what is published again is known, and still erased.
                kept.by_utterance = {
                    utterance: replace(
                        final, text="", speaker="", stable=0, words=None, source_text=None
                    )
                    for utterance, final in kept.by_utterance.items()
                }
                newest[feed] = kept.last_seq
        for entry in [e for e, caption in self._unwritten.items() if caption.call == call]:
            del self._unwritten[entry]
        return newest

    async def end_call(self, call: str) -> None:
        """See `Bus`."""
        for channel in self._captions:
            if channel[0] == call:
                self._captions.publish(channel, None)
        if call in self._epochs:
            self._ended.add(call)

    async def forget(self, call: str) -> None:
        """See `Bus`."""
        if call in self._epochs and call not in self._ended:
            return
        if any(caption.call == call for caption in self._unwritten.values()):
            self._to_forget.add(call)
            return
        self._to_forget.discard(call)
        for key in [key for key in self._feeds if key[0] == call]:
            del self._feeds[key]
        self._epochs.pop(call, None)
        self._ended.discard(call)

    async def post(self, gateway: str, letter: Letter) -> None:
        """See `Bus`."""
        self._letters.publish(gateway, letter)

    def letters(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Letter]]:
        """See `Bus`."""
        return self._letters.listen(gateway)

    def _keep(self, kept: _Feed, numbered: Caption) -> None:
        kept.last_seq = max(kept.last_seq, numbered.seq or 0)
        if len(kept.finals) == KEPT_FINALS:
            kept.by_utterance.pop(kept.finals[0].utterance, None)
        kept.finals.append(numbered)
        kept.by_utterance[numbered.utterance] = numbered
        kept.open.pop(numbered.utterance, None)
        self._unwritten[next(self._entries)] = numbered
        self._more.set()
        self._captions.publish((numbered.call, numbered.feed), numbered)

    def _check(self, epoch: int, call: str) -> None:
        # A call that is not known has been forgotten: what is in memory is never lost.
        if call in self._ended or call not in self._epochs or epoch < self._epochs[call]:
            raise Fenced(f"epoch {epoch} of the call is over")
