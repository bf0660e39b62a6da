"""Channels within one process: what is published reaches whoever listens just then."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Channels(Generic[K, T]):
    """A bounded queue for each listener; a slow one loses the oldest and holds nobody up."""

    def __init__(self, queue_size: int) -> None:
        self._queue_size = queue_size
        self._queues: defaultdict[K, set[asyncio.Queue[T | None]]] = defaultdict(set)

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._queues))

    def publish(self, channel: K, message: T | None) -> None:
        """Pass on a message; None ends the listeners."""
        for queue in self._queues.get(channel, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    @asynccontextmanager
    async def listen(self, channel: K) -> AsyncIterator[AsyncIterator[T]]:
        """What is published from now on, until the end or until the block is left."""
        queue: asyncio.Queue[T | None] = asyncio.Queue(self._queue_size)
        self._queues[channel].add(queue)

        async def messages() -> AsyncIterator[T]:
            while (message := await queue.get()) is not None:
                yield message

        try:
            yield messages()
        finally:
            self._queues[channel].discard(queue)
            if not self._queues[channel]:
                del self._queues[channel]
