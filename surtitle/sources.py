"""Which source a call gets: the one place that knows all SFUs by name."""

from __future__ import annotations

from media.node import SourceFactory
from media.source import CallSource
from signaling.errors import ContractError
from signaling.sources import AnySource


def sources() -> SourceFactory:
    """A node's sources."""

    def make(source: AnySource) -> CallSource:
        raise ContractError("invalid", f"source.kind: {source.kind} is not built yet")

    return make
