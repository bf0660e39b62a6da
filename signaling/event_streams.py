"""Server-Sent Events (WHATWG HTML, 9.2): what waits for each reader, and who is cut off.

A stream is in the groups of `signaling.audience` as a socket is; each caption is encoded once for
all of a group. Its queue has an end, too: who does not read is cut off there, and resumes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import structlog

from captions.types import Caption
from signaling.audience import Sockets
from signaling.event_response import event_bytes
from signaling.transports import abort, bound_buffer

log = structlog.get_logger(__name__)

MOST_FRAMES: Final = 1000
"""Captions that wait for one reader before it is cut off: of a busy call some 30 s."""

MOST_BYTES: Final = 4 * 2**20
"""Of the captions that wait."""

_LONGEST_CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent; `seq` on finals only."""

    data: bytes
    seq: int | None = None

    @classmethod
    def of(cls, caption: dict[str, Any]) -> Frame:
        """Of a Caption of the contract, by which a reader resumes where it is final."""
        seq = caption["seq"]
        return cls(event_bytes("caption", seq, caption), seq)


def end_frame(newest: int) -> bytes:
    """The call has ended; who comes again behind the `newest` final is told that at once."""
    return event_bytes("end", newest, {})


def frame_of(caption: Caption) -> Frame:
    """A caption that is replayed."""
    return Frame.of(caption.to_wire())


class EventStream:
    """One reader's frames. `take` is theirs, all else is `EventStreams`'."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        """`transport` is the connection that whoever takes the frames writes to."""
        self.id = f"sse-{secrets.token_hex(8)}"
        self.ended = False
        """The call is over, and behind what waits comes nothing more."""
        self.closed = False
        self._transport = transport
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        bound_buffer(transport)

    async def take(self) -> list[Frame]:
        """Wait for frames and take all that are there; none where the stream is over."""
        while not (self._frames or self.ended or self.closed):
            self._more.clear()
            await self._more.wait()
        taken = list(self._frames)
        self._frames.clear()
        self._bytes = 0
        return taken

    def put(self, frame: Frame) -> bool:
        """Let a frame wait; False where too much waits already."""
        if not (self.ended or self.closed):
            self._frames.append(frame)
            self._bytes += len(frame.data)
            self._more.set()
        return len(self._frames) <= MOST_FRAMES and self._bytes <= MOST_BYTES

    def end(self) -> None:
        """The call is over."""
        self.ended = True
        self._more.set()

    def close(self) -> None:
        """Behind what waits comes nothing more from this gateway."""
        self.closed = True
        self._more.set()

    def abort(self) -> None:
        """Close the connection without waiting for a reader that does not read."""
        self._frames.clear()
        self.close()
        abort(self._transport)


class EventStreams:
    """All streams of a gateway, as `Sockets` of their own kind."""

    def __init__(self) -> None:
        self.slow_clients = 0
        """Readers that were cut off so far because they did not read."""
        self._streams: dict[str, EventStream] = {}
        self._groups: dict[str, set[EventStream]] = {}
        self._all_gone = asyncio.Event()

    def __len__(self) -> int:
        """Readers that are connected."""
        return len(self._streams)

    def open(self, transport: asyncio.Transport | None) -> EventStream:
        """A stream on this connection; `forget` it."""
        stream = EventStream(transport)
        self._streams[stream.id] = stream
        return stream

    def forget(self, stream: EventStream) -> None:
        """Whoever wrote the stream does so no longer."""
        self._streams.pop(stream.id, None)
        if not self._streams:
            self._all_gone.set()

    async def enter(self, socket: str, group: str) -> None:
        """See `Sockets`; of a socket that is no stream, nothing."""
        if socket in self._streams:
            self._groups.setdefault(group, set()).add(self._streams[socket])

    async def leave(self, socket: str, group: str) -> None:
        """See `Sockets`."""
        members = self._groups.get(group)
        if members and socket in self._streams:
            members.discard(self._streams[socket])
            if not members:
                del self._groups[group]

    async def emit(self, event: str, payload: dict[str, Any], to: str) -> None:
        """See `Sockets`. Readers are told captions, and the end."""
        members = self._groups.get(to)
        if not members:
            return
        if event == "caption":
            frame = Frame.of(payload)
            for stream in members:
                if not stream.put(frame):
                    self._cut_off(stream)
        elif event == "call:state" and payload["state"] == "ended":
            for stream in members:
                stream.end()

    async def close(self) -> None:
        """Let all end behind what waits, so that readers come again elsewhere."""
        for stream in self._streams.values():
            stream.close()
        if not self._streams:
            return
        self._all_gone.clear()
        try:
            async with asyncio.timeout(_LONGEST_CLOSE_SECONDS):
                await self._all_gone.wait()
        except TimeoutError:
            for stream in self._streams.values():
                stream.abort()

    def _cut_off(self, stream: EventStream) -> None:
        self.slow_clients += 1
        log.info("slow reader of events cut off")
        stream.abort()


class Clients:
    """Clients of several kinds as one; each kind knows its own and passes over the others'."""

    def __init__(self, *kinds: Sockets) -> None:
        self._kinds = kinds

    async def emit(self, event: str, payload: dict[str, Any], to: str) -> None:
        """See `Sockets`."""
        for kind in self._kinds:
            await kind.emit(event, payload, to)

    async def enter(self, socket: str, group: str) -> None:
        """See `Sockets`."""
        for kind in self._kinds:
            await kind.enter(socket, group)

    async def leave(self, socket: str, group: str) -> None:
        """See `Sockets`."""
        for kind in self._kinds:
            await kind.leave(socket, group)
