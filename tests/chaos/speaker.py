"""A speaker as front-end teams would write one: asked for a fresh offer they send one.

And again while it is refused, or where the connection of their audio ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from socketio.exceptions import SocketIOError

from tests.chaos.cluster import Cluster
from tests.chaos.voice import Voice
from tests.chaos.watcher import Connection, Refused, Watcher


class Speaker(Watcher):
    """A participant. `keeps_audio`: a gateway's death leaves their audio as it is.

    Otherwise they offer anew at the next gateway, and with `renamed` as somebody new.
    """

    def __init__(
        self,
        cluster: Cluster,
        call: str,
        voice: str,
        *,
        gateway: int = 0,
        pause_seconds: float = 1.2,
        keeps_audio: bool = True,
        renamed: bool = False,
    ) -> None:
        super().__init__(cluster, call, subject=f"p-{voice}", gateway=gateway)
        self.voice = Voice(voice, pause_seconds)
        self._name = voice
        self._keeps_audio = keeps_audio
        self._renamed = renamed
        self._audio: Any = None
        self._wants_offer = True
        self._silent = asyncio.Event()

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        audio, self._audio = self._audio, None
        if audio:
            await audio.close()

    async def finish(self) -> None:
        """End the sentence and close the audio: all that was said is final when this returns."""
        self.voice.finish()
        async with asyncio.timeout(90):
            await self.voice.ended.wait()
            self._todo.set()
            await self._silent.wait()

    def _change(self) -> None:
        if not self._keeps_audio:
            self._wants_offer = True
        if self._renamed:
            self.subject = f"p-{self._name}-{self.connections}"

    async def _enter(self, connection: Connection) -> None:
        answer = await connection.ask(
            "call:join",
            {"call": self.call, "name": self._name, "language": "en", "since": self.since},
        )
        self._take_all(answer)
        me = next(who for who in answer["participants"] if who["id"] == answer["participant"])
        if not me["publishing"]:
            self._wants_offer = True
        self._todo.set()

    def _take(self, event: str, payload: Any) -> None:
        if event == "media:reoffer":
            self._offer_again()
        super()._take(event, payload)

    def _offer_again(self) -> None:
        self._wants_offer = True
        self._todo.set()

    async def _do(self, connection: Connection) -> None:
        if self._wants_offer and not self.voice.ended.is_set():
            await self._offer(connection)
        if self.voice.ended.is_set() and not self._silent.is_set():
            await connection.ask("media:close")
            self._silent.set()
        await super()._do(connection)

    async def _offer(self, connection: Connection) -> None:
        before, self._audio = self._audio, None
        if before:
            await before.close()
        self._wants_offer = False  # until asked again, which may be before this is answered
        try:
            await connection.send(self.voice)
        except (Refused, SocketIOError):
            self._wants_offer = True
            raise
        finally:
            audio, connection.connection = connection.connection, None
            self._audio = audio

        @audio.on("connectionstatechange")
        def changed() -> None:
            if audio is self._audio and audio.connectionState in ("failed", "closed"):
                self._offer_again()
