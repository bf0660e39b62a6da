"""Carrying audio to the server over the Socket.IO namespace `/transcribe`."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from surtitle.client.caption import SPOKEN, Caption
from surtitle.client.chunks import Chunk, Chunks
from surtitle.client.connection import LOST, Connection, unwrapped
from surtitle.client.errors import SurtitleError
from surtitle.client.feed import Feed
from surtitle.client.link import Link
from surtitle.client.session import Session

MOST_UNDER_WAY: Final = 10
"""Chunks that were sent and are not acknowledged."""

LAST_WORDS_SECONDS: Final = 60.0
"""How long the last final may take."""


class Speaking(Session):
    """One speaker, to the end of `chunks`; `wish` is the payload of `start_transcription`.

    After a lost connection it goes on with the same session while the server has that, and sends
    again what may not have arrived; else it begins another.
    """

    namespace = "/transcribe"

    def __init__(
        self, link: Link, wish: dict[str, Any], chunks: Chunks, patience_seconds: float | None
    ) -> None:
        super().__init__(link, Feed(SPOKEN), patience_seconds)
        self.chunks = chunks
        self.call: str | None = None
        self.participant: str | None = None
        self.problem: SurtitleError | None = None
        """What the server told last that is wrong, though it goes on."""
        self._wish = wish
        self._session: str | None = None
        self._begins_at_ms = 0.0
        """Where in the audio the session begins."""
        self._connection: Connection | None = None
        self._refused: SurtitleError | None = None
        self._stopped = False

    async def run(self) -> None:
        """See `Session`. At its end no more audio is taken."""
        try:
            await super().run()
        finally:
            self.chunks.close()

    @property
    def _done(self) -> bool:
        return self._stopped

    async def _follow(self, connection: Connection) -> None:
        self._connection, self._refused = connection, None
        await self._start(connection)
        self._succeeded()
        try:
            await self._carry(connection)
        except asyncio.CancelledError:
            if not connection.lost.is_set():  # else the server would keep the place for who is gone
                await connection.tell("stop_transcription", {})
            raise

    async def _carry(self, connection: Connection) -> None:
        while not connection.lost.is_set() and not self._stopped:
            self.chunks.more.clear()
            if self._refused:
                raise self._refused
            chunk = self.chunks.take() if self.chunks.sent < MOST_UNDER_WAY else None
            if chunk:
                await self._send(connection, chunk)
            elif self.chunks.closed and self.chunks.empty:
                await connection.ask("stop_transcription", {}, LAST_WORDS_SECONDS)
                self._stopped = True
            else:
                await self.chunks.more.wait()

    async def _start(self, connection: Connection) -> None:
        if self._session and await self._resume(connection, self._session):
            return
        if self.entered and self.chunks.closed and self.chunks.empty:
            self._stopped = True  # all had been said, and nobody there remembers it
            return
        answer = await connection.ask("start_transcription", self._wish)
        self._session = answer["session"]
        self.call, self.participant = answer["call"], answer["participant"]
        self._begins_at_ms = self.chunks.again()

    async def _resume(self, connection: Connection, session: str) -> bool:
        """Whether the server still has the session."""
        wish = {"session": session, "since": self.feed.settled}
        try:
            answer = await connection.ask("start_transcription", wish)
        except SurtitleError as error:
            if error.code != "not_found":
                raise
            self._session = None
            return False
        self.chunks.received(self._begins_at_ms + answer["received_ms"])
        self.chunks.again()
        return True

    async def _send(self, connection: Connection, chunk: Chunk) -> None:
        def answered(answer: object = None) -> None:
            if connection is not self._connection:
                return  # what an earlier connection had to say
            try:
                unwrapped(answer)
            except SurtitleError as error:
                self._refused = error
                self.chunks.more.set()
            else:
                self.chunks.received(chunk.end_ms)

        await connection.tell("audio_chunk", {"chunk": chunk.pcm}, answered)

    def _hear(self, event: str, payload: Any) -> None:
        if event == "transcription_result":
            self.feed.receive_part(Caption.from_wire(payload))
            self.news.set()
        elif event == "error":
            self.problem = SurtitleError.from_wire(payload)
        elif event == "transcription_stopped" and payload["status"] == "ended":
            self._stopped = True
            self.chunks.close()
        elif event == LOST:
            self.chunks.more.set()
