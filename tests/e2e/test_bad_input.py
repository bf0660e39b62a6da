"""Bad input gets the contract's error; the connection and everybody's call go on."""

from __future__ import annotations

import secrets

import pytest
from aiortc import RTCPeerConnection

from tests.peer import Microphone, Peer
from tests.recordings import our_voices

pytestmark = pytest.mark.asyncio(loop_scope="session")

CODES = {
    "unauthorized",
    "forbidden",
    "not_found",
    "invalid",
    "too_large",
    "rate_limited",
    "overloaded",
    "unavailable",
    "conflict",
}


async def offer_of(*kinds: str) -> str:
    connection = RTCPeerConnection()
    for kind in kinds:
        connection.addTransceiver(kind, direction="sendonly")
    offer = await connection.createOffer()
    await connection.setLocalDescription(offer)
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


@pytest.mark.parametrize(
    ("event", "payload", "code"),
    [
        ("call:dance", {"call": "x"}, "invalid"),
        ("call:join", None, "invalid"),
        ("call:join", "lobby", "invalid"),
        ("call:join", {"call": 7}, "invalid"),
        ("call:join", {"call": "a/b"}, "invalid"),
        ("call:join", {"call": "x" * 129}, "invalid"),
        ("call:join", {"call": "ok", "since": -1}, "invalid"),
        ("call:join", {"call": "ok", "since": "1"}, "invalid"),
        ("call:join", {"call": "ok", "language": "klingon!"}, "invalid"),
        ("call:watch", {}, "invalid"),
        ("media:offer", {"sdp": "v=0", "type": "offer"}, "conflict"),
        ("media:candidate", {"candidate": "x"}, "conflict"),
        ("captions:since", {"since": 0}, "conflict"),
        ("peer:signal", {"to": "p", "data": 1}, "conflict"),
        ("call:update", {"name": "x"}, "conflict"),
    ],
)
async def test_a_stranger_s_bad_event_is_refused(server, event, payload, code):
    async with Peer(server.url) as peer:
        answer = await peer.ask(event, payload)
        assert answer["ok"] is False
        assert answer["error"]["code"] == code
        assert answer["error"]["message"]
        assert (await peer.ask("call:join", {"call": "still-here"}))["ok"], "the socket lives"


async def bad_offers():
    audio = await offer_of("audio")
    lines = audio.splitlines()
    return {
        "a megabyte": ("x" * 2**20, "too_large"),
        "nothing": ("", "invalid"),
        "words": ("please caption me", "invalid"),
        "an assertion of aiortc": (audio.replace("a=fingerprint:sha-256", "a=fingerprint:"), None),
        "a bare m-line": ("v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=audio\r\n", "invalid"),
        "half": ("\r\n".join(lines[: len(lines) // 2]), "invalid"),
        "video": (await offer_of("audio", "video"), "invalid"),
        "only video": (await offer_of("video"), "invalid"),
        "receive only": (audio.replace("a=sendonly", "a=recvonly"), "invalid"),
        "many media": (audio + "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n" * 200, "too_large"),
    }


async def test_a_bad_offer_is_refused_and_a_good_one_is_taken_afterwards(server):
    clip = our_voices()[0]
    async with Peer(server.url) as anna, Peer(server.url) as mallory:
        call = f"test-{secrets.token_hex(4)}"
        await anna.join(call, "Anna", language="en")
        await mallory.join(call, "Mallory")
        await anna.send(Microphone(clip.pcm()))
        for what, (sdp, code) in (await bad_offers()).items():
            answer = await mallory.ask("media:offer", {"sdp": sdp, "type": "offer"})
            assert answer["ok"] is False, what
            assert answer["error"]["code"] in ({code} if code else CODES), what
        wrong = await mallory.ask("media:offer", {"sdp": await offer_of("audio"), "type": "answer"})
        assert wrong["error"]["code"] == "invalid"
        odd = await mallory.ask("media:candidate", {"candidate": "candidate:nonsense"})
        assert odd["ok"] is False
        await mallory.send(Microphone(clip.pcm()))
        await anna.until(lambda p: p.finals(anna.id))
        await anna.until(lambda p: p.finals(mallory.id))


async def test_bad_input_is_logged_once_and_without_what_was_in_it(server):
    secret = secrets.token_hex(8)
    async with Peer(server.url) as peer:
        await peer.ask("call:join", {"call": f"{secret}/…", "name": secret})
        before = server.log.read_text()
        await peer.ask(f"event-{secret}", {})
        after = server.log.read_text()
    assert after.count("\n") == before.count("\n") + 1
    assert secret not in after
