"""A participant whose audio comes in chunks, through whichever door: a socket, a telephone switch.

They sit in their call as others do; their audio goes to the call's node by a line, and by
another where the call moves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from signaling.audio import AudioFormat, AudioLine
from signaling.calls import Calls
from signaling.contained import contained
from signaling.errors import ContractError
from signaling.inner_sockets import InnerSockets
from signaling.limits.limiter import Limiter
from signaling.messages import Join, Update
from signaling.room import Seat
from signaling.shared_call import now_ms
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

MOST_AHEAD_SECONDS: Final = 60.0
"""Audio of one session that waits for its node; who sends more at once is told to wait."""

ENOUGH_SECONDS: Final = 5.0
"""Who can wait does, while this much waits."""

NO_NODE_SECONDS: Final = 30.0
"""Audio waits for so long for a node that takes it; then it is lost."""

KEPT_SECONDS: Final = 5.0
"""Audio that was sent and of which no caption has come: it is sent again where its node dies."""

KEPT_RECORDED_SECONDS: Final = 75.0
"""Likewise of a recording, whose captions are finals: three long utterances, and what waits."""

MOVED_SECONDS: Final = 0.5
"""How long a chunk may still be under way to a node that the call has left."""

_GAP_MS: Final = 500
_RETRY_SECONDS: Final = 0.5
_FIRST_RETRY_SECONDS: Final = 0.05
_LAST_FINAL_SECONDS: Final = 3.0


class Outlet(Protocol):
    """What the client of a session is told. Nothing waits, nothing raises."""

    def caption(self, caption: Mapping[str, Any]) -> None:
        """A Caption of what the session's speaker said."""

    def error(self, error: ContractError) -> None:
        """Something is wrong; the session goes on."""

    def ended(self) -> None:
        """The session has ended: with its call or the server, or its speaker joined anew."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Without `data`: another line than `instead_of` is to be taken."""

    audio: AudioFormat
    data: bytes = b""
    at_ms: int = 0
    seconds: float = 0.0
    instead_of: AudioLine | None = None

    @property
    def end_ms(self) -> int:
        """Behind its last sample, since the Unix epoch."""
        return self.at_ms + round(self.seconds * 1000)


