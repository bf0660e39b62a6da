"""What gateways and nodes of a cluster share, on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from signaling.errors import Unreachable
from signaling.redis.bus import RedisBus
from signaling.redis.file_jobs import RedisFileJobs
from signaling.redis.hub import Hub
from signaling.redis.limits import RedisLimits
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.seal import Seal
from surtitle.settings import Settings, SettingsError, UserError


@dataclass(frozen=True, slots=True)
class Shared:
    """The bus, the registry, presence, jobs of files and limits, over one connection to Redis."""

    link: Link
    bus: RedisBus
    registry: RedisRegistry
    presence: RedisPresence
    file_jobs: RedisFileJobs
    limits: RedisLimits

    async def answers(self) -> bool:
        """Whether Redis does."""
        await self.link.do("PING")
        return True


@asynccontextmanager
async def shared(settings: Settings) -> AsyncIterator[Shared]:
    """Connected. `UserError` where Redis cannot be reached, or its URL cannot be meant."""
    if not settings.redis:
        raise SettingsError("--redis (SURTITLE_REDIS) must say where Redis is.")
    try:
        link = Link(settings.redis)
    except ValueError as error:
        raise SettingsError(f"--redis: {error}.") from None
    try:
        await link.__aenter__()
    except Unreachable:
        where = urlsplit(settings.redis).netloc.rpartition("@")[2]
        raise UserError(f"Redis at {where} cannot be reached.") from None
    try:
        async with Hub(link) as hub, RedisBus(link, hub) as bus:
            seal = Seal(settings.secret, previous=settings.previous_secret)
            registry, presence = RedisRegistry(link), RedisPresence(link, hub, seal)
            jobs, limits = RedisFileJobs(link, hub), RedisLimits(link)
            yield Shared(link, bus, registry, presence, jobs, limits)
    finally:
        await link.__aexit__()
