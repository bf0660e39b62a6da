"""Looks after all calls: one gateway at a time does, whichever leads.

It gives the calls of a node that died or drains to others, forgets the sockets of a gateway that
died, and ends calls that nobody is in any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from signaling.contained import contained
from signaling.errors import Unreachable
from signaling.lifecycle import ENDING_SECONDS, MOVING_SECONDS, Lifecycle
from signaling.node_watch import NodeWatch
from signaling.presence import Presence, Summary
from signaling.registry import HEARTBEAT_SECONDS, LEASE_SECONDS, Node, Registry
from signaling.shared_call import now_ms, without_gateway

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 30.0
"""How long an empty call waits for somebody to come back before it ends."""

RETURN_SECONDS: Final = 5.0
"""How long those whose gateway died have to come back by another before they have left."""

SCAN_SECONDS: Final = 1.0
"""How often all calls are looked at, also where no node or gateway came, went or drains."""

_AT_ONCE: Final = 32
"""Calls that are moved or ended at the same time: a node may have had hundreds."""

_RECOUNT_SCANS: Final = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds; see the constants of these names."""

    linger_seconds: float = LINGER_SECONDS
    return_seconds: float = RETURN_SECONDS
    lease_seconds: float = LEASE_SECONDS


class Keeper:
    """`run` looks again and again; what it sets going belongs to the owner's TaskGroup."""

    def __init__(
        self,
        *,
        gateway: str,
        registry: Registry,
        presence: Presence,
        lifecycle: Lifecycle,
        tasks: asyncio.TaskGroup,
        watch: NodeWatch | None = None,
        rules: Rules | None = None,
    ) -> None:
        """`watch` tells of a node's death sooner than its lease would."""
        self.moved = 0
        """Calls that were given to another node, since the start."""
        self._gateway = gateway
        self._registry = registry
        self._presence = presence
        self._lifecycle = lifecycle
        self._tasks = tasks
        self._rules = rules or Rules()
        self._watch = watch
        self._stirred = asyncio.Event()
        if watch:
            watch.on_death = self._stirred.set
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._scans = 0
        self._they: tuple[object, ...] = ()  # nodes and gateways, as they last were
        self._observing_since: float | None = None  # time.monotonic, without a gap until now
        self._observed = 0.0
        self._last_seen: dict[str, Node] = {}
        self._missing_since: dict[str, int] = {}  # gateways, milliseconds since the Unix epoch

    async def run(self) -> None:
        """Look at nodes at each heartbeat, at calls where those changed; until cancelled."""
        scanned = 0.0
        while True:
            try:
                now = time.monotonic()
                due = now - scanned >= SCAN_SECONDS
                await self.look(everything=due)
                scanned = now if due else scanned
            except Unreachable:
                log.info("calls not looked after: what is shared is out of reach")
            except Exception:  # whatever it is, calls need somebody who looks after them
                log.exception("calls not looked after")
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS / 2):
                    await self._stirred.wait()
                self._stirred.clear()
            except TimeoutError:
                continue

    async def look(self, *, everything: bool = True) -> None:
        """Once: start what has to be done; without `everything`, only where nodes changed."""
        nodes = {node.status.id: node for node in await self._registry.nodes()}
        gateways = await self._registry.gateways()
        self._observe()
        if not await self._registry.lead(self._gateway):
            self._missing_since.clear()
            if self._watch:
                self._watch.watch(())
            return
        if self._watch:
            self._watch.watch(node.status for node in nodes.values())
        self._last_seen |= nodes
        they = {(n.status.id, n.status.draining, n.takes_calls) for n in nodes.values()}
        before, self._they = self._they, (they, gateways, self._held_off)
        if not everything and before == self._they:
            return
        calls = await self._presence.summaries()
        owners = {summary.node for summary in calls.values()}
        kept = owners | nodes.keys()
        self._last_seen = {k: v for k, v in self._last_seen.items() if k in kept}
        for call, summary in calls.items():
            self._look_at(call, summary, nodes)
        self._look_at_gateways(calls, gateways)
        self._scans += 1
        if self._scans % _RECOUNT_SCANS == 0:
            placed = Counter(summary.node for summary in calls.values() if summary.node)
            await self._registry.recount(placed)

    def hold_off(self) -> None:
        """What is shared was lost: give nodes and gateways the time of a lease to be back."""
        self._observing_since = None

    def _observe(self) -> None:
        """After a time in which nobody could report, it was not the nodes who were away."""
        now = time.monotonic()
        if self._observing_since is None or now - self._observed > self._rules.lease_seconds / 2:
            self._observing_since = now
        self._observed = now

    @property
    def _held_off(self) -> bool:
        since = self._observing_since
        return since is None or self._observed - since < self._rules.lease_seconds

    def stop(self) -> None:
        """Watch nobody any more, once `run` is cancelled."""
        if self._watch:
            self._watch.watch(())

    async def done(self) -> None:
        """Wait for what is being done."""
        while self._busy:
            await asyncio.wait(self._busy.values())

    def _look_at(self, call: str, summary: Summary, nodes: Mapping[str, Node]) -> None:
        """The first that is the matter with a call."""
        ending, empty = summary.ending_since_ms, summary.empty_since_ms
        if summary.reopen:
            self._do(call, self._lifecycle.reopen(call))
        elif ending is not None:
            if _seconds_since(ending) > ENDING_SECONDS:
                self._do(call, self._lifecycle.end(call))
        elif empty is not None and _seconds_since(empty) >= self._rules.linger_seconds:
            self._do(call, self._lifecycle.end(call, only_if_empty=True))
        else:
            self._look_where(call, summary, nodes)

    def _look_where(self, call: str, summary: Summary, nodes: Mapping[str, Node]) -> None:
        """Whether a call is where it can stay."""
        room = any(node.takes_calls for node in nodes.values())
        node = nodes.get(summary.node or "")
        moving = summary.moving_since_ms
        if summary.node is None:
            if summary.state == "recovering" and room:
                self._do(call, self._recover(call, None))
        elif node is None:
            if not self._held_off:
                self._do(call, self._recover(call, summary.node))
        elif summary.astray:
            self._do(call, self._lifecycle.rejoin(call))
        elif moving is not None:
            if _seconds_since(moving) > 1.5 * MOVING_SECONDS:
                self._do(call, self._lifecycle.settle(call))
        elif node.status.draining and room:
            self._do(call, self._hand_over(call))

    def _look_at_gateways(self, calls: Mapping[str, Summary], alive: set[str]) -> None:
        there = {gateway for summary in calls.values() for gateway in summary.gateways}
        missing = set() if self._held_off else there - alive - {self._gateway}
        self._missing_since = {
            gateway: self._missing_since.get(gateway, now_ms()) for gateway in missing
        }
        for gateway, since_ms in self._missing_since.items():
            if _seconds_since(since_ms) >= self._rules.return_seconds:
                for call, summary in calls.items():
                    if gateway in summary.gateways:
                        self._do(call, self._forget_gateway(call, gateway))

    def _do(self, call: str, what: Coroutine[Any, Any, None]) -> None:
        if call in self._busy:
            what.close()
            return

        async def do() -> None:
            try:
                async with self._limit:
                    with contained("call not looked after"):
                        await what
            finally:
                what.close()

        def done(_: asyncio.Task[None]) -> None:
            del self._busy[call]  # also of what was cancelled before it began

        self._busy[call] = self._tasks.create_task(do())
        self._busy[call].add_done_callback(done)

    async def _recover(self, call: str, died: str | None) -> None:
        node = self._last_seen.get(died or "")
        await self._lifecycle.recover(call, died, node.seen_at_ms if node else now_ms())
        self.moved += 1

    async def _hand_over(self, call: str) -> None:
        await self._lifecycle.hand_over(call)
        self.moved += 1

    async def _forget_gateway(self, call: str, gateway: str) -> None:
        before = await self._presence.read(call)
        after = await self._presence.change(
            call, lambda now: without_gateway(now, gateway) if now else None
        )
        for who in before.people.keys() - after.people.keys() if before and after else ():
            assert after
            await self._lifecycle.close_media(after, who)


def _seconds_since(at_ms: int) -> float:
    return (now_ms() - at_ms) / 1000
