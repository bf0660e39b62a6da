"""Raw audio through Socket.IO's `/transcribe`, by the stock client, on a real server."""

from __future__ import annotations

import base64

import jiwer
import numpy as np
import pytest
import socketio

from signaling.tokens import SharedSecret
from tests.e2e.test_call import new_call
from tests.peer import Peer
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.transcribe_client import CHUNK, NAMESPACE, RATE, TranscribeClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

FEW_ERRORS = 0.15
"""Word error rate of these recordings by the small model of the tests, at most."""

SILENCE = bytes(2 * CHUNK)


def errors(said: str, heard: str) -> float:
    return jiwer.wer(normalized(said), normalized(heard))


async def test_a_phone_s_audio_is_captioned_while_it_is_spoken(server):
    clip = our_voices()[0]
    async with TranscribeClient(server.url) as client:
        assert await client.until("connected") == {"status": "connected"}
        started = await client.ask("start_transcription", {"language_code": "en-US"})
        assert started["ok"]
        assert client.of("transcription_started")[0]["session"] == started["session"]
        await client.say(clip.pcm(RATE))
        assert client.of("transcription_result"), "partials while it is spoken"
        stopped = await client.ask("stop_transcription")
        assert stopped["ok"]
        assert client.heard[-1] == ("transcription_stopped", client.of("transcription_stopped")[0])
        assert errors(clip.text, client.text) <= FEW_ERRORS
        assert all(final["words"] for final in client.finals)
        assert client.finals[0]["start_ms"] <= 1000


async def test_everybody_in_the_call_reads_what_the_phone_says(server):
    clip, call = our_voices()[1], new_call()
    async with Peer(server.url) as peer, TranscribeClient(server.url) as client:
        await peer.join(call, "Anna")
        started = await client.ask("start_transcription", {"call": call, "name": "Room 3"})
        told = await peer.until(lambda p: [x for e, x in p.heard if e == "call:participant"])
        assert [t["participant"]["name"] for t in told if t["event"] == "joined"] == ["Room 3"]
        await client.say(clip.pcm(RATE), pace=4.0)
        await client.ask("stop_transcription")
        finals = await peer.until(lambda p: p.finals(started["participant"]))
        assert {final["speaker"] for final in finals} == {"Room 3"}
        assert errors(clip.text, peer.text(started["participant"])) <= FEW_ERRORS
        assert [f["utterance"] for f in client.finals] == [f["utterance"] for f in finals]


async def test_audio_may_come_faster_than_it_was_spoken_and_as_base64(server):
    clip = our_voices()[2]
    pcm = np.concatenate([clip.pcm(RATE), np.zeros(RATE, np.int16)])
    async with TranscribeClient(server.url) as client:
        await client.ask("start_transcription")
        for at in range(0, len(pcm), CHUNK):
            chunk = base64.b64encode(pcm[at : at + CHUNK].astype("<i2").tobytes()).decode()
            assert (await client.ask("audio_chunk", {"chunk": chunk}))["ok"]
        await client.ask("stop_transcription")
        assert errors(clip.text, client.text) <= FEW_ERRORS


@pytest.mark.parametrize(
    ("event", "payload", "code"),
    [
        ("start_transcription", {"language_code": "en-US"}, "conflict"),
        ("audio_chunk", {"chunk": SILENCE[:-1]}, "invalid"),
        ("audio_chunk", {"chunk": b""}, "invalid"),
        ("audio_chunk", {"chunk": "no base64!"}, "invalid"),
        ("audio_chunk", {"chunk": 7}, "invalid"),
        ("audio_chunk", {}, "invalid"),
        ("audio_chunk", {"chunk": bytes(2 * RATE + 2)}, "too_large"),
        ("dance", {}, "invalid"),
    ],
)
async def test_what_is_wrong_is_told_and_the_session_goes_on(server, event, payload, code):
    async with TranscribeClient(server.url) as client:
        await client.ask("start_transcription")
        answer = await client.socket.call(event, payload, namespace=NAMESPACE)
        assert answer["error"]["code"] == code
        assert (await client.until("error"))["code"] == code
        assert (await client.ask("audio_chunk", {"chunk": SILENCE}))["received_ms"] == 100
        assert (await client.ask("stop_transcription"))["ok"]


@pytest.mark.parametrize("event", ["audio_chunk", "stop_transcription"])
async def test_nothing_comes_before_the_start(server, event):
    async with TranscribeClient(server.url) as client:
        assert (await client.ask(event, {"chunk": SILENCE}))["error"]["code"] == "conflict"
        assert (await client.ask("start_transcription", {"language_code": 7}))["ok"] is False
        assert (await client.ask("start_transcription"))["ok"]


async def test_a_lost_connection_loses_nothing_of_what_was_said_before(server):
    clip = our_voices()[3]
    pcm = np.concatenate([clip.pcm(RATE), np.zeros(RATE, np.int16)])
    half = len(pcm) // 2 // CHUNK * CHUNK
    async with TranscribeClient(server.url) as before:
        started = await before.ask("start_transcription")
        await before.say(pcm[:half])
        before.socket.eio.ws._response.connection.transport.abort()  # as a network does
        async with TranscribeClient(server.url) as after:
            again = await after.ask("start_transcription", {"session": started["session"]})
            assert again["status"] == "resumed"
            assert again["received_ms"] == half * 1000 // RATE
            await after.say(pcm[half:])
            await after.ask("stop_transcription")
            assert errors(clip.text, after.text) <= FEW_ERRORS
            seqs = [final["seq"] for final in after.finals]
            assert seqs == sorted(set(seqs))


async def test_a_session_that_nobody_knows_is_not_found(server):
    async with TranscribeClient(server.url) as client:
        answer = await client.ask("start_transcription", {"session": "nonsense"})
        assert answer["error"]["code"] == "not_found"


async def test_a_token_without_the_grant_has_no_session_and_none_no_connection(tmp_path):
    secret = "a secret of thirty-two characters and more"
    token = SharedSecret(secret).issue("p-1", "*", ("watch",), None, 60)
    async with Server(tmp_path, "--secret", secret) as server:
        stranger = TranscribeClient(server.url)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await stranger.socket.connect(server.url, namespaces=[NAMESPACE])
        await stranger.socket.disconnect()
        assert stranger.heard == []
        async with TranscribeClient(server.url, token) as client:
            answer = await client.ask("start_transcription")
            assert answer["error"]["code"] == "forbidden"
