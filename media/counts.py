"""What a node counts since its start; `signaling` reads it for metrics through a callback."""

from __future__ import annotations

from dataclasses import dataclass, field

from media.receiver import ReceiveCounts


@dataclass(slots=True)
class NodeCounts:
    """Seconds are of audio."""

    audio_seconds: float = 0.0
    finals: int = 0
    finals_fenced: int = 0
    """Not published, since the call has another owner by now."""
    partials: int = 0
    speakers_failed: int = 0
    calls_failed: int = 0
    events_dropped: int = 0
    dropped_seconds: float = 0.0
    """Of tracks that have ended, as is `received`."""
    received: ReceiveCounts = field(default_factory=ReceiveCounts)
