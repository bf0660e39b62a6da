"""The audio of a VideoRoom: one multistream subscriber for all its speakers.

Janus says in messages whose each m-line is; what has been agreed by offer and answer may be
older or newer than that. There is a track where both agree and the stream is wanted: an
m-line that passes from one to another is nobody's in between, and each has SSRCs of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from media.janus.errors import JanusLost
from media.janus.messages import Feed, FeedStream, Message, lines
from media.janus.session import ANSWER_SECONDS, JanusSession
from media.peer import ReceivingPeer
from media.sdp import MOST_SFU_MEDIA, checked_sfu_offer
from media.track import Track
from signaling.errors import ContractError

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
"""From the first answer to ICE and DTLS being up."""

_MOST_AT_ONCE: Final = 64
_NO_SUCH_FEED: Final = 428


@dataclass(frozen=True, slots=True)
class _Line:
    """An m-line as it is now somebody's; what makes it another one makes it another track."""

    stream: FeedStream
    ssrcs: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Owed:
    """What Janus is to answer, by when (the loop's clock), and what was asked for with it."""

    by_seconds: float
    streams: tuple[FeedStream, ...] = ()


_PROMISED: Final = ""
"""Stands for a transaction where Janus owes an offer that it has announced."""


class JanusAudio:
    """Used by one task. `JanusLost` where the subscriber cannot go on."""

    def __init__(
        self,
        session: JanusSession,
        access: Mapping[str, Any],
        on_started: Callable[[Feed, Track], None],
        on_ended: Callable[[Feed, Track], None],
    ) -> None:
        """`access` is what a subscriber joins with: room, PIN and the like."""
        self._session = session
        self._access = access
        self._on_started = on_started
        self._on_ended = on_ended
        self._peer = ReceivingPeer(None, self._connection_ended, dtls_passive=True)
        self.handle: int | None = None
        self._joined = False
        self._wanted: set[FeedStream] = set()
        self._unknown: set[FeedStream] = set()  # that Janus refused since they were reported
        self._one_by_one = False
        self._owed: dict[str, _Owed] = {}
        self._connect_by: float | None = None
        self._said: dict[str, FeedStream | None] = {}
        self._agreed: dict[str, _Line] = {}
        self._tracks: dict[str, tuple[_Line, Track]] = {}

    @property
    def deadline(self) -> float | None:
        """When, by the loop's clock, `overdue` is to be called; None for never."""
        times = [owed.by_seconds for owed in self._owed.values()]
        if self._connect_by and not self._peer.connected:
            times.append(self._connect_by)
        return min(times, default=None)

    def overdue(self) -> None:
        """`JanusLost` where something that was to happen by now has not."""
        now = asyncio.get_running_loop().time()
        if self._connect_by and self._connect_by <= now and not self._peer.connected:
            raise JanusLost("no media connection")
        late = {transaction for transaction, owed in self._owed.items() if owed.by_seconds <= now}
        if late - {_PROMISED}:
            raise JanusLost("Janus does not answer")
        if late:
            del self._owed[_PROMISED]  # it will be asked again

    def want(self, streams: set[FeedStream]) -> None:
        """Whatever is published now; tracks of all else end."""
        self._wanted = streams
        self._unknown &= streams
        self._end_others()

    def reported(self, feed: Feed) -> None:
        """Somebody is reported as publishing: what was unknown of theirs may not be now."""
        self._unknown = {stream for stream in self._unknown if stream.feed != feed}

    async def advance(self) -> None:
        """Ask for what is wanted and not there, one request at a time."""
        self._start_agreed()
        missing = sorted(self._wanted - set(self._said.values()) - self._unknown, key=str)
        room = MOST_SFU_MEDIA - sum(stream is not None for stream in self._said.values())
        if not missing:
            self._one_by_one = False
        if self._owed or not missing or room <= 0:
            return
        streams = tuple(missing[: 1 if self._one_by_one else min(room, _MOST_AT_ONCE)])
        asked = [stream._asdict() for stream in streams]
        if self.handle is None:
            self.handle = await self._session.attach()
        if self._joined:
            body = {"request": "update", "subscribe": asked}
        else:
            body = {"request": "join", "ptype": "subscriber", "streams": asked, **self._access}
        await self._ask(body, streams)

    async def take(self, message: Message) -> None:
        """A message to the subscriber's handle."""
        if message.kind in ("hangup", "detached"):
            raise JanusLost(f"Janus hung up: {message.reason or 'no reason given'}")
        if message.kind == "trickle" and message.data:
            await self._peer.add_candidate(message.data)
        answered = self._owed.pop(message.transaction, None) if message.transaction else None
        if answered and message.error:
            self._refused(message.error, answered.streams)
        if answered and message.topic == "updating":  # it waits for an answer before it offers
            self._owe(_PROMISED)
        if message.sdp:
            self._owed.pop(_PROMISED, None)
        if message.topic in ("attached", "updated"):
            self._joined = True
            self._said = lines(message.data or {})
            self._end_others()
            if message.sdp:
                await self._agree(message.sdp)

    async def close(self) -> None:
        """End all tracks and the connection."""
        self.want(set())
        await self._peer.close()

    async def _agree(self, offer: str) -> None:
        try:
            checked, ssrcs = checked_sfu_offer(offer)
            self._agreed = {
                mid: _Line(stream, ssrcs[mid])
                for mid, stream in self._said.items()
                if stream and mid in ssrcs
            }
            self._end_others()
            self._start_agreed()
            answer = await self._peer.answer(checked)
        except ContractError as error:
            raise JanusLost(f"Janus's offer cannot be used: {error.message}") from None
        if self._connect_by is None:
            self._connect_by = asyncio.get_running_loop().time() + CONNECT_SECONDS
        await self._ask({"request": "start"}, answer=answer)

    async def _ask(
        self,
        body: Mapping[str, Any],
        streams: tuple[FeedStream, ...] = (),
        answer: str | None = None,
    ) -> None:
        assert self.handle is not None
        self._owe(await self._session.post(self.handle, body, answer), streams)

    def _owe(self, transaction: str, streams: tuple[FeedStream, ...] = ()) -> None:
        by_seconds = asyncio.get_running_loop().time() + ANSWER_SECONDS
        self._owed[transaction] = _Owed(by_seconds, streams)

    def _refused(self, error: tuple[int, str], streams: tuple[FeedStream, ...]) -> None:
        """One stream that Janus does not know fails all that were asked for with it."""
        code, why = error
        if code != _NO_SUCH_FEED or not streams:
            raise JanusLost(f"Janus refused: {why} ({code})")
        self._one_by_one = True
        if len(streams) == 1:
            log.info("stream left out", why=why)
            self._unknown.update(streams)

    def _is_theirs(self, mid: str) -> bool:
        line = self._agreed.get(mid)
        return bool(line and self._said.get(mid) == line.stream and line.stream in self._wanted)

    def _end_others(self) -> None:
        for mid, (line, track) in list(self._tracks.items()):
            if not self._is_theirs(mid) or self._agreed[mid] != line:
                del self._tracks[mid]
                self._peer.end(mid)
                self._on_ended(line.stream.feed, track)

    def _start_agreed(self) -> None:
        for mid, line in self._agreed.items():
            if mid not in self._tracks and self._is_theirs(mid):
                track = self._peer.renew(mid, line.ssrcs)
                self._tracks[mid] = (line, track)
                self._on_started(line.stream.feed, track)

    async def _connection_ended(self) -> None:
        self._session.fail("the media connection died")
