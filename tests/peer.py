"""A participant as a front-end team would write one: Socket.IO and a WebRTC peer."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from typing import Any, Self

import aioice.ice
import av
import numpy as np
import socketio
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.contract import breaks_of_answer, breaks_of_event

RATE = 48_000
FRAME = RATE // 50

# aioice leaves out 127.0.0.1 by itself; tests send media over nothing else.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def frame_at(pcm: np.ndarray, at: int) -> tuple[av.AudioFrame, bool]:
    """20 ms from sample `at` on, and whether the audio has ended by then: then it is silence."""
    chunk = pcm[at : at + FRAME]
    ended = len(chunk) < FRAME
    chunk = np.pad(chunk, (0, FRAME - len(chunk)))
    frame = av.AudioFrame.from_ndarray(chunk.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame, ended


class Microphone(MediaStreamTrack):
    """PCM in real time behind half a second of silence; then silence."""

    kind = "audio"

    def __init__(self, *clips: np.ndarray, gap_seconds: float = 1.0) -> None:
        super().__init__()
        silence = np.zeros(int(gap_seconds * RATE), np.int16)
        parts = [np.zeros(RATE // 2, np.int16)]
        for clip in clips:
            parts += [clip, silence]
        self._pcm = np.concatenate(parts)
        self._at = 0
        self.started: float | None = None
        self.ended = asyncio.Event()

    async def recv(self) -> av.AudioFrame:
        self.started = self.started or time.monotonic()
        await asyncio.sleep(max(0, self.started + self._at / RATE - time.monotonic()))
        frame, ended = frame_at(self._pcm, self._at)
        if ended:
            self.ended.set()
        self._at += FRAME
        return frame


class Peer:
    """`async with` connects; everything the server sends is kept in `heard`.

    All of it is held against docs/asyncapi.yaml: what breaks that fails the test in the end.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._auth = {"token": token} if token else None
        self.socket = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[str, Any]] = []
        self.breaks: list[str] = []
        self._news = asyncio.Condition()
        self.connection: RTCPeerConnection | None = None
        self.id = ""
        self.socket.on("*", self._hear)

    async def __aenter__(self) -> Self:
        await self.socket.connect(self._url, auth=self._auth, transports=["websocket"])
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        if self.connection:
            await self.connection.close()
        await self.socket.disconnect()
        assert failed or not self.breaks, "\n".join(self.breaks)

    async def _hear(self, event: str, payload: Any = None) -> None:
        self.breaks += breaks_of_event(event, payload)
        async with self._news:
            self.heard.append((event, payload))
            self._news.notify_all()

    async def ask(self, event: str, payload: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = await self.socket.call(event, payload, timeout=30)
        self.breaks += breaks_of_answer(event, answer)
        return answer

    async def join(self, call: str, name: str, **more: Any) -> dict[str, Any]:
        answer = await self.ask("call:join", {"call": call, "name": name, **more})
        assert answer["ok"], answer
        self.id = answer["participant"]
        return answer

    async def send(self, track: MediaStreamTrack) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver(track, direction="sendonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        local = self.connection.localDescription
        answer = await self.ask("media:offer", {"sdp": local.sdp, "type": local.type})
        assert answer["ok"], answer
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    async def until(self, wanted, seconds: float = 60) -> Any:
        """The first true value of `wanted(self)`, asked again at everything that is heard."""
        async with asyncio.timeout(seconds), self._news:
            while not (found := wanted(self)):
                await self._news.wait()
            return found

    def events(self, name: str) -> list[Any]:
        return [payload for event, payload in self.heard if event == name]

    @property
    def captions(self) -> list[dict[str, Any]]:
        return self.events("caption")

    def finals(self, participant: str | None = None) -> list[dict[str, Any]]:
        return [c for c in self.captions if c["final"] and participant in (None, c["participant"])]

    def text(self, participant: str | None = None) -> str:
        """All finals in order of speaking."""
        ordered = sorted(self.finals(participant), key=lambda c: c["start_ms"])
        return " ".join(c["text"] for c in ordered)
