"""`direct` under the contract of all sources: browsers' place is taken by aiortc's peers."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from media.source import Joined, Left, TrackEnded, TrackStarted
from media.sources.direct import DirectSource
from signaling.errors import ContractError
from signaling.messages import Participant
from tests.media.source_contract import Ear, SourceContract, listening
from tests.media.test_sdp import CHROME
from tests.peer import RATE, Microphone

TONE = (12_000 * np.sin(2 * np.pi * 440 * np.arange(30 * RATE) / RATE)).astype(np.int16)


class DirectStage:
    """Participants offer to the newest source that runs."""

    def __init__(self) -> None:
        self.newest: DirectSource | None = None
        self.waiting: list[str] = []
        self.connections: dict[str, RTCPeerConnection] = {}

    def source(self) -> DirectSource:
        stage = self

        class Source(DirectSource):
            async def run(self, tell):
                stage.newest = self
                await super().run(tell)

        return Source()

    def refused_source(self) -> None:
        return None

    async def enter(self, name: str, changed: Callable[[str], str] = str) -> None:
        connection = self.connections[name] = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver(Microphone(TONE), direction="sendonly")
        await connection.setLocalDescription(await connection.createOffer())
        assert self.newest
        sdp = await self.newest.offer(
            Participant(f"p-{name}", name), changed(connection.localDescription.sdp)
        )
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def leave(self, name: str) -> None:
        await self.connections.pop(name).close()
        assert self.newest
        await self.newest.close_peer(f"p-{name}")

    async def lose(self) -> None:
        raise NotImplementedError

    async def restore(self) -> None:
        raise NotImplementedError


@pytest.fixture
async def stage():
    stage = DirectStage()
    yield stage
    for connection in stage.connections.values():
        await connection.close()


class TestDirect(SourceContract):
    recovers = False

    async def test_whoever_is_there_before_is_heard(self, stage):
        """Nobody is: participants send to a source that runs."""
        source = stage.source()
        await source.close()
        await source.run(Ear().tell)
        with pytest.raises(ContractError):
            await source.offer(Participant("p", "P"), CHROME)

    async def test_a_new_offer_replaces_the_connection_and_nobody_leaves(self, stage):
        async with listening(stage.source()) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")
            first = stage.connections["Anna"]
            await stage.enter("Anna")
            await ear.until(lambda e: len(e.of(TrackStarted)) == 2)
            ear.heard_samples.clear()
            await self.heard(ear, "Anna")
            assert [type(event) for event in ear.events[1:]] == [
                Joined, TrackStarted, TrackEnded, TrackStarted,
            ]  # fmt: skip
            await first.close()

    async def test_a_connection_that_its_sender_closes_ends(self, stage):
        async with listening(stage.source()) as ear:
            await stage.enter("Anna")
            await self.heard(ear, "Anna")
            await stage.connections["Anna"].close()
            await ear.until(lambda e: e.of(Left))
            assert not ear.open

    async def test_who_has_another_certificate_than_they_offered_is_not_heard(self, stage):
        def another(fingerprint: re.Match) -> str:
            return fingerprint[1] + fingerprint[2].translate(str.maketrans("0123", "1230"))

        async with listening(stage.source()) as ear:
            # Whoever came between signaling and media has not the key that was offered.
            await stage.enter("Eve", lambda sdp: re.sub(r"(fingerprint:\S+ )(\S+)", another, sdp))
            await ear.until(lambda e: e.of(Left))
            assert not any(ear.heard_samples.values())
            await stage.enter("Anna")
            await self.heard(ear, "Anna")

    async def test_who_never_connects_leaves_again(self):
        source = DirectSource(connect_seconds=0.01)
        async with listening(source) as ear:
            await source.offer(Participant("p-anna", "Anna"), CHROME)
            await ear.until(lambda e: e.of(Left))
            assert not ear.open
