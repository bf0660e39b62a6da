"""Raw audio through the WebSocket, by the stock client, on a real server."""

from __future__ import annotations

import asyncio
import base64
from itertools import pairwise

import jiwer
import pytest
from websockets.exceptions import InvalidStatus

from signaling.tokens import SharedSecret
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.ws_client import WsClient, encoded

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of thirty-two characters and more"
SILENCE = bytes(3200)


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [
        ("linear16", 16000),
        ("linear16", 8000),
        ("linear16", 48000),
        ("mulaw", 8000),
        ("opus", 48000),
    ],
)
async def test_each_encoding_is_captioned(server, encoding, rate):
    clip = our_voices()[4]
    async with WsClient(server.url, "?language=en") as client:
        await client.configure(encoding=encoding, sample_rate=rate)
        await client.say(encoded(clip.pcm(), encoding, rate), pace=2.0)
        await client.finish()
        assert jiwer.wer(normalized(clip.text), normalized(client.text)) <= 0.15
        assert client.of("interim")
        assert client.of("error") == []
        words = [word for final in client.of("final") for word in final["words"]]
        assert all(a["start"] <= b["start"] for a, b in pairwise(words))
        assert words[-1]["end"] == pytest.approx(len(clip.pcm()) / 48_000, abs=1.0)


async def test_audio_may_come_as_base64_and_without_interim_results(server):
    clip = our_voices()[5]
    query = "?language=en&interim_results=false&encoding=mulaw&sample_rate=8000"
    async with WsClient(server.url, query) as client:
        for chunk, _ in encoded(clip.pcm(), "mulaw", 8000):
            await client.tell(type="audio", data=base64.b64encode(chunk).decode())
        await client.tell(type="keep_alive")
        await client.finish()
        assert {message["type"] for message in client.heard} == {"final"}
        assert jiwer.wer(normalized(clip.text), normalized(client.text)) <= 0.15


async def test_what_is_wrong_is_told_and_the_session_goes_on(server):
    async with WsClient(server.url) as client:
        await client.socket.send(SILENCE[:-1])
        await client.tell(type="audio", data="no base64!")
        await client.socket.send("no JSON")
        await client.socket.send("[]")
        await client.tell(type="dance")
        await client.configure(encoding="flac")
        await client.configure(sample_rate=44_100)
        await client.configure(call="another")
        await client.configure(encoding="opus")
        await client.socket.send(b"OggS" + bytes(60))
        await client.configure(encoding="linear16")
        await client.socket.send(SILENCE)
        await client.finish()
        codes = [fault["error"]["code"] for fault in client.of("error")]
        assert codes == [
            *("INVALID_AUDIO_FORMAT", "INVALID_MESSAGE", "INVALID_MESSAGE"),
            *("INVALID_MESSAGE", "INVALID_MESSAGE", "INVALID_MESSAGE", "INVALID_MESSAGE"),
            *("CONFLICT", "INVALID_AUDIO_FORMAT"),
        ]


async def test_two_hundred_sessions_at_once_begin_and_end(tmp_path):
    async def session(url: str) -> list[str]:
        async with WsClient(url, "?language=en") as client:
            for _ in range(3):
                await client.socket.send(SILENCE)
            await client.finish()
            return [message["type"] for message in client.heard]

    async with Server(tmp_path, "--capacity", "300") as server, asyncio.timeout(60):
        heard = await asyncio.gather(*(session(server.url) for _ in range(200)))
    assert heard == [[]] * 200


async def test_the_token_may_be_in_the_header_the_query_or_the_first_message(tmp_path):
    good = SharedSecret(SECRET).issue("phone", "*", ("publish",), None, 60)
    bad = SharedSecret(SECRET).issue("phone", "*", ("watch",), None, 60)
    async with Server(tmp_path, "--secret", SECRET) as server:
        async with WsClient(server.url, Authorization=f"Bearer {good}") as client:
            await client.socket.send(SILENCE)
            await client.finish()
            assert client.heard == []
        async with WsClient(server.url, f"?api_key={good}") as client:
            await client.finish()
            assert client.heard == []
        async with WsClient(server.url) as client:
            await client.tell(type="configure", api_key=good)
            await client.socket.send(SILENCE)
            await client.finish()
            assert client.heard == []
        async with WsClient(server.url) as client:
            await client.socket.send(SILENCE)
            await client.closed.wait()
            assert [f["error"]["code"] for f in client.of("error")] == ["UNAUTHORIZED"]
        async with WsClient(server.url, f"?api_key={bad}") as client:
            await client.configure()
            await client.closed.wait()
            assert [f["error"]["code"] for f in client.of("error")] == ["FORBIDDEN"]
        for query, status in (("?api_key=nonsense", 401), (f"?api_key={good}&encoding=flac", 400)):
            with pytest.raises(InvalidStatus) as refused:
                async with WsClient(server.url, query):
                    pass
            assert refused.value.response.status_code == status


async def test_pages_of_other_origins_may_not_connect(server):
    with pytest.raises(InvalidStatus) as refused:
        async with WsClient(server.url, Origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with WsClient(server.url, Origin=server.url) as client:
        await client.finish()
