"""Offers of audio and video, made of the audio alone; the answers fit the whole again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from signaling.audio_only import audio_only
from signaling.errors import ContractError

SESSION = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:LS 0 1
a=fingerprint:sha-256 AB:CD
"""

AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
"""

VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 AV1/90000
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=ssrc:1 cname:x
"""

DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n"

ONE = """a=setup:actpass
a=ice-ufrag:oneX
a=ice-pwd:1111111111111111111111
a=candidate:1 1 udp 1 192.0.2.1 9 typ host
"""

TWO = ONE.replace("oneX", "twoX").replace("192.0.2.1", "192.0.2.2")

ANSWER = """v=0
o=- 2 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=recvonly
a=rtpmap:111 opus/48000/2
a=setup:active
a=ice-ufrag:mine
a=fingerprint:sha-256 EF:01
"""


# As libdatachannel writes it, in OBS: the certificate once for all, no MID in packets, HEVC.
OBS = """v=0
o=rtc 2965862366 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 AB:CD
m=audio 49152 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.1
a=mid:0
a=sendonly
a=ssrc:3214 cname:XaLx
a=ssrc:3214 msid:Stream Stream-audio
a=msid:Stream Stream-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=setup:actpass
a=ice-ufrag:OBSx
a=ice-pwd:1111111111111111111111
a=candidate:1 1 UDP 2122317823 192.0.2.1 49152 typ host
a=end-of-candidates
m=video 49152 UDP/TLS/RTP/SAVPF 96
c=IN IP4 192.0.2.1
a=mid:1
a=sendonly
a=ssrc:3215 cname:XaLx
a=rtcp-mux
a=rtpmap:96 H265/90000
a=rtcp-fb:96 nack
a=setup:actpass
a=ice-ufrag:OBSx
a=ice-pwd:1111111111111111111111
"""


def offered(sdp: str):
    parsed = SessionDescription.parse(audio_only(sdp).sdp)
    assert len(parsed.media) == 1
    return parsed.media[0]


def answered(offer: str):
    return SessionDescription.parse(audio_only(offer).answer(ANSWER))


def bundle(*mids: str) -> str:
    return SESSION + f"a=group:BUNDLE {' '.join(mids)}\n"


def test_an_offer_of_audio_is_as_it_was():
    offer = audio_only(SESSION + AUDIO + ONE)
    assert offer.mids == {"0"}
    assert offer.ufrags == {"oneX"}
    media = offered(SESSION + AUDIO + ONE)
    assert media.ice.usernameFragment == "oneX"
    assert [codec.mimeType for codec in media.rtp.codecs] == ["audio/opus"]
    answer = answered(SESSION + AUDIO + ONE)
    assert [m.kind for m in answer.media] == ["audio"]
    assert answer.group == []


def test_video_is_answered_as_inactive_on_the_audio_s_transport():
    offer = bundle("0", "1") + AUDIO + ONE + VIDEO + TWO
    assert offered(offer).ice.usernameFragment == "oneX"
    answer = answered(offer)
    audio, video = answer.media
    assert (audio.kind, audio.direction, audio.port) == ("audio", "recvonly", 9)
    assert (video.kind, video.direction, video.port) == ("video", "inactive", 9)
    assert video.rtp.muxId == "1"
    assert video.fmt == [96, 97]
    assert video.ssrc == []
    assert video.ice.usernameFragment == audio.ice.usernameFragment == "mine"
    assert [group.items for group in answer.group] == [["0", "1"]]
    assert audio_only(offer).mids == {"0", "1"}


def test_what_obs_offers_is_its_audio_whatever_its_video_is_encoded_with():
    media = offered(OBS)
    assert media.ice.usernameFragment == "OBSx"
    assert [f.algorithm for f in media.dtls.fingerprints] == ["sha-256"]
    assert [ssrc.ssrc for ssrc in media.ssrc] == [3214]
    assert len(media.ice_candidates) == 1
    assert media.ice_candidates_complete
    assert [m.direction for m in answered(OBS).media] == ["recvonly", "inactive"]


