"""Somebody who speaks: audio in, captions of it out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

from surtitle.client.caption import Caption
from surtitle.client.errors import SurtitleError
from surtitle.client.speaking import Speaking

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Speech:
    """`async with` begins and, where nothing was raised, says all to the end.

    Then all captions of it are final; `async for` over it, in the same task or another, gives them
    while they are made and ends behind the last. Who does not read keeps the newest 1000 finals.
    Everything raises `SurtitleError`, and may be cancelled.
    """

    def __init__(self, speaking: Speaking, start: Start) -> None:
        self._speaking = speaking
        self._start = start
        self._task: asyncio.Task[None] | None = None

    @property
    def call(self) -> str | None:
        """The call that this is in: of a session without one, its own. None before it begins."""
        return self._speaking.call

    @property
    def participant(self) -> str | None:
        """Who speaks, by id; None before it begins."""
        return self._speaking.participant

    @property
    def problem(self) -> SurtitleError | None:
        """What the server told last that is wrong, though speech goes on; None where nothing is."""
        return self._speaking.problem

    async def __aenter__(self) -> Self:
        self._task = self._start(self._speaking.run())
        try:
            while not self._speaking.entered and not self._speaking.over:
                await self._news()
            self._check()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.stop()
        finally:
            await self.aclose()

    async def send(self, pcm: bytes) -> None:
        """The next audio: 16 kHz, mono, signed 16-bit little-endian, of any length.

        Waits while enough is under way and, in real time, until it could have been spoken.
        Cancelled, some of it may have been said, and the rest is not. `conflict` where the call
        has ended.
        """
        self._check()
        if self._speaking.chunks.closed:
            raise SurtitleError("conflict", "no more audio is taken")
        await self._speaking.chunks.put(pcm)
        self._check()

    async def stop(self) -> None:
        """No more audio: returns behind the last final. Idempotent."""
        self._speaking.chunks.close()
        if self._task:
            await asyncio.wait([self._task])
        self._check()

    async def aclose(self) -> None:
        """Go at once; what is being said becomes final without being waited for. Idempotent."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Caption:
        while (caption := self._speaking.feed.take()) is None:
            if self._speaking.over:
                self._check()
                raise StopAsyncIteration
            await self._news()
        return caption

    async def _news(self) -> None:
        self._speaking.news.clear()
        await self._speaking.news.wait()

    def _check(self) -> None:
        if self._speaking.fault:
            raise self._speaking.fault
