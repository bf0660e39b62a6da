"""Which nodes and gateways there are: leases, capacity, and which node a call goes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from signaling.errors import ContractError

LEASE_SECONDS: Final = 2.5
"""How long a node or gateway counts as alive after its last heartbeat."""

HEARTBEAT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node's heartbeat. `streams` and `capacity` count speakers; `url` is its control API.

    `saturated` says that it can caption no more than it does, whatever its capacity. `english_only`
    says what its model knows; `translates` are the pairs, as `en-pt` or `*-en`, that it translates
    without a detour. `proof` is of `signaling.node_token`: that a node of ours is at `url`.
    """

    id: str
    capacity: int
    streams: int = 0
    draining: bool = False
    url: str = ""
    saturated: bool = False
    english_only: bool = False
    translates: tuple[str, ...] = ()
    proof: str = ""

    @property
    def targets(self) -> frozenset[str]:
        """The languages that it translates into."""
        return frozenset(pair.partition("-")[2] for pair in self.translates)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the registry knows it. `calls` have been placed on it and not given back.

    `seen_at_ms` is its last heartbeat, in milliseconds since the Unix epoch.
    """

    status: NodeStatus
    calls: int = 0
    seen_at_ms: int = 0

    @property
    def used(self) -> int:
        """Streams that count as used: a call counts as one before anybody speaks in it."""
        return max(self.status.streams, self.calls)

    @property
    def share(self) -> float:
        """Of its capacity in use."""
        return self.used / self.status.capacity

    @property
    def takes_calls(self) -> bool:
        """Whether a new call may be placed on it."""
        status = self.status
        return not status.draining and not status.saturated and self.used < status.capacity


@dataclass(frozen=True, slots=True)
class Orders:
    """The answer to a heartbeat.

    `drain`: an operator wants the node gone. `memory` names the registry's memory: another
    name than before says that it was lost, and everything that was shared with it.
    """

    drain: bool = False
    memory: str = ""


def no_room() -> ContractError:
    """What is told where no node takes calls."""
    return ContractError("overloaded", "no media node takes new calls", 2000)


class Registry(Protocol):
    """Nodes and gateways report to it; gateways place calls with it.

    Every method raises `Unreachable` where it is out of reach just now.
    """

    async def report(self, status: NodeStatus) -> Orders:
        """Renew a node's lease and say how it is."""

    async def withdraw(self, node: str) -> None:
        """Remove a node that ended properly."""

    async def nodes(self) -> list[Node]:
        """The nodes whose lease is good."""

    async def reserve(self) -> str:
        """The node with the lowest share of its capacity in use; one call more is now on it.

        Raises `ContractError` `overloaded` where no node takes calls.
        """

    async def give_back(self, node: str) -> None:
        """A call is not, or no longer, on this node."""

    async def recount(self, calls: Mapping[str, int]) -> None:
        """How many calls really are on each node, against what was lost on the way."""

    async def drain(self, node: str) -> None:
        """Ask a node to give its calls to others and to end."""

    async def report_gateway(self, gateway: str) -> Orders:
        """Renew a gateway's lease."""

    async def withdraw_gateway(self, gateway: str) -> None:
        """Remove a gateway that ended properly."""

    async def gateways(self) -> set[str]:
        """The gateways whose lease is good."""

    async def lead(self, gateway: str) -> bool:
        """Whether this is the one gateway that looks after all calls; one always is."""


class MemoryRegistry:
    """The registry of one process."""

    def __init__(
        self,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._nodes: dict[str, tuple[NodeStatus, float]] = {}
        self._calls: dict[str, int] = {}
        self._to_drain: set[str] = set()
        self._gateways: dict[str, float] = {}
        self._leader: tuple[str, float] = ("", 0.0)

    async def report(self, status: NodeStatus) -> Orders:
        """See `Registry`."""
        self._nodes[status.id] = (status, self._clock())
        return Orders(status.id in self._to_drain)

    async def withdraw(self, node: str) -> None:
        """See `Registry`."""
        self._nodes.pop(node, None)
        self._calls.pop(node, None)
        self._to_drain.discard(node)

    async def nodes(self) -> list[Node]:
        """See `Registry`."""
        now, wall_ms = self._clock(), time.time_ns() // 1_000_000
        return [
            Node(status, self._calls.get(status.id, 0), wall_ms - round((now - seen) * 1000))
            for status, seen in self._nodes.values()
            if seen + self._lease_seconds > now
        ]

    async def reserve(self) -> str:
        """See `Registry`."""
        ready = [node for node in await self.nodes() if node.takes_calls]
        if not ready:
            raise no_room()
        chosen = min(ready, key=lambda node: node.share).status.id
        self._calls[chosen] = self._calls.get(chosen, 0) + 1
        return chosen

    async def give_back(self, node: str) -> None:
        """See `Registry`."""
        if self._calls.get(node):
            self._calls[node] -= 1

    async def recount(self, calls: Mapping[str, int]) -> None:
        """See `Registry`."""
        self._calls = dict(calls)

    async def drain(self, node: str) -> None:
        """See `Registry`."""
        self._to_drain.add(node)

    async def report_gateway(self, gateway: str) -> Orders:
        """See `Registry`."""
        self._gateways[gateway] = self._clock()
        return Orders()

    async def withdraw_gateway(self, gateway: str) -> None:
        """See `Registry`."""
        self._gateways.pop(gateway, None)

    async def gateways(self) -> set[str]:
        """See `Registry`."""
        now = self._clock()
        return {name for name, seen in self._gateways.items() if seen + self._lease_seconds > now}

    async def lead(self, gateway: str) -> bool:
        """See `Registry`."""
        leader, until = self._leader
        if leader not in ("", gateway) and until > self._clock():
            return False
        self._leader = (gateway, self._clock() + self._lease_seconds)
        return True
