"""From the bus to the sockets of this gateway: one listener a feed that has viewers here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from captions.types import Caption
from signaling.bus import Bus
from signaling.errors import Unreachable

log = structlog.get_logger(__name__)

_LONGEST_FINISH_SECONDS = 5.0


class Fanout:
    """Follows feeds while they have viewers. Its tasks belong to the owner's TaskGroup."""

    def __init__(
        self, bus: Bus, emit: Callable[[Caption], Awaitable[None]], tasks: asyncio.TaskGroup
    ) -> None:
        self._bus = bus
        self._emit = emit
        self._tasks = tasks
        self._viewers: dict[tuple[str, str], int] = {}
        self._listeners: dict[tuple[str, str], tuple[asyncio.Task[None], asyncio.Future[None]]] = {}

    async def follow(self, call: str, feed: str) -> None:
        """One more viewer. What is published after this returns reaches them.

        Raises `Unreachable` where it would not; `unfollow` is due all the same.
        """
        key = (call, feed)
        self._viewers[key] = self._viewers.get(key, 0) + 1
        if key not in self._listeners:
            listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = self._tasks.create_task(self._listen(call, feed, listening))
            self._listeners[key] = (task, listening)
        # Whoever goes away meanwhile must not take the others' listener along.
        await asyncio.shield(self._listeners[key][1])

    def unfollow(self, call: str, feed: str) -> None:
        """One viewer less."""
        key = (call, feed)
        if key not in self._viewers:
            return
        self._viewers[key] -= 1
        if self._viewers[key] == 0:
            del self._viewers[key]
            self._listeners.pop(key)[0].cancel()

    async def finish(self, call: str) -> None:
        """Wait until all that was published before `Bus.end_call` is sent; all unfollow."""
        keys = [key for key in self._listeners if key[0] == call]
        listeners = [self._listeners.pop(key)[0] for key in keys]
        for key in keys:
            self._viewers.pop(key, None)
        if listeners:
            _, stuck = await asyncio.wait(listeners, timeout=_LONGEST_FINISH_SECONDS)
            for listener in stuck:
                listener.cancel()

    async def _listen(self, call: str, feed: str, listening: asyncio.Future[None]) -> None:
        try:
            async with self._bus.listen(call, feed) as captions:
                listening.set_result(None)
                async for caption in captions:
                    await self._emit(caption)
        except Unreachable as error:
            if listening.done():
                log.warning("feed not followed to its end: the bus is out of reach")
            else:  # whoever asked for it is told so, and asks again
                listening.set_exception(error)
                listening.exception()
        except Exception:  # one feed's fault must not be another's; viewers ask for `since`
            log.exception("feed not followed to its end")
        finally:
            if not listening.done():
                listening.set_result(None)
