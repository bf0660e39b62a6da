"""The registry on Redis. See `signaling.registry.Registry`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Final

from signaling.redis.keys import registry as key
from signaling.redis.link import Link, Script
from signaling.registry import LEASE_SECONDS, Node, NodeStatus, Orders, no_room

FORGOTTEN_AFTER_MS: Final = 60_000
"""Without a heartbeat for this long a node or gateway leaves no trace."""

_REPORT: Final = Script.named("report")
_NODES: Final = Script.named("nodes", before="alive")
_GATEWAYS: Final = Script.named("gateways", before="alive")
_RESERVE: Final = Script.named("reserve", before="alive")
_GIVE_BACK: Final = Script.named("give_back")
_RECOUNT: Final = Script.named("recount")
_WITHDRAW: Final = Script.named("withdraw")
_LEAD: Final = Script.named("lead")

_NODES_SEEN: Final = key("nodes")
_GATEWAYS_SEEN: Final = key("gateways")
_STATUS: Final = key("status")
_CALLS: Final = key("calls")
_DRAIN: Final = key("drain")
_MEMORY: Final = key("memory")
_LEADER: Final = key("leader")


class RedisRegistry:
    """Leases are by Redis's clock: those of the machines need not agree."""

    def __init__(self, link: Link, lease_seconds: float = LEASE_SECONDS) -> None:
        self._link = link
        self._lease_ms = round(lease_seconds * 1000)
        self._seen: dict[str, str] = {}  # when who reported last, by Redis's clock

    async def report(self, status: NodeStatus) -> Orders:
        """See `Registry`."""
        return await self._report(_NODES_SEEN, status.id, json.dumps(asdict(status)))

    async def withdraw(self, node: str) -> None:
        """See `Registry`."""
        await self._link.run(_WITHDRAW, [_NODES_SEEN, _STATUS, _CALLS, _DRAIN], [node])

    async def nodes(self) -> list[Node]:
        """See `Registry`."""
        found = await self._link.run(_NODES, [_NODES_SEEN, _STATUS, _CALLS], [self._lease_ms])
        return [
            Node(_status(status), int(calls), int(seen_at_ms))
            for status, calls, seen_at_ms in zip(*[iter(found)] * 3, strict=True)
        ]

    async def reserve(self) -> str:
        """See `Registry`."""
        node = await self._link.run(_RESERVE, [_NODES_SEEN, _STATUS, _CALLS], [self._lease_ms])
        if node is None:
            raise no_room()
        return str(node)

    async def give_back(self, node: str) -> None:
        """See `Registry`."""
        await self._link.run(_GIVE_BACK, [_CALLS], [node])

    async def recount(self, calls: Mapping[str, int]) -> None:
        """See `Registry`."""
        await self._link.run(_RECOUNT, [_CALLS], [part for pair in calls.items() for part in pair])

    async def drain(self, node: str) -> None:
        """See `Registry`."""
        await self._link.do("SADD", _DRAIN, node)

    async def report_gateway(self, gateway: str) -> Orders:
        """See `Registry`."""
        return await self._report(_GATEWAYS_SEEN, gateway)

    async def withdraw_gateway(self, gateway: str) -> None:
        """See `Registry`."""
        await self._link.do("ZREM", _GATEWAYS_SEEN, gateway)

    async def gateways(self) -> set[str]:
        """See `Registry`."""
        return set(await self._link.run(_GATEWAYS, [_GATEWAYS_SEEN], [self._lease_ms]))

    async def lead(self, gateway: str) -> bool:
        """See `Registry`."""
        return bool(await self._link.run(_LEAD, [_LEADER], [gateway, self._lease_ms]))

    async def _report(self, seen: str, who: str, *status: str) -> Orders:
        memory, drain, self._seen[who] = await self._link.run(
            _REPORT,
            [seen, _MEMORY, _STATUS, _DRAIN],
            [who, secrets.token_hex(8), FORGOTTEN_AFTER_MS, self._seen.get(who, 0), *status],
        )
        return Orders(bool(drain), str(memory))


@lru_cache(maxsize=4096)
def _status(text: str) -> NodeStatus:
    """Of thousands of nodes most say what they said half a second ago."""
    fields = json.loads(text)
    translates = fields.get("translates", ())  # a node of before says nothing of it
    return NodeStatus(**fields | {"translates": tuple(translates)})
