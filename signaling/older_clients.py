"""What older clients know by other names: `subscribe-call`, and a `transcript` for each caption."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from captions.types import Caption
from signaling.messages import Watch, checked


def subscription(payload: object) -> Watch:
    """`subscribe-call`: the call's id alone, or what `call:watch` takes."""
    return checked(Watch, {"call": payload} if isinstance(payload, str) else payload)


@dataclass(slots=True)
class Transcribed:
    """A feed's older clients, by socket; `started_at_ms` is the call's, since the Unix epoch."""

    started_at_ms: int
    sockets: set[str] = field(default_factory=set)

    def transcript(self, caption: Caption) -> dict[str, Any]:
        """The payload of `transcript`; `timestamp` in milliseconds since the Unix epoch."""
        return {
            "call_uuid": caption.call,
            "speaker": caption.speaker,
            "transcript": caption.text,
            "is_partial": not caption.final,
            "timestamp": self.started_at_ms + caption.end_ms,
        }
