"""Which nodes there are and which of them has a call: leases, capacity, epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from signaling.errors import ContractError

LEASE_SECONDS: Final = 5.0
"""How long a node counts as alive after its last heartbeat."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node's heartbeat. `streams` and `capacity` count speakers; `url` is its control API.

    `saturated` says that it can caption no more than it does, whatever its capacity.
    """

    id: str
    capacity: int
    streams: int = 0
    draining: bool = False
    url: str = ""
    saturated: bool = False

    @property
    def takes_calls(self) -> bool:
        """Whether a new call may be placed on it."""
        return not self.draining and not self.saturated and self.streams < self.capacity


@dataclass(frozen=True, slots=True)
class Placement:
    """A call's owner. A later placement of the same call has a higher epoch."""

    call: str
    node: str
    epoch: int


class Registry(Protocol):
    """Nodes report to it, gateways place calls with it."""

    async def report(self, status: NodeStatus) -> None:
        """Renew a node's lease and say how it is."""

    async def withdraw(self, node: str) -> None:
        """Remove a node that ended properly."""

    async def nodes(self) -> list[NodeStatus]:
        """The nodes whose lease is good."""

    async def place(self, call: str) -> Placement:
        """The call's owner; the least loaded node where it has none.

        Raises `ContractError` `overloaded` where no node takes calls.
        """

    async def owner(self, call: str) -> Placement | None:
        """The call's owner, if its lease is good."""

    async def release(self, call: str, epoch: int) -> None:
        """The call ended; nothing happens where a later epoch owns it."""


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
        self._owners: dict[str, Placement] = {}
        self._epoch = 0

    async def report(self, status: NodeStatus) -> None:
        """See `Registry`."""
        self._nodes[status.id] = (status, self._clock() + self._lease_seconds)

    async def withdraw(self, node: str) -> None:
        """See `Registry`."""
        self._nodes.pop(node, None)

    async def nodes(self) -> list[NodeStatus]:
        """See `Registry`."""
        now = self._clock()
        return [status for status, until in self._nodes.values() if until > now]

    async def place(self, call: str) -> Placement:
        """See `Registry`."""
        placement = await self.owner(call)
        if placement:
            return placement
        ready = [node for node in await self.nodes() if node.takes_calls]
        if not ready:
            raise ContractError("overloaded", "no media node takes new calls", 2000)
        chosen = min(ready, key=lambda n: n.streams / n.capacity)
        self._nodes[chosen.id] = (
            replace(chosen, streams=chosen.streams + 1),
            self._nodes[chosen.id][1],
        )
        self._epoch += 1
        self._owners[call] = Placement(call, chosen.id, self._epoch)
        return self._owners[call]

    async def owner(self, call: str) -> Placement | None:
        """See `Registry`."""
        placement = self._owners.get(call)
        alive = {node.id for node in await self.nodes()}
        return placement if placement and placement.node in alive else None

    async def release(self, call: str, epoch: int) -> None:
        """See `Registry`."""
        placement = self._owners.get(call)
        if placement and placement.epoch == epoch:
            del self._owners[call]
