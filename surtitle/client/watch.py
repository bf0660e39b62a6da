"""Reading a call: what `async for` is over."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from surtitle.client.call import CallState
from surtitle.client.watching import Watching

T = TypeVar("T")

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Watch(Generic[T]):
    """Captions of a call, and changes of its state where those were asked for.

    It connects when it is first read, or by `async with`, which waits until it is let in; and ends
    behind the last caption of the call. A reader who is slow loses nothing but partials and states
    that newer ones replaced, and holds up to `feed.WAITING_FINALS` finals in memory. Cancelled
    while it waits, nothing is lost: read on.

    Whoever stops before the end closes it, by `async with` or `aclose`; else the connection stays
    until nobody has the `Watch` any more, or the client is closed. Raises `SurtitleError`.
    """

    def __init__(self, watching: Watching, start: Start, kinds: tuple[type[T], ...]) -> None:
        self._watching = watching
        self._start = start
        self._kinds = kinds
        self._told: CallState | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def state(self) -> CallState | None:
        """How the call is, None before the server has told."""
        return self._watching.state

    @property
    def seq(self) -> int:
        """The final up to which all were received: what to begin behind (`since`) another time.

        Finals that have not been read yet count.
        """
        return self._watching.feed.settled

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._closed:
            raise StopAsyncIteration
        self._begin()
        while True:
            event = self._next()
            if event is None:
                if self._watching.over:
                    return self._end()
                await self._news()
            elif isinstance(event, self._kinds):
                return event

    async def aclose(self) -> None:
        """Leave. Idempotent."""
        self._closed = True
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            while not self._watching.entered and not self._watching.over:
                await self._news()
            if self._watching.fault:
                raise self._watching.fault
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._start(self._watching.run())
            weakref.finalize(self, _cancel, asyncio.get_running_loop(), self._task)

    async def _news(self) -> None:
        self._watching.news.clear()
        await self._watching.news.wait()

    def _next(self) -> object:
        """Captions come before a change of state, so that "ended" is the last."""
        watching = self._watching
        caption = watching.feed.take()
        if caption:
            watching.room()
            return caption
        state = watching.state
        if state == self._told or (state and state.state == "ended" and not watching.over):
            return None
        self._told = state
        return state

    def _end(self) -> T:
        fault, self._watching.fault = self._watching.fault, None
        self._closed = True
        if fault:
            raise fault
        raise StopAsyncIteration


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)
