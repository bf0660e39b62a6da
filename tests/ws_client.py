"""A stock WebSocket client of `/ws/v1/transcribe`, and audio in its encodings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Self

import av
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from tests.contract import breaks_of_event

PATH = "/ws/v1/transcribe"


class WsClient:
    """`async with` connects; `heard` is what came so far."""

    def __init__(self, url: str, query: str = "", **headers: str) -> None:
        self._url = url.replace("http", "ws", 1) + PATH + query
        self._headers = headers
        self.heard: list[dict[str, Any]] = []
        self.breaks: list[str] = []
        self.closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await connect(self._url, additional_headers=self._headers)
        self._hearing = asyncio.create_task(self._hear())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._hearing
        assert not self.breaks, "\n".join(self.breaks)

    async def _hear(self) -> None:
        async for text in self.socket:
            self.read(text)
        self.closed.set()

    def read(self, text: str | bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(text)
        self.breaks += breaks_of_event(message["type"], message, "result")
        self.heard.append(message)
        return message

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    @property
    def text(self) -> str:
        return " ".join(final["transcript"] for final in self.of("final"))

    async def tell(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def configure(self, **config: Any) -> None:
        await self.tell(type="configure", config=config)

    async def say(self, chunks: Iterator[tuple[bytes, float]], pace: float = 1.0) -> None:
        """Chunks and how many seconds each is, `pace` times as fast as they were spoken."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for chunk, seconds in chunks:
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self.socket.send(chunk)
            due += seconds / pace

    async def finish(self) -> None:
        """No more audio; returns when the server has closed, behind the last final."""
        await self.tell(type="close_stream")
        async with asyncio.timeout(30):
            await self.closed.wait()


def encoded(pcm: np.ndarray, encoding: str, rate: int) -> Iterator[tuple[bytes, float]]:
    """PCM, mono int16 at 48 kHz, as 100 ms chunks of an encoding, or as Opus packets of 20 ms."""
    if encoding == "opus":
        yield from opus_packets(pcm, rate)
        return
    codec = {"linear16": "pcm_s16le", "mulaw": "pcm_mulaw"}[encoding]
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.format, encoder.layout = rate, "s16", "mono"
    resampled = resample(pcm, rate)
    size = rate // 10
    for at in range(0, len(resampled), size):
        part = resampled[at : at + size]
        yield b"".join(bytes(p) for p in encoder.encode(_frame(part, rate))), len(part) / rate


def opus_packets(pcm: np.ndarray, rate: int) -> Iterator[tuple[bytes, float]]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = rate, "s16", "mono"
    encoder.bit_rate = 32_000
    encoder.options = {"application": "voip", "frame_duration": "20"}
    size = rate // 50
    resampled = resample(pcm, rate)
    for at in range(0, len(resampled) - size + 1, size):
        for packet in encoder.encode(_frame(resampled[at : at + size], rate)):
            yield bytes(packet), 0.02


def resample(pcm: np.ndarray, rate: int) -> np.ndarray:
    if rate == 48_000:
        return pcm
    resampler = av.AudioResampler("s16", "mono", rate)
    frames = [*resampler.resample(_frame(pcm, 48_000)), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _frame(pcm: np.ndarray, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    return frame