def test_audio_behind_video_takes_over_the_transport_of_the_bundle():
    offer = bundle("1", "0") + VIDEO + TWO + AUDIO + ONE
    media = offered(offer)
    assert media.ice.usernameFragment == "twoX"
    assert [c.ip for c in media.ice_candidates] == ["192.0.2.2"]
    assert audio_only(offer).ufrags == {"twoX"}
    answer = answered(offer)
    assert [m.kind for m in answer.media] == ["video", "audio"]
    assert [group.items for group in answer.group] == [["1", "0"]]


def test_audio_that_is_in_the_bundle_only_gets_its_transport_from_there():
    only = AUDIO.replace("m=audio 9", "m=audio 0") + "a=bundle-only\n"
    media = offered(bundle("1", "0") + VIDEO + TWO + only)
    assert media.port == 9
    assert media.ice.usernameFragment == "twoX"
    assert media.dtls.role == "auto"


def test_video_with_a_transport_of_its_own_is_refused_and_its_candidates_nobody_s():
    offer = SESSION + AUDIO + ONE + VIDEO + TWO
    assert offered(offer).ice.usernameFragment == "oneX"
    assert audio_only(offer).mids == {"0"}
    video = answered(offer).media[1]
    assert (video.port, video.direction) == (0, "inactive")


def test_a_data_channel_is_refused_and_leaves_the_bundle():
    answer = answered(bundle("2", "0", "1") + DATA + TWO + AUDIO + ONE + VIDEO)
    assert [(m.kind, m.port) for m in answer.media] == [
        ("application", 0),
        ("audio", 9),
        ("video", 9),
    ]
    assert [group.items for group in answer.group] == [["0", "1"]]


def test_video_that_the_offer_itself_refuses_stays_refused():
    answer = answered(bundle("0", "1") + AUDIO + ONE + VIDEO.replace("video 9", "video 0"))
    assert answer.media[1].port == 0
    assert [group.items for group in answer.group] == [["0"]]


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "please caption me",
        SESSION,
        SESSION + VIDEO,
        SESSION + AUDIO + AUDIO,
        SESSION + AUDIO.replace("m=audio 9", "m=audio 0"),
        SESSION + AUDIO.replace("sendonly", "recvonly"),
        SESSION + AUDIO.replace("sendonly", "inactive"),
        SESSION + AUDIO + DATA * 20,
        SESSION + "m=audio\n",
        SESSION + "m=\n",
        SESSION + "m= 9 x y\n",
    ],
)
def test_an_offer_must_send_one_track_of_audio(offer):
    with pytest.raises(ContractError) as refused:
        audio_only(offer)
    assert refused.value.code == "invalid"


@given(
    st.lists(
        st.one_of(
            st.sampled_from((bundle("0", "1") + AUDIO + ONE + VIDEO + DATA).split("\n")),
            st.text(max_size=30),
            st.builds("a=group:BUNDLE{}".format, st.text(max_size=9)),
            st.builds("m={}".format, st.text(max_size=30)),
        )
    ).map("\n".join)
)
def test_whatever_comes_is_taken_or_refused(text):
    with contextlib.suppress(ContractError):
        audio_only(text).answer(ANSWER)


@pytest.mark.parametrize("kinds", [("audio", "video"), ("video", "audio")])
async def test_a_peer_that_sends_both_connects_with_its_audio_alone(kinds):
    client, server = RTCPeerConnection(), RTCPeerConnection()
    connected = asyncio.Event()

    @client.on("connectionstatechange")
    def changed():
        if client.connectionState == "connected":
            connected.set()

    try:
        for kind in kinds:
            client.addTransceiver(kind, direction="sendonly")
        await client.setLocalDescription(await client.createOffer())
        offer = audio_only(client.localDescription.sdp)
        await server.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await server.setLocalDescription(await server.createAnswer())
        answer = offer.answer(server.localDescription.sdp)
        await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(20):
            await connected.wait()
        directions = {t.kind: t.currentDirection for t in client.getTransceivers()}
        assert directions == {"audio": "sendonly", "video": "inactive"}
    finally:
        await client.close()
        await server.close()
