"""A stock Socket.IO client of `/transcribe`: what it hears is kept and held to the document."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import numpy as np
import socketio

from tests.contract import breaks_of_answer, breaks_of_event

NAMESPACE = "/transcribe"
RATE = 16_000
CHUNK = RATE // 10


class TranscribeClient:
    """`async with` connects."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._auth = {"token": token} if token else None
        self.socket = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[str, Any]] = []
        self.breaks: list[str] = []
        self._news = asyncio.Condition()
        self.socket.on("*", self._hear, namespace=NAMESPACE)

    async def __aenter__(self) -> Self:
        await self.socket.connect(
            self._url, auth=self._auth, namespaces=[NAMESPACE], transports=["websocket"]
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.disconnect()
        assert not self.breaks, "\n".join(self.breaks)

    async def _hear(self, event: str, payload: Any) -> None:
        self.breaks += breaks_of_event(event, payload, "tellTranscriber")
        async with self._news:
            self.heard.append((event, payload))
            self._news.notify_all()

    def of(self, event: str) -> list[Any]:
        return [payload for name, payload in self.heard if name == event]

    @property
    def finals(self) -> list[Any]:
        return [result for result in self.of("transcription_result") if not result["is_partial"]]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals)

    async def until(self, event: str, count: int = 1, seconds: float = 20.0) -> Any:
        """The newest of at least `count` of an event."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.of(event)) >= count)
            return self.of(event)[-1]

    async def ask(self, event: str, payload: Any = None) -> dict[str, Any]:
        answer = await self.socket.call(event, payload, namespace=NAMESPACE, timeout=60)
        self.breaks += breaks_of_answer(event, answer)
        return dict(answer)

    async def say(self, pcm: np.ndarray, pace: float = 1.0) -> None:
        """PCM of 16 kHz in chunks of 100 ms, `pace` times as fast as it was spoken."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for at in range(0, len(pcm), CHUNK):
            await asyncio.sleep(max(0.0, begun + at / RATE / pace - loop.time()))
            data = pcm[at : at + CHUNK].astype("<i2").tobytes()
            assert (await self.ask("audio_chunk", {"chunk": data}))["ok"]
