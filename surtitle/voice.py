"""A participant that speaks a recording: a real WebRTC peer with a Socket.IO connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import av
import numpy as np
import numpy.typing as npt
import socketio
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

from surtitle.settings import UserError

RATE: Final = 48_000
"""Samples a second that are sent, mono."""

_FRAME: Final = RATE // 50
_ASK_SECONDS: Final = 30

Pcm = npt.NDArray[np.int16]


def read_audio(path: Path) -> Pcm:
    """The first audio stream of a file, shape (n,), at `RATE`; `UserError` where there is none."""
    parts: list[Pcm] = []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise UserError(f"{path} has no audio")
            for frame in container.decode(audio=0):
                parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
            parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as audio: {error}") from None
    if not parts:
        raise UserError(f"{path} has no audio")
    return np.concatenate(parts)


class Recording(MediaStreamTrack):
    """PCM as a track, in real time; silence once it has ended."""

    kind = "audio"

    def __init__(self, pcm: Pcm) -> None:
        super().__init__()
        self._pcm = pcm
        self._at = 0
        self._started: float | None = None
        self.ended = asyncio.Event()

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self._pcm) / RATE

    @property
    def played_seconds(self) -> float:
        """How much of it has been sent."""
        return min(self._at, len(self._pcm)) / RATE

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when they are due."""
        if self._started is None:
            self._started = time.monotonic()
        wait = self._started + self._at / RATE - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        chunk = self._pcm[self._at : self._at + _FRAME]
        if len(chunk) < _FRAME:
            self.ended.set()
            chunk = np.pad(chunk, (0, _FRAME - len(chunk)))
        frame = av.AudioFrame.from_ndarray(chunk.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += _FRAME
        return frame


class Voice:
    """`async with` joins the call and connects; leaving waits for the last words."""

    def __init__(self, url: str, call: str, name: str, language: str, pcm: Pcm) -> None:
        self.name = name
        self.recording = Recording(pcm)
        self._url = url
        self._join = {"call": call, "name": name, "language": language}
        self._socket = socketio.AsyncClient(reconnection=False)
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def on_caption(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Call `listener` with each caption of the call."""
        self._socket.on("caption", listener)

    async def __aenter__(self) -> Self:
        await self._socket.connect(self._url, transports=["websocket"])
        await self._ask("call:join", self._join)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._peer.close()
        await self._socket.disconnect()

    async def speak(self) -> None:
        """Send the recording; returns when it has been sent and its last words are final."""
        self._peer.addTransceiver(self.recording, direction="sendonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = self._peer.localDescription
        answer = await self._ask("media:offer", {"sdp": offer.sdp, "type": offer.type})
        await self._peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await self.recording.ended.wait()
        await asyncio.sleep(1.0)  # silence, for the endpoint to be heard
        await self._ask("media:close", {})

    async def _ask(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = await self._socket.call(event, payload, timeout=_ASK_SECONDS)
        if not answer.get("ok"):
            raise UserError(f"{event}: {answer['error']['message']}")
        return dict(answer)
