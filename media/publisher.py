"""What a call's node publishes: every final in order, whatever becomes of the bus meanwhile."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

import structlog

from captions.types import Caption
from media.counts import NodeCounts
from media.pauses import Pauses
from signaling.bus import Bus, Fenced, Unopened
from signaling.errors import Unreachable
from signaling.messages import CallRef

log = structlog.get_logger(__name__)

KEPT_FINALS: Final = 500
"""Newest finals of each feed that are kept, for a bus that loses its memory."""


class Publisher:
    """Of one call. `put` never waits; `run` publishes, until `close` and the last final.

    While the bus is out of reach finals wait, and of partials only the newest of each utterance.
    """

    def __init__(
        self,
        *,
        call: CallRef,
        bus: Bus,
        counts: NodeCounts,
        on_published: Callable[[Caption], None] = lambda _: None,
        on_fenced: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_published` takes each caption as the bus numbered it.

        `on_fenced` is told once when the call has another owner; from then on nothing is
        published.
        """
        self._call = call
        self._bus = bus
        self._counts = counts
        self._on_published = on_published
        self._on_fenced = on_fenced
        self._waiting: deque[Caption] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()  # nothing waits
        self._idle.set()
        self._closed = False
        self._fenced = False
        self._kept: defaultdict[str, deque[Caption]] = defaultdict(
            lambda: deque(maxlen=KEPT_FINALS)
        )
        self._newest: dict[str, str] = {}  # utterance that was published last, by feed
        self._lost_memory = False

    @property
    def fenced(self) -> bool:
        """Whether the call has another owner."""
        return self._fenced

    def put(self, caption: Caption) -> None:
        """Publish a caption behind those before it, in the place of an older partial of it."""
        if self._fenced:
            self._count_fenced(caption)
            return
        for waiting in self._waiting:
            if not waiting.final and (waiting.key, waiting.feed) == (caption.key, caption.feed):
                self._waiting.remove(waiting)
                break
        self._waiting.append(caption)
        self._idle.clear()
        self._more.set()

    def restore(self) -> None:
        """The bus may have lost its memory: give it back what is kept, before anything else."""
        self._lost_memory = True
        self._more.set()

    def forget_words(self) -> None:
        """The transcript was erased: keep nothing that was said, published or not."""
        self._kept.clear()
        self._newest.clear()  # a bus that forgot it could not be taught it
        self._waiting = deque(caption for caption in self._waiting if not caption.final)

    def fence(self) -> None:
        """The call has another owner: publish nothing more. Idempotent."""
        if self._fenced:
            return
        self._fenced = True
        for caption in self._waiting:
            self._count_fenced(caption)
        self._waiting.clear()
        self._idle.set()
        self._more.set()
        log.warning("the call has another owner; what was not published is dropped")
        self._on_fenced()

    async def published(self) -> None:
        """Wait until all that has been put is published, or dropped since it may not be."""
        await self._idle.wait()

    def close(self) -> None:
        """Let `run` end behind what has been put."""
        self._closed = True
        self._more.set()

    async def run(self) -> None:
        """Publish until closed."""
        pauses = Pauses(first_seconds=0.1, longest_seconds=1.0)
        never = asyncio.Event()
        while not self._closed or self._waiting or self._to_restore:
            if not self._waiting and not self._to_restore:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
                continue
            try:
                if self._to_restore:
                    await self._restore_kept()
                else:
                    await self._publish_next()
                    pauses.reset()
            except Unreachable:
                self._drop_partials()
                await pauses.wait(never)
            except Unopened:  # or its newest memory lost; whoever sees to the call will open it
                self._lost_memory = True
                await pauses.wait(never)
            except Fenced:
                self.fence()
        self._idle.set()

    @property
    def _to_restore(self) -> bool:
        return self._lost_memory and not self._fenced

    async def _restore_kept(self) -> None:
        self._lost_memory = False  # it may be lost once more while this is told
        try:
            kept = [final for finals in self._kept.values() for final in finals]
            await self._bus.restore(self._call.call, self._call.epoch, kept)
        except Unreachable:
            self._lost_memory = True
            raise

    async def _publish_next(self) -> None:
        caption = self._waiting[0]
        if caption.final:
            after = self._newest.get(caption.feed, "")
            published = await self._bus.publish_final(self._call.epoch, caption, after)
            self._newest[caption.feed] = published.utterance
            self._kept[caption.feed].append(published)
            self._counts.finals += 1
        else:
            await self._bus.publish_partial(self._call.epoch, caption)
            self._counts.partials += 1
            published = caption
        # A newer partial may have taken its place meanwhile.
        if self._waiting and self._waiting[0] is caption:
            self._waiting.popleft()
        self._on_published(published)

    def _drop_partials(self) -> None:
        """Newer ones come by the time the bus is back."""
        self._waiting = deque(caption for caption in self._waiting if caption.final)

    def _count_fenced(self, caption: Caption) -> None:
        if caption.final:
            self._counts.finals_fenced += 1
