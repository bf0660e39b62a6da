"""Which source a call gets: the one place that knows all SFUs by name."""

from __future__ import annotations

from collections.abc import Sequence

from media.node import SourceFactory
from media.source import CallSource
from media.sources.direct import DirectSource
from media.sources.janus import JanusSource
from media.sources.livekit import LiveKitSource
from media.sources.rtp import RtpSource
from media.sources.whep import WhepSource
from signaling.allowlist import AllowList
from signaling.sources import AnySource, Direct, Janus, LiveKit, Rtp, Whep


def sources(allow: AllowList, addresses: Sequence[str]) -> SourceFactory:
    """A node's sources: SFUs at what `allow` allows, plain RTP at the first of `addresses`."""

    def make(source: AnySource) -> CallSource:
        match source:
            case Janus():
                return JanusSource(source, allow)
            case Whep():
                return WhepSource(source, allow)
            case LiveKit():
                return LiveKitSource(source, allow)
            case Rtp():
                return RtpSource(source, addresses)
            case Direct():
                return DirectSource()

    return make
