"""`surtitle gateway`: a gateway of a cluster, against Redis and MongoDB."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
import structlog

from signaling.gateway import Gateway
from signaling.health import Health
from signaling.limits.limiter import Limiter
from signaling.metrics import Metrics
from signaling.node_client import HttpNodes
from signaling.node_watch import NodeWatch
from surtitle import __version__
from surtitle.authority import authority
from surtitle.settings import VOICES, Settings, SettingsError
from surtitle.shared import shared
from surtitle.stores import transcript_store

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A running gateway. Leaving lets clients go to the others; calls go on.

    Raises `UserError`, or OSError where the port is taken or the store cannot be reached.
    """
    settings.check()
    if not settings.mongo:
        raise SettingsError("--mongo (SURTITLE_MONGO) must say where MongoDB is.")
    if settings.is_open:
        log.warning("no secret: listening on loopback only, and everybody may do everything")
    async with AsyncExitStack() as stack:
        common = await stack.enter_async_context(shared(settings))
        store = await stack.enter_async_context(transcript_store(settings.mongo, settings.data))
        nodes = await stack.enter_async_context(
            HttpNodes(common.registry, settings.secret, settings.previous_secret)
        )
        # Beside the session of orders, which must never wait for one that watches.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )

        async def store_answers() -> bool:
            await store.calls(1)
            return True

        yield await stack.enter_async_context(
            Gateway(
                host=settings.host,
                port=settings.port,
                # Another one each time: what a process of this name left is not this one's.
                gateway_id=f"{settings.node_id or 'gateway'}-{secrets.token_hex(4)}",
                bus=common.bus,
                registry=common.registry,
                presence=common.presence,
                nodes=nodes,
                store=store,
                authority=authority(settings, store),
                turn=settings.turn,
                health=Health(
                    __version__, checks={"redis": common.answers, "store": store_answers}
                ),
                metrics=Metrics(),
                origins=list(settings.origins),
                voices=VOICES,
                language=settings.language,
                targets=settings.targets(),
                file_jobs=common.file_jobs,
                files=settings.file_rules,
                token_grace_seconds=settings.token_grace,
                limiter=Limiter(settings.rules, common.limits),
                addresses=settings.addresses,
                watch=partial(
                    NodeWatch,
                    common.registry,
                    session,
                    settings.secret,
                    previous_secret=settings.previous_secret,
                ),
            )
        )
