"""Participants who speak recordings in real time, over a network that may lose packets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import av
import numpy as np
from aiortc import MediaStreamTrack

from tests.bench.judge import Spoken, spoken
from tests.peer import FRAME, RATE, Peer, frame_at
from tests.recordings import Recording

LEAD_SECONDS = 1.0
GAP_SECONDS = 1.0
TAIL_SECONDS = 3.0
MOST_BEHIND_SECONDS = 0.5


class Voice(MediaStreamTrack):
    """Recordings one after the other, silence between them; then silence for ever.

    A microphone does not catch up: where this process was held up for longer than
    `MOST_BEHIND_SECONDS`, that audio is gone, and counted in `skipped_seconds`.
    """

    kind = "audio"

    def __init__(self, clips: Sequence[np.ndarray]) -> None:
        super().__init__()
        parts = [silence(LEAD_SECONDS)]
        at = LEAD_SECONDS
        self.spans: list[tuple[float, float]] = []
        for clip in clips:
            self.spans.append((at, at + len(clip) / RATE))
            parts += [clip, silence(GAP_SECONDS)]
            at += len(clip) / RATE + GAP_SECONDS
        self._pcm = np.concatenate([*parts, silence(TAIL_SECONDS)])
        self._at = 0
        self.seconds = len(self._pcm) / RATE
        self.skipped_seconds = 0.0
        self.started: float | None = None  # time.monotonic() of the first sample
        self.ended = asyncio.Event()

    async def recv(self) -> av.AudioFrame:
        if self.started is None:
            self.started = time.monotonic()
        wait = self.started + self._at / RATE - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        elif wait < -MOST_BEHIND_SECONDS:
            skipped = int(-wait * RATE) // FRAME * FRAME
            self._at += skipped
            self.skipped_seconds += skipped / RATE
        frame, ended = frame_at(self._pcm, self._at)
        if ended:
            self.ended.set()
        self._at += FRAME
        return frame


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


class Participant:
    """The `number`th speaker of a call; each begins with another recording."""

    def __init__(self, url: str, number: int, said: Sequence[tuple[Recording, np.ndarray]]) -> None:
        first = number % len(said)
        mine = [*said[first:], *said[:first]]
        self.name = f"Speaker {number + 1}"
        self.peer = Peer(url)
        self.voice = Voice([clip for _, clip in mine])
        self.said: Spoken = spoken([recording for recording, _ in mine], self.voice.spans)
        self.speech_seconds = sum(end - begin for begin, end in self.voice.spans)
        self.packets_lost = 0
        self._seed = number

    async def speak(self, loss: float) -> None:
        """Begin to send; `loss` is the share of packets that never leave."""
        await self.peer.send(self.voice)
        if loss:  # ICE and DTLS are still to come: no packet of audio has left
            self._lose(loss)

    def _lose(self, rate: float) -> None:
        """The same packets for the same seed; RTCP goes through."""
        assert self.peer.connection
        draw = random.Random(self._seed)
        for transport in {sender.transport for sender in self.peer.connection.getSenders()}:
            send = transport._send_rtp

            async def lossy(data: bytes, send=send) -> None:
                is_rtcp = len(data) > 1 and 192 <= data[1] <= 223
                if is_rtcp or draw.random() >= rate:
                    await send(data)
                else:
                    self.packets_lost += 1

            transport._send_rtp = lossy


def english(recordings: Sequence[Recording], most_seconds: float) -> list[Recording]:
    """As many whole recordings in English as fit, at least one."""
    chosen: list[Recording] = []
    total = 0.0
    for recording in recordings:
        fits = not chosen or total + recording.seconds <= most_seconds
        if recording.language == "en" and fits:
            chosen.append(recording)
            total += recording.seconds
    return chosen
