"""One Pub/Sub connection of this process, and a bounded queue for each listener."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import redis.asyncio as aioredis
import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from signaling.errors import Unreachable
from signaling.redis.link import Link, cancellable

log = structlog.get_logger(__name__)

SUBSCRIBE_SECONDS: Final = 3.0
_PING_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 1.0
_OWN: Final = "hub"
"""A channel that is always subscribed, since a connection must have one."""


class Missed:
    """In the place of messages that may have been lost, with the connection or in the queue."""


MISSED: Final = Missed()

Message = tuple[str, str]
"""Channel and payload."""


class Subscription:
    """What arrives on some channels, in order; never more than the queue holds."""

    def __init__(self, queue_size: int) -> None:
        self._queue: asyncio.Queue[Message | Missed] = asyncio.Queue(queue_size)
        self.begun = False
        """Whether it has been subscribed: what is not published yet cannot be missed."""

    def put(self, message: Message | Missed) -> None:
        """Take a message. A full queue is emptied: that many are missed."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(MISSED)
        self._queue.put_nowait(message)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._queue.empty()

    async def get(self) -> Message | Missed:
        """The next one."""
        return await self._queue.get()


class Hub:
    """`async with` reads, and connects anew where the connection is lost."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._subscribed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._pubsub: PubSub | None = None
        self._connected = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None
        # A channel that is dropped and wanted again must be so in this order at Redis, too.
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        running, self._running = self._running, None
        while running and not running.done():
            # Again, since redis-py loses a cancellation that comes while it connects.
            running.cancel()
            await asyncio.wait({running}, timeout=0.2)
        await self._tasks.__aexit__(None, None, None)

    async def _run(self) -> None:
        pause_seconds = 0.05
        while True:
            client: aioredis.Redis | None = None
            try:
                client = await self._link.listener()
                await self._read(client)
            except (RedisError, OSError, Unreachable) as error:
                if self._connected.is_set():
                    log.warning("the connection that listens is lost", error=type(error).__name__)
                    pause_seconds = 0.05
            finally:
                self._disconnected()
                if client:
                    await _closed(client)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def subscribe(self, *channels: str, queue_size: int) -> AsyncIterator[Subscription]:
        """What is published from now on. Raises `Unreachable` where that cannot be had."""
        subscription = Subscription(queue_size)
        for channel in channels:
            self._subscriptions[channel].add(subscription)
        try:
            await self._until_subscribed(channels)
            subscription.begun = True
            yield subscription
        finally:
            for channel in channels:
                self._subscriptions[channel].discard(subscription)
            await self._drop_unused(channels)

    async def _until_subscribed(self, channels: tuple[str, ...]) -> None:
        try:
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await self._connected.wait()
                async with self._sending:
                    new = [c for c in channels if not self._subscribed[c].is_set()]
                    if new and self._pubsub:
                        with cancellable():
                            await self._pubsub.subscribe(*new)
                for channel in channels:
                    await self._subscribed[channel].wait()
        except (TimeoutError, RedisError, OSError):
            raise Unreachable from None

    async def _drop_unused(self, channels: tuple[str, ...]) -> None:
        async with self._sending:
            unused = [c for c in channels if not self._subscriptions.get(c)]
            for channel in unused:
                self._subscriptions.pop(channel, None)
                self._subscribed.pop(channel, None)
            if unused and self._pubsub and self._connected.is_set():
                try:
                    with cancellable():
                        await self._pubsub.unsubscribe(*unused)
                except (RedisError, OSError):
                    log.debug("not unsubscribed: the connection is lost")

    async def _read(self, client: aioredis.Redis) -> None:
        pubsub, before = client.pubsub(), list(self._subscriptions)
        await pubsub.subscribe(_OWN, *before)
        self._pubsub = pubsub
        fresh = True
        while True:
            message = await pubsub.get_message(timeout=_PING_SECONDS)
            if message is None:
                await pubsub.ping()
                message = await pubsub.get_message(timeout=_PING_SECONDS)
                if message is None:
                    raise Unreachable
            self._take(message)
            if fresh and all(self._subscribed[c].is_set() for c in before if c in self):
                fresh = False
                self._tell_missed()
                self._connected.set()

    def __contains__(self, channel: str) -> bool:
        return channel in self._subscriptions

    def _tell_missed(self) -> None:
        for subscription in {s for group in self._subscriptions.values() for s in group}:
            if subscription.begun:
                subscription.put(MISSED)

    def _take(self, message: dict[str, Any]) -> None:
        channel, kind = message["channel"], message["type"]
        if kind == "subscribe" and channel in self._subscriptions:
            self._subscribed[channel].set()
        elif kind == "message":
            for subscription in list(self._subscriptions.get(channel, ())):
                subscription.put((channel, message["data"]))

    def _disconnected(self) -> None:
        self._connected.clear()
        self._pubsub = None
        for event in self._subscribed.values():
            event.clear()


async def _closed(client: aioredis.Redis) -> None:
    try:
        await client.aclose()
    except (RedisError, OSError) as error:
        log.debug("not closed properly", error=type(error).__name__)
