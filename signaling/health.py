"""How a process is: each dependency by name, and whether new work is accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

CHECK_SECONDS: Final = 2.0

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


@dataclass(slots=True)
class Health:
    """Answers `/health` and `/ready`."""

    version: str
    node: HasStreams | None = None
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
            "active_streams": node.streams if node else 0,
            "capacity_streams": node.capacity if node else 0,
            "recognizer": recognizer,
            "version": self.version,
        }
        if node:
            body["node"] = node.id
        return not failed, body

    @property
    def ready(self) -> bool:
        """Whether new calls and participants are accepted."""
        node = self.node
        return not self.draining and (
            node is None
            or (not node.draining and not node.saturated and node.streams < node.capacity)
        )

    async def _run(self, check: Check) -> dict[str, Any]:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                ok = await check()
        except Exception:  # whatever a driver raises, the dependency is not well
            ok = False
        return {"ok": ok, "latency_ms": round((time.monotonic() - begun) * 1000, 2)}
