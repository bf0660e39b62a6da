"""Packets in the order they were sent (RFC 3550, 5.1 and A.1), without a fixed delay.

A jitter buffer for the ear must wait; captions need no even pace. A packet that is next
is given at once. Only behind a hole is held what came, until the hole is filled or 60 ms
of audio wait: one lost packet of 20 ms delays its two successors, by 40 ms and by 20 ms.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from media.rtp import RtpPacket
from signaling.opus_packet import RTP_CLOCK_RATE

WINDOW_TICKS: Final = RTP_CLOCK_RATE * 60 // 1000
"""RTP ticks of audio that wait behind a hole before it is given up."""

MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100
"""Numbers further ahead or back than these are a new beginning (RFC 3550, A.1)."""

_MOST_MISSING: Final = 17
"""What one generic NACK can name (RFC 4585, 6.2.1); of more, little would come in time."""

_MOST_HELD: Final = 24  # 60 ms in the shortest packets; timestamps may lie


class Released(NamedTuple):
    """A packet in its order; `lost` packets before it did not come in time."""

    packet: RtpPacket
    lost: int


def signed(difference: int, bits: int) -> int:
    """A difference of numbers that wrap at `bits` bits, as the nearer of the two ways."""
    half = 1 << (bits - 1)
    return (difference + half) % (half << 1) - half


class Reorder:
    """The order of one SSRC's packets."""

    def __init__(self) -> None:
        self.duplicates = 0
        self.late = 0
        self._first = 0
        self._next: int | None = None  # extended: grows past 16 bits
        self._held: dict[int, RtpPacket] = {}
        self._newest = 0  # the highest number held, and the timestamp its audio ends at
        self._newest_end = 0
        self._given_up: set[int] = set()
        self._after_stray: int | None = None

    @property
    def waiting(self) -> int:
        """Packets held behind a hole."""
        return len(self._held)

    @property
    def missing(self) -> list[int]:
        """Sequence numbers that what is held waits for, the oldest first."""
        if self._next is None or not self._held:
            return []
        begin = max(self._next, self._newest - _MOST_MISSING)
        return [n & 0xFFFF for n in range(begin, self._newest) if n not in self._held]

    def add(self, packet: RtpPacket, ticks: int) -> list[Released]:
        """Take a packet with `ticks` of audio; those whose turn it is now."""
        if self._next is None:
            self._begin(packet.sequence_number)
        assert self._next is not None
        ahead = signed(packet.sequence_number - self._next, 16)
        if not ahead and not self._held:
            self._next += 1
            return [Released(packet, 0)]
        if not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            return self._stray(packet, ticks)
        number = self._next + ahead
        if ahead < 0:
            self._refuse(number)
            return []
        if number in self._held:
            self.duplicates += 1
            return []
        self._held[number] = packet
        if len(self._held) == 1 or number > self._newest:
            self._newest, self._newest_end = number, packet.timestamp + ticks
        return self._release(everything=False)

    def flush(self) -> list[Released]:
        """No more will come for now: all that is held."""
        return self._release(everything=True)

    def drop(self) -> None:
        """Forget all that is held, unheard; the next packet is a first."""
        self._held.clear()
        self._next = None

    def begin_anew(self) -> None:
        """The next packet is another sender's first; to be flushed before."""
        self._next = None

    def _begin(self, number: int) -> None:
        self._first = self._next = number
        self._given_up.clear()
        self._after_stray = None

    def _stray(self, packet: RtpPacket, ticks: int) -> list[Released]:
        """A number from nowhere: two in a row are a sender that began anew, one is a fault."""
        if packet.sequence_number != self._after_stray:
            self._after_stray = (packet.sequence_number + 1) & 0xFFFF
            self.late += 1
            return []
        released = self.flush()
        self._begin(packet.sequence_number)
        return released + self.add(packet, ticks)

    def _refuse(self, number: int) -> None:
        if number in self._given_up or number < self._first:
            self._given_up.discard(number)  # should it come once more, it is a duplicate
            self.late += 1
        else:
            self.duplicates += 1

    def _release(self, *, everything: bool) -> list[Released]:
        released: list[Released] = []
        while self._held:
            assert self._next is not None
            first = min(self._held)
            lost = first - self._next
            if lost:
                waiting = signed(self._newest_end - self._held[first].timestamp, 32)
                full = waiting >= WINDOW_TICKS or len(self._held) > _MOST_HELD
                if not (everything or full):
                    break
                self._give_up(self._next, first)
            released.append(Released(self._held.pop(first), lost))
            self._next = first + 1
        return released

    def _give_up(self, begin: int, end: int) -> None:
        self._given_up = {n for n in self._given_up if n >= end - MAX_MISORDER}
        self._given_up.update(range(max(begin, end - MAX_MISORDER), end))
