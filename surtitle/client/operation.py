"""How a server is, and what it understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from surtitle.client.wire import known

UNWELL: Final = frozenset({503})
"""Statuses of `/health` that have its body all the same."""


@dataclass(frozen=True, slots=True)
class Languages:
    """`language` is the BCP 47 tag of who does not say what they speak.

    `captions` are the languages that can be read beside what is spoken. `english_only`: no model
    understands another language.
    """

    language: str
    english_only: bool
    captions: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Languages:
        """Of `GET /api/languages`."""
        return cls(**known(cls, wire) | {"captions": tuple(wire["captions"])})


@dataclass(frozen=True, slots=True)
class Check:
    """Something that a server depends on, and how long it took to answer."""

    ok: bool
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Health:
    """`checks` are by the name of what is depended on; streams are speakers."""

    status: Literal["healthy", "degraded", "unhealthy"]
    checks: Mapping[str, Check]
    uptime_seconds: float
    active_streams: int
    capacity_streams: int
    recognizer: Literal["ready", "restarting", "open_circuit"]
    version: str
    node: str | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Health:
        """Of `GET /health`, with whichever status."""
        checks = {name: Check(**known(Check, check)) for name, check in wire["checks"].items()}
        return cls(**known(cls, wire) | {"checks": checks})