class AudioSession:
    """One speaker. `open` first, `finish` at the end; `send` and `room` in between.

    Its tasks belong to the owner's TaskGroup.
    """

    def __init__(
        self,
        *,
        calls: Calls,
        sockets: InnerSockets,
        outlet: Outlet,
        audio: AudioFormat,
        private: bool,
        tasks: asyncio.TaskGroup,
        recorded: bool = False,
        limiter: Limiter | None = None,
    ) -> None:
        """`private`: the call is this session's own, and ends with it.

        `recorded`: the audio was spoken before. It has a time of its own, lets all who speak now
        go before it, and waits for a node for as long as it takes. To be sent no faster than
        `room` lets it. `limiter` says how much audio there may be in all; without, any amount.
        """
        self._limiter = limiter
        self.outlet = outlet
        self.received_seconds = 0.0
        """Audio that was taken so far."""
        self.carried_seconds = 0.0
        """Of that, what its node has."""
        self.begins_at_ms: int | None = None
        """When the first sample was spoken, since the Unix epoch."""
        self._calls = calls
        self._sockets = sockets
        self._audio = audio
        self._private = private
        self._recorded = recorded
        self._tasks = tasks
        self._socket = sockets.adopt(self._take)
        self._seat: Seat | None = None
        self._chunks: deque[_Chunk | None] = deque()
        self._waiting_seconds = 0.0
        self._sent: deque[_Chunk] = deque()  # of which no caption has come yet
        self._unsent: deque[_Chunk] = deque()  # what a line is to carry next
        self._more = asyncio.Event()
        self._taken = asyncio.Event()
        self._started_at_ms = 0  # the call, since the Unix epoch
        self._end_ms = 0
        self._seq = 0
        self._heard = asyncio.Event()
        self._line: AudioLine | None = None
        self._line_audio = audio
        self._deaths = 0  # of lines since a chunk was taken
        self._sending: asyncio.Timeout | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._over = False
        self._given_up = False  # nothing more is to come to a node
        self._told = False  # the client knows that no node takes its audio

    @property
    def seat(self) -> Seat:
        """Where it sits; RuntimeError before `open`."""
        if self._seat is None:
            raise RuntimeError("the session is not open")
        return self._seat

    @property
    def offset_ms(self) -> int:
        """Where in the call's time the first sample is."""
        return (self.begins_at_ms or self._started_at_ms) - self._started_at_ms

    @property
    def over(self) -> bool:
        """Whether it takes no more audio."""
        return self._over

    async def open(self, who: Identity, joining: Join, settings: Mapping[str, Any]) -> None:
        """Join the call; `settings` are those of a private one. `ContractError` as `Calls` says."""
        try:
            self._seat = await self._calls.take_place(self._socket, who, joining, settings)
        except BaseException:
            self._sockets.release(self._socket)
            raise
        self._started_at_ms = self._calls.started_at_ms(self._seat)
        self._carrying = self._tasks.create_task(self._carry())

    def send(self, chunk: bytes, offset_ms: int = 0) -> None:
        """Take the next audio; of a recording, `offset_ms` is where in it that begins.

        `ContractError`: `invalid` or `too_large` where it is not of the session's format,
        `too_large` also where it is more than a session may have, `rate_limited` where too much
        waits, `conflict` behind the end. The session goes on.
        """
        if self._over:
            raise ContractError("conflict", "the session has ended")
        seconds = self._audio.seconds(chunk)
        limiter = self._limiter
        most_seconds = limiter.limits.audio_seconds_per_session if limiter else 0
        if limiter and most_seconds and self.received_seconds + seconds > most_seconds:
            raise limiter.refusal("audio_seconds_per_session")
        if self._waiting_seconds + seconds > MOST_AHEAD_SECONDS:
            raise ContractError("rate_limited", "too much audio at once waits", 1000)
        length_ms = round(seconds * 1000)
        at_ms = self._spoken_at_ms(length_ms, offset_ms)
        self._end_ms = at_ms + length_ms
        self.received_seconds += seconds
        self._waiting_seconds += seconds
        self._put(_Chunk(self._audio, chunk, at_ms, seconds))

    def _spoken_at_ms(self, length_ms: int, offset_ms: int) -> int:
        at_ms = max(now_ms() - length_ms, self._started_at_ms)
        if self.begins_at_ms is None:
            self._end_ms = self.begins_at_ms = self._started_at_ms if self._alone else at_ms
        if self._recorded:
            at_ms = self.begins_at_ms + offset_ms
        return at_ms if at_ms - self._end_ms > _GAP_MS else self._end_ms

    @property
    def _alone(self) -> bool:
        """Whether the call is all of one recording, and begins as that does."""
        return self._recorded and self._private

    async def room(self) -> None:
        """Wait while enough audio waits already."""
        while self._waiting_seconds > ENOUGH_SECONDS and not self._over:
            self._taken.clear()
            await self._taken.wait()

    def set_format(self, audio: AudioFormat) -> None:
        """Of the audio from now on: what was said before ends there."""
        self._audio = audio

    async def since(self, seq: int) -> list[Mapping[str, Any]]:
        """The finals of this speaker behind `seq`, as Captions."""
        captions = (await self._calls.since(self.seat, seq))["captions"]
        return [c for c in captions if c["participant"] == self.seat.participant]

    async def update(self, message: Update) -> None:
        """Change what the speaker says of themselves. `ContractError` as `Calls` says."""
        await self._calls.update(self.seat, message)

    async def finish(self) -> None:
        """No more audio: returns when the last final was told, and the seat is left. Idempotent.

        Cancelled, it goes on by itself.
        """
        if self._finishing is None:
            self._over = True
            self._put(None)
            self._finishing = self._tasks.create_task(self._finish())
        await asyncio.shield(self._finishing)

    async def give_up(self) -> None:
        """As `finish`, but what waits for the node is dropped. Idempotent."""
        if self._finishing and self._finishing.done():
            return
        self._over = self._given_up = True
        self._chunks.clear()
        self._put(None)
        with contained("media not closed"):
            await self._calls.close_media(self.seat)  # which takes what it has, and no more
        await self.finish()

    async def _finish(self) -> None:
        if self._carrying:
            await asyncio.wait({self._carrying})
        with contained("session not left in order"):
            await self._hear_last()
            await self._calls.leave(self.seat)
            if self._private:
                await self._calls.end(self.seat.call)
        self._sockets.release(self._socket)

    async def _hear_last(self) -> None:
        """Wait for what is published and has not come back here yet."""
        last = await self._calls.last_seq(self.seat.call)
        try:
            async with asyncio.timeout(_LAST_FINAL_SECONDS):
                while self._seq < last:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            log.info("the last final did not come in time")

    def _take(self, event: str, payload: dict[str, Any]) -> None:
        """What a client's socket would be sent."""
        match event:
            case "caption":
                if payload["participant"] == self.seat.participant:
                    self._forget_until(self._started_at_ms + payload["end_ms"])
                    self.outlet.caption(payload)
                self._seq = max(self._seq, payload["seq"] or 0)
                self._heard.set()
            case "media:reoffer":
                self._put(_Chunk(self._audio, instead_of=self._line))
                if self._sending:
                    soon = asyncio.get_running_loop().time() + MOVED_SECONDS
                    self._sending.reschedule(soon)
            case "call:state" if payload["state"] == "ended":
                self._end()

    def _end(self) -> None:
        """By the call, not by the client."""
        self._given_up = True
        if not self._over:
            self._over = True
            self._put(None)
            self.outlet.ended()

    # --- to the node --------------------------------------------------------------------

    def _put(self, chunk: _Chunk | None) -> None:
        self._chunks.append(chunk)
        self._more.set()

    async def _carry(self) -> None:
        try:
            while (chunk := await self._next()) is not None:
                await self._deliver(chunk)
                self._waiting_seconds -= chunk.seconds
                self.carried_seconds += chunk.seconds
                self._taken.set()
        except Exception:  # one session's fault must not be another's
            log.exception("session failed")
            self.outlet.error(ContractError("unavailable", "the session failed"))
        finally:
            self._over = True
            self._taken.set()
            await self._close_line()

    async def _next(self) -> _Chunk | None:
        while not self._chunks:
            self._more.clear()
            await self._more.wait()
        return self._chunks.popleft()

    async def _deliver(self, chunk: _Chunk) -> None:
        if not chunk.data:
            if chunk.instead_of is not self._line:
                return  # it was left already
            self._part_line()
            chunk = replace(chunk, at_ms=self._end_ms)
        if not self.received_seconds:
            return  # nothing was said yet: the line can wait
        self._unsent.append(chunk)
        try:
            async with asyncio.timeout(None if self._recorded else NO_NODE_SECONDS):
                while self._unsent and not self._hopeless:
                    await self._send_next()
        except TimeoutError:
            log.warning("audio lost: no node takes it", seconds=round(chunk.seconds, 1))
            self.outlet.error(ContractError("unavailable", "audio was lost: no node took it"))
        self._unsent.clear()

    async def _send_next(self) -> None:
        """Send the oldest chunk; where the line is dead, what went into it is to be sent again."""
        chunk = self._unsent[0]
        if self._line_audio != chunk.audio:
            self._part_line()
        if self._line is None and not await self._open_line(chunk):
            await asyncio.sleep(_RETRY_SECONDS)
            return
        if await self._send(chunk):
            self._deaths = 0
            if self._unsent and self._unsent[0] is chunk:  # else it was captioned meanwhile
                self._unsent.popleft()
        else:
            self._part_line()
            self._unsent.extendleft(reversed(self._sent))
            self._sent.clear()
            self._deaths += 1
            await asyncio.sleep(min(_RETRY_SECONDS, _FIRST_RETRY_SECONDS * self._deaths))

    async def _open_line(self, chunk: _Chunk) -> bool:
        try:
            self._line = await self._calls.listen(
                self.seat, chunk.audio, chunk.at_ms, background=self._recorded
            )
        except ContractError as error:
            if not self._told:
                self._told = True
                self.outlet.error(error)
            if not self._calls.seated(self.seat):  # the same participant joined anew
                self._end()
            return False
        self._line_audio = chunk.audio
        self._told = False
        return True

    async def _send(self, chunk: _Chunk) -> bool:
        """Whether the line is alive behind it."""
        if self._line is None or not chunk.data:
            return True
        try:
            async with asyncio.timeout(None) as self._sending:
                await self._line.send(chunk.data, chunk.at_ms)
        except TimeoutError:  # the call has left that node, or it hangs
            return False
        except ContractError as error:
            if error.code not in ("invalid", "too_large"):
                return False
            self.outlet.error(error)
        else:
            self._keep(chunk)
        finally:
            self._sending = None
        return True

    @property
    def _hopeless(self) -> bool:
        if self._recorded:
            return self._given_up
        return self._over and self._line is None and self._told

    def _keep(self, chunk: _Chunk) -> None:
        self._sent.append(chunk)
        kept_seconds = KEPT_RECORDED_SECONDS if self._recorded else KEPT_SECONDS
        while chunk.end_ms - self._sent[0].at_ms > kept_seconds * 1000:
            self._sent.popleft()

    def _forget_until(self, at_ms: int) -> None:
        for chunks in (self._sent, self._unsent):
            while chunks and chunks[0].end_ms <= at_ms:
                chunks.popleft()

    def _part_line(self) -> None:
        """Leave the line; its last words are still made, where it lives."""
        line, self._line = self._line, None
        if line:
            self._tasks.create_task(self._close(line))

    async def _close_line(self) -> None:
        line, self._line = self._line, None
        if line:
            await self._close(line)

    async def _close(self, line: AudioLine) -> None:
        with contained("line not closed in order"):
            await line.close()
