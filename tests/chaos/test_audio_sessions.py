"""A phone speaks by WebSocket while the node that captions it goes; its connection stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.bench.judge import word_error_rate
from tests.chaos.cluster import Cluster, token
from tests.chaos.scenario import scenario
from tests.recordings import our_voices
from tests.transcribe_client import RATE
from tests.ws_client import WsClient, encoded

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

CALL = "phone"
CLIPS = our_voices()[:6]
SAID = " ".join(clip.text for clip in CLIPS)


def spoken() -> np.ndarray:
    """At 48 kHz, with a second of silence behind each recording."""
    gap = np.zeros(48_000, np.int16)
    return np.concatenate([part for clip in CLIPS for part in (clip.pcm(), gap)])


class Phone(WsClient):
    """Speaks all of it in real time."""

    def __init__(self, cluster: Cluster) -> None:
        query = f"?call={CALL}&language=en&api_key={token('phone')}"
        super().__init__(cluster.urls[-1], query)

    async def speak(self) -> None:
        await self.configure()
        await self.say(encoded(spoken(), "linear16", RATE))
        await self.finish()

    async def finals(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.of("final")) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@scenario(seconds=40)
async def test_a_phone_loses_no_word_when_its_node_drains(folder: Path) -> None:
    async with Cluster(folder) as cluster, Phone(cluster) as phone, asyncio.timeout(120):
        speaking = asyncio.ensure_future(phone.speak())
        await phone.finals(2)
        first = await cluster.node_of(CALL)
        await first.stop()
        await speaking
        assert await cluster.node_of(CALL) is not first
        assert phone.of("error") == []
        assert word_error_rate([SAID], [phone.text]) <= 0.1
        transcript = (await cluster.get(f"/api/calls/{CALL}/transcript"))["captions"]
        assert [f["utterance"] for f in phone.of("final")] == [
            caption["utterance"] for caption in sorted(transcript, key=lambda c: c["seq"])
        ]


@scenario(seconds=40)
async def test_a_phone_goes_on_when_its_node_is_killed(folder: Path) -> None:
    async with Cluster(folder) as cluster, Phone(cluster) as phone, asyncio.timeout(120):
        speaking = asyncio.ensure_future(phone.speak())
        await phone.finals(2)
        first = await cluster.node_of(CALL)
        await first.kill()
        await speaking
        assert await cluster.node_of(CALL) is not first
        assert word_error_rate([SAID], [phone.text]) <= 0.1, "what was not captioned is sent again"
        seqs = [c["seq"] for c in (await cluster.get(f"/api/calls/{CALL}/transcript"))["captions"]]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))
