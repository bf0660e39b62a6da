"""The SSRCs of plain RTP: which of them count, whose they are, until when.

Nobody announces them. An SSRC counts once two of its packets came in sequence (RFC 3550,
A.1), each is a track of its own, and it goes on through pauses and BYEs until it has been
silent for long. Pure: no I/O, no tasks, no clock but the arrival that each packet carries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from media.rtcp import Reception
from media.rtp import RtpPacket
from media.source import Joined, Left, Tell, TrackEnded, TrackStarted, display_name
from media.track import Track
from media.udp import Address
from signaling.errors import ContractError
from signaling.sources import RtpStream

log = structlog.get_logger(__name__)

MOST_STREAMS: Final = 64
"""SSRCs that count at a time; the longest silent makes room."""

SHORTEST_SILENCE_SECONDS: Final = 2.0
"""Who was heard since makes room for nobody: Opus's DTX sends every 0.4 s."""

SILENCE_SECONDS: Final = 60.0
"""An SSRC that is silent for so long has ended, until it is heard again."""

_MOST_CANDIDATES: Final = 512
_MOST_NUMBERED: Final = 1024


@dataclass(slots=True)
class Stream:
    """One SSRC that counts. `sender` is where its last packet came from."""

    ssrc: int
    who: Joined
    track: Track
    reception: Reception
    sender: Address
    heard_seconds: float

    def take(self, packet: RtpPacket, sender: Address) -> None:
        """Take a packet of this SSRC."""
        self.sender = sender
        self.heard_seconds = packet.arrival_seconds
        self.reception.add(packet.sequence_number, packet.timestamp, packet.arrival_seconds)
        self.track.take(packet)


class Names:
    """Whose an SSRC is: as the call's settings say, else a speaker with a number."""

    def __init__(self, streams: Sequence[RtpStream]) -> None:
        """`ContractError` where two entries are for the same SSRC, or for any."""
        self._given = {stream.ssrc: stream for stream in streams}
        if len(self._given) < len(streams):
            raise ContractError(
                "invalid", "each of streams needs an ssrc of its own; one may be without"
            )
        self._any = self._given.pop(None, None)
        self._numbers: OrderedDict[int, int] = OrderedDict()
        self._last_number = 0

    def of(self, ssrc: int) -> Joined:
        """Always the same for the same SSRC, as long as it is remembered."""
        if ssrc not in self._given and self._any:
            self._given[ssrc], self._any = self._any, None
        given = self._given.get(ssrc) or RtpStream()
        participant = given.participant or f"ssrc-{ssrc}"
        if given.name or given.participant:
            name = display_name(given.name, participant)
        else:
            name = f"Speaker {self._number(ssrc)}"
        return Joined(participant, name, given.language)

    def _number(self, ssrc: int) -> int:
        if ssrc not in self._numbers:
            self._last_number += 1
            self._numbers[ssrc] = self._last_number
        self._numbers.move_to_end(ssrc)
        if len(self._numbers) > _MOST_NUMBERED:
            self._numbers.popitem(last=False)
        return self._numbers[ssrc]


class Streams:
    """The SSRCs that count, by SSRC. Tells of participants and tracks as a `CallSource` does."""

    def __init__(self, names: Names, tell: Tell, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.refused = 0
        """SSRCs for which there was no room."""
        self.open: dict[int, Stream] = {}
        self._names = names
        self._tell = tell
        self._silence_seconds = silence_seconds
        self._candidates: OrderedDict[tuple[int, Address], RtpPacket] = OrderedDict()

    def take(self, packet: RtpPacket, sender: Address) -> bool:
        """Take a packet; whether it is of an SSRC that counts."""
        stream = self.open.get(packet.ssrc)
        if stream is None:
            return self._probe(packet, sender)
        stream.take(packet, sender)
        return True

    def expire(self, now_seconds: float) -> None:
        """End what has been silent for long."""
        for stream in list(self.open.values()):
            if now_seconds - stream.heard_seconds > self._silence_seconds:
                self._end(stream)

    def end(self) -> None:
        """End all."""
        for stream in list(self.open.values()):
            self._end(stream)
        self._candidates.clear()

    def _probe(self, packet: RtpPacket, sender: Address) -> bool:
        key = (packet.ssrc, sender)
        before = self._candidates.pop(key, None)
        if before and packet.sequence_number == (before.sequence_number + 1) & 0xFFFF:
            return self._begin([before, packet], sender)
        self._candidates[key] = packet
        if len(self._candidates) > _MOST_CANDIDATES:
            self._candidates.popitem(last=False)
        return False

    def _begin(self, packets: list[RtpPacket], sender: Address) -> bool:
        first = packets[0]
        if not self._has_room(packets[-1].arrival_seconds):
            self.refused += 1
            return False
        who = self._names.of(first.ssrc)
        stream = Stream(
            first.ssrc,
            who,
            Track(),
            Reception(first.sequence_number),
            sender,
            first.arrival_seconds,
        )
        log.info("stream began", ssrc=first.ssrc, participant=who.participant)
        if not self._has_others(stream):
            self._tell(who)
        self.open[stream.ssrc] = stream
        self._tell(TrackStarted(who.participant, stream.track))
        for packet in packets:
            stream.take(packet, sender)
        return True

    def _has_room(self, now_seconds: float) -> bool:
        if len(self.open) < MOST_STREAMS:
            return True
        silent = min(self.open.values(), key=lambda stream: stream.heard_seconds)
        if now_seconds - silent.heard_seconds < SHORTEST_SILENCE_SECONDS:
            return False
        self._end(silent)
        return True

    def _end(self, stream: Stream) -> None:
        log.info("stream ended", ssrc=stream.ssrc, participant=stream.who.participant)
        del self.open[stream.ssrc]
        stream.track.close()
        self._tell(TrackEnded(stream.who.participant, stream.track))
        if not self._has_others(stream):
            self._tell(Left(stream.who.participant))

    def _has_others(self, stream: Stream) -> bool:
        """Whether its participant is heard by another SSRC too."""
        return any(other.who.participant == stream.who.participant for other in self.open.values())
