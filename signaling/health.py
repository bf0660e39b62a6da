"""How a process is: each dependency by name, and whether new work is accepted."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

CHECK_SECONDS: Final = 2.0

FRESH_SECONDS: Final = 5.0
"""How long what a gateway heard of the nodes counts."""

Check = Callable[[], Awaitable[bool]]


class HasStreams(Protocol):
    """What a process with a media node can say of it."""

    @property
    def id(self) -> str:
        """The node's name."""

    @property
    def streams(self) -> int:
        """Speakers being captioned."""

    @property
    def capacity(self) -> int:
        """Speakers that can be captioned at once."""

    @property
    def draining(self) -> bool:
        """Whether no new calls are taken."""

    @property
    def saturated(self) -> bool:
        """Whether it can caption no more than it does."""

    @property
    def recognizer(self) -> str:
        """`ready`, `restarting` or `open_circuit`."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All nodes together, as a gateway last heard of them. `known_at` is by time.monotonic.

    `english_only`: no model recognizes anything else. `targets` are the languages that captions
    are translated into, by ISO 639-1.
    """

    streams: int = 0
    capacity: int = 0
    takes_calls: bool = False
    english_only: bool = False
    targets: frozenset[str] = frozenset()
    known_at: float = -math.inf

    @property
    def fresh(self) -> bool:
        """Whether that is still true."""
        return time.monotonic() - self.known_at < FRESH_SECONDS


@dataclass(slots=True)
class Health:
    """Answers `/health` and `/ready`: of a process with a `node`, or of a gateway with a fleet."""

    version: str
    node: HasStreams | None = None
    fleet: Fleet = field(default_factory=Fleet)
    checks: dict[str, Check] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    draining: bool = False

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is well enough to be left alone, and the body of `/health`."""
        checks = {name: await self._run(check) for name, check in self.checks.items()}
        node = self.node
        recognizer = node.recognizer if node else "ready"
        failed = [name for name, result in checks.items() if not result["ok"]]
        status = "unhealthy" if failed else "healthy" if recognizer == "ready" else "degraded"
        body: dict[str, Any] = {
            "status": status,
            "checks": checks,
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "active_streams": node.streams if node else self.fleet.streams,
            "capacity_streams": node.capacity if node else self.fleet.capacity,
            "recognizer": recognizer,
            "version": self.version,
        }
        if node:
            body["node"] = node.id
        return not failed, body

    @property
    def ready(self) -> bool:
        """Whether new calls and participants are accepted."""
        if self.draining:
            return False
        node = self.node
        if node is None:
            return self.fleet.fresh and self.fleet.takes_calls
        return not node.draining and not node.saturated and node.streams < node.capacity

    async def _run(self, check: Check) -> dict[str, Any]:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                ok = await check()
        except Exception:  # whatever a driver raises, the dependency is not well
            ok = False
        return {"ok": ok, "latency_ms": round((time.monotonic() - begun) * 1000, 2)}
