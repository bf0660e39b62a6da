"""Knows at once when a node's process dies, where a lease would take its time to end.

Whoever looks after all calls holds a connection open to each node. The kernel closes it with the
process; if then nobody listens where the node did, it is dead. A machine that is gone, or a
process that is stopped, says nothing: that is what leases are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from signaling.errors import Unreachable
from signaling.node_token import is_proven, node_headers
from signaling.orders import WATCH_PATH
from signaling.registry import NodeStatus, Registry

log = structlog.get_logger(__name__)

_CONNECT_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 1.0


class NodeWatch:
    """Its tasks belong to the owner's TaskGroup; `watch` says of which nodes there are any."""

    def __init__(
        self,
        registry: Registry,
        session: aiohttp.ClientSession,
        secret: str,
        tasks: asyncio.TaskGroup,
        previous_secret: str = "",
    ) -> None:
        self.on_death: Callable[[], None] = lambda: None
        """Called when a node has been removed from the registry."""
        self.deaths = 0
        """Nodes that were found dead before their lease ended."""
        self._registry = registry
        self._session = session
        self._secret = secret
        self._previous = previous_secret
        self._tasks = tasks
        self._watching: dict[tuple[str, str], asyncio.Task[None]] = {}

    def watch(self, nodes: Iterable[NodeStatus]) -> None:
        """Watch these, and no others any more."""
        wanted = {
            (node.id, node.url)
            for node in nodes
            if node.url and is_proven(self._secret, node.id, node.url, node.proof, self._previous)
        }
        for key in self._watching.keys() - wanted:
            self._watching.pop(key).cancel()
        for key in wanted - self._watching.keys():
            self._watching[key] = self._tasks.create_task(self._watch(*key))

    async def _watch(self, node_id: str, url: str) -> None:
        while True:
            await self._until_closed(node_id, url)
            if await _refuses(url):
                await self._remove(node_id)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _until_closed(self, node_id: str, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        headers = node_headers(self._secret, node_id)
        try:
            async with self._session.get(
                url + WATCH_PATH, headers=headers, timeout=timeout
            ) as response:
                while await response.content.readany():
                    pass
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("a node's connection ended", error=type(error).__name__)

    async def _remove(self, node_id: str) -> None:
        try:
            if all(node.status.id != node_id for node in await self._registry.nodes()):
                return  # it ended properly
            await self._registry.withdraw(node_id)
        except Unreachable:
            return
        self.deaths += 1
        log.warning("a node died", node=node_id)
        self.on_death()


async def _refuses(url: str) -> bool:
    """Whether the machine is there and says that nobody listens."""
    at = urlsplit(url)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False
