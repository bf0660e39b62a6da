"""What every `CallSource` does, whatever SFU is behind it: a base class of tests.

`class TestJanus(SourceContract)` gives it a `stage` fixture, an async generator that yields a
`Stage`: an SFU with a call in it, whose participants the test moves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Protocol

import numpy as np
import pytest

from captions.types import SAMPLE_RATE, Caption
from media.source import (
    CallSource,
    Connected,
    Joined,
    Left,
    Lost,
    Recovered,
    SourceEvent,
    TrackEnded,
    TrackStarted,
)
from media.track import Track
from signaling.errors import ContractError

PATIENCE_SECONDS = 20.0


class Stage(Protocol):
    """An SFU (real wherever one runs here) with one call."""

    def source(self) -> CallSource:
        """A new source for the call."""

    def refused_source(self) -> CallSource | None:
        """A source that the SFU refuses for good (wrong PIN, room, token); None if it cannot."""

    async def enter(self, name: str) -> None:
        """Somebody joins the call and sends a tone of a second and more, on and on."""

    async def leave(self, name: str) -> None:
        """They leave properly."""

    async def lose(self) -> None:
        """The SFU, or the way to it, dies."""

    async def restore(self) -> None:
        """It is back, with nobody in the call."""


class Ear:
    """Takes a source's events, checks their order, and reads all tracks."""

    def __init__(self) -> None:
        self.events: list[SourceEvent] = []
        self.names: dict[str, str] = {}
        self.open: dict[Track, str] = {}
        self.heard_samples: dict[str, int] = {}
        self.loudest: dict[str, int] = {}
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()

    def tell(self, event: SourceEvent) -> None:
        assert self.events or isinstance(event, Connected), "the first event is `Connected`"
        self.events.append(event)
        match event:
            case Joined(participant, name):
                self.names[participant] = name
            case Left(participant):
                del self.names[participant]  # nobody leaves who has not joined
                assert participant not in self.open.values(), "left with an open track"
            case TrackStarted(participant, track):
                assert participant in self.names, "a track of somebody who has not joined"
                assert track not in self.open
                self.open[track] = participant
                self._later(self._listen(participant, track))
            case TrackEnded(participant, track):
                assert self.open.pop(track) == participant
                track.close()
        self._later(self._wake())

    def _later(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, participant: str, track: Track) -> None:
        async for chunk in track:
            heard = self.heard_samples.get(participant, 0) + len(chunk.samples)
            self.heard_samples[participant] = heard
            loudest = int(np.abs(chunk.samples.astype(np.int32)).max(initial=0))
            self.loudest[participant] = max(self.loudest.get(participant, 0), loudest)
            await self._wake()

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, wanted: Callable[[Ear], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            while not (found := wanted(self)):
                await self._news.wait()
            return found

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def id_of(self, name: str) -> str | None:
        return next((p for p, n in self.names.items() if n == name), None)

    def hears(self, name: str, seconds: float = 0.5) -> bool:
        """Whether this much has been heard of them, and it was no silence."""
        who = self.id_of(name)
        if who is None or self.loudest.get(who, 0) < 1000:
            return False
        return self.heard_samples.get(who, 0) >= seconds * SAMPLE_RATE


@asynccontextmanager
async def listening(source: CallSource, ear: Ear | None = None) -> AsyncIterator[Ear]:
    """The source runs; behind this it is closed, and has told the end of all it began."""
    ear = ear or Ear()
    running = asyncio.create_task(source.run(ear.tell))
    try:
        connected = asyncio.create_task(ear.until(lambda e: e.of(Connected)))
        await asyncio.wait({running, connected}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            connected.cancel()
            running.result()
        yield ear
    finally:
        await source.close()
        await source.close()  # idempotent
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait({running})
    running.result()
    assert not ear.open, "tracks that never ended"
    assert not ear.names, "participants who never left"


class SourceContract:
    """`names`: whether the SFU tells participants' names. `recovers`: whether it can be lost."""

    names: ClassVar[bool] = True
    recovers: ClassVar[bool] = True

    def known(self, ear: Ear, name: str) -> str | None:
        """Under what name `name` appears."""
        if self.names:
            return name if ear.id_of(name) else None
        return next(iter(ear.names.values()), None)

    async def heard(self, ear: Ear, name: str, seconds: float = 0.5) -> None:
        await ear.until(lambda e: (k := self.known(e, name)) and e.hears(k, seconds))

    async def test_whoever_is_there_before_is_heard(self, stage: Stage):
        await stage.enter("Anna")
        async with listening(stage.source()) as ear:
            await self.heard(ear, "Anna")

    async def test_whoever_comes_later_is_heard(self, stage: Stage):
        async with listening(stage.source()) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")

    async def test_whoever_leaves_has_left(self, stage: Stage):
        async with listening(stage.source()) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")
            await stage.leave("Anna")
            await ear.until(lambda e: not e.names and not e.open)

    async def test_whoever_comes_again_is_heard_again(self, stage: Stage):
        async with listening(stage.source()) as ear:
            for again in range(3):
                await stage.enter("Anna")
                await ear.until(lambda e, n=again: len(e.of(TrackStarted)) > n)
                ear.heard_samples.clear()
                await self.heard(ear, "Anna")
                await stage.leave("Anna")
                await ear.until(lambda e: not e.open and not e.names)

    async def test_it_is_back_when_the_sfu_is_back(self, stage: Stage):
        if not self.recovers:
            return
        async with listening(stage.source()) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")
            await stage.lose()
            await ear.until(lambda e: e.of(Lost))
            await stage.restore()
            await stage.enter("Bert")
            await ear.until(lambda e: e.of(Recovered))
            await self.heard(ear, "Bert")
            assert ear.id_of("Anna") is None or not self.names

    async def test_a_refusal_is_an_error_of_the_contract(self, stage: Stage):
        source = stage.refused_source()
        if source is None:
            return
        with pytest.raises(ContractError) as refused:
            async with listening(source):
                raise AssertionError("it was let in")
        assert refused.value.code in ("forbidden", "not_found", "invalid")

    async def test_closing_before_running_ends_it(self, stage: Stage):
        source = stage.source()
        await source.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ContractError):
                await source.run(Ear().tell)

    async def test_a_caption_can_always_be_sent(self, stage: Stage):
        """Where the SFU carries none, nothing happens."""
        source = stage.source()
        async with listening(source) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")
            caption = Caption(
                call="c",
                utterance="u-1",
                revision=1,
                participant=next(iter(ear.names)),
                speaker="Anna",
                language="en",
                source_language="en",
                text="hello",
                stable=5,
                final=True,
                start_ms=0,
                end_ms=500,
                seq=1,
            )
            await source.send(caption)
            await self.check_arrived(stage, caption)

    async def check_arrived(self, stage: Stage, caption: Caption) -> None:
        """To be overridden where the SFU carries captions."""
