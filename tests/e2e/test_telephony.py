"""A telephone call as FreeSWITCH's modules send it, on a real server.

No FreeSWITCH: neither Debian nor a registry has it. The sender here is written from the
documentation of mod_audio_fork and mod_audio_stream.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

import jiwer
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from signaling.telephony_ws import PATH, SUBPROTOCOL
from signaling.tokens import SharedSecret
from tests.contract import breaks_of_event
from tests.e2e.test_call import new_call
from tests.peer import Peer
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.ws_client import resample

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of thirty-two characters and more"
FRAME_SECONDS = 0.02


class Switch:
    """One leg: the metadata first, then a frame every 20 ms, as the modules do."""

    def __init__(self, url: str, query: str = "", metadata: object = None, **more: Any) -> None:
        self._url = url.replace("http", "ws", 1) + PATH + query
        self._metadata = metadata
        self._more = more
        self.heard: list[dict[str, Any]] = []
        self.breaks: list[str] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.socket = await connect(self._url, **self._more)
        self._hearing = asyncio.create_task(self._hear())
        if self._metadata is not None:
            await self.socket.send(json.dumps(self._metadata))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._hearing
        assert not self.breaks, "\n".join(self.breaks)

    async def _hear(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            self.breaks += breaks_of_event(message["type"], message, "tellSwitch")
            async with self._news:
                self.heard.append(message)
                self._news.notify_all()

    async def until(self, condition) -> None:
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: condition(self))

    def text(self, channel: int) -> str:
        said = [m["data"] for m in self.heard if m.get("channel") == channel]
        return " ".join(caption["text"] for caption in said if caption["final"])

    async def say(self, *channels: np.ndarray, rate: int = 8000) -> None:
        length = max(len(channel) for channel in channels)
        padded = [np.pad(channel, (0, length - len(channel))) for channel in channels]
        interleaved = np.stack(padded, axis=1).astype("<i2")
        size = round(rate * FRAME_SECONDS)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for at in range(0, length, size):
            await asyncio.sleep(max(0.0, begun + at / rate - loop.time()))
            await self.socket.send(interleaved[at : at + size].tobytes())


async def test_both_sides_of_a_telephone_call_are_captioned_with_their_names(server):
    anna, ben, call = our_voices()[0], our_voices()[1], new_call()
    metadata = {
        "call": call,
        "channels": 2,
        "rate": 8000,
        "names": ["+49 30 1", "Reception"],
        "languages": ["en"],
        "callid": "ours to know",
    }
    quiet = np.zeros(8000, np.int16)
    first = np.concatenate([resample(anna.pcm(), 8000), quiet])
    second = np.concatenate([quiet, resample(ben.pcm(), 8000), quiet])
    async with Peer(server.url) as peer:
        await peer.ask("call:watch", {"call": call})
        async with Switch(server.url, metadata=metadata) as switch:
            await switch.say(first, second)
            await switch.until(lambda s: s.text(1) and s.text(2))
            await switch.socket.send(json.dumps({"cause": "NORMAL_CLEARING"}))
        await peer.until(lambda p: {f["speaker"] for f in p.finals()} == {"+49 30 1", "Reception"})
    said = {name: [f for f in peer.finals() if f["speaker"] == name] for name in metadata["names"]}
    for clip, finals in zip((anna, ben), said.values(), strict=True):
        text = " ".join(final["text"] for final in finals)
        assert jiwer.wer(normalized(clip.text), normalized(text)) <= 0.2


async def test_one_channel_of_16_khz_is_a_call_of_its_own_and_the_switch_is_told_what_is_said(
    server,
):
    clip = our_voices()[2]
    query = "?rate=16000&names=Caller&languages=en&interim_results=true"
    async with Switch(server.url, query, subprotocols=[SUBPROTOCOL]) as switch:
        assert switch.socket.subprotocol == SUBPROTOCOL
        await switch.say(np.pad(resample(clip.pcm(), 16_000), (0, 16_000)), rate=16_000)
        await switch.until(lambda s: s.text(1))
    assert any(not message["data"]["final"] for message in switch.heard)
    assert {message["data"]["speaker"] for message in switch.heard} == {"Caller"}


async def test_what_is_no_audio_is_told_and_the_call_goes_on(server):
    async with Switch(server.url, "?channels=2") as switch:
        await switch.socket.send(bytes(320))
        await switch.socket.send(bytes(322))
        await switch.until(lambda s: s.heard)
        await switch.socket.send(bytes(320))
        assert [m["data"]["code"] for m in switch.heard] == ["invalid"]


async def test_a_switch_says_who_it_is_in_the_query_or_the_metadata(tmp_path):
    token = SharedSecret(SECRET).issue("switch", "*", ("publish",), None, 60)
    async with Server(tmp_path, "--secret", SECRET) as server:
        async with Switch(server.url, metadata={"api_key": token, "channels": 2}) as switch:
            await switch.socket.send(bytes(640))
        assert switch.heard == []
        async with Switch(server.url, f"?api_key={token}") as switch:
            await switch.socket.send(bytes(320))
        assert switch.heard == []
        async with Switch(server.url, metadata={}) as switch:
            await switch.socket.send(bytes(320))
            await switch.until(lambda s: s.heard)
        assert switch.heard[0]["data"]["code"] == "unauthorized"
        with pytest.raises(InvalidStatus) as refused:
            async with Switch(server.url, "?api_key=nonsense"):
                pass
        assert refused.value.response.status_code == 401
