"""Offers: one of audio is taken, everything else is an error of the contract."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCPeerConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from media.sdp import checked_offer, ice_user
from media.sources.direct import DirectSource
from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP, Candidate, Participant

ANNA = Participant("p-anna", "Anna")
BEN = Participant("p-ben", "Ben")

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)
SLOW_PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)


@pytest.fixture(scope="module", autouse=True)
def loopback_only():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
        yield


async def offer_of(*kinds: str, direction: str = "sendonly") -> str:
    connection = RTCPeerConnection()
    for kind in kinds:
        connection.addTransceiver(kind, direction=direction)
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


@functools.cache
def audio_offer() -> str:
    """A real one, without candidates: nothing shall be sent to addresses that chance made."""
    sdp = asyncio.run(offer_of("audio"))
    return "".join(line for line in sdp.splitlines(True) if "candidate" not in line)


@pytest.fixture(scope="module")
def audio() -> str:
    return audio_offer()


# The lines beside audio that a browser's offer has and aiortc's has not.
CHROME = (
    "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    "a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\n"
    "a=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Oyef\r\na=ice-pwd:OyefOyefOyefOyefOyefOyef\r\n"
    "a=ice-options:trickle\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
    "a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    "a=sendonly\r\na=msid:stream track\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
    "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
    "a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n"
    "a=rtpmap:126 telephone-event/8000\r\na=ssrc:3570614608 cname:4TOk42mSjXCkVIa6\r\n"
    "a=ssrc:3570614608 msid:stream track\r\n"
)


def refusal(sdp: str) -> ContractError:
    with pytest.raises(ContractError) as error:
        checked_offer(sdp)
    return error.value


def outcome(sdp: str) -> ContractError | None:
    """None where the offer is taken; anything but the contract's error is raised."""
    refused = None
    try:
        taken = checked_offer(sdp)
        assert (taken.type, taken.sdp) == ("offer", sdp)
    except ContractError as error:
        refused = error
    assert refused is None or refused.code in ("invalid", "too_large")
    return refused


@asynccontextmanager
async def running() -> AsyncIterator[DirectSource]:
    source = DirectSource()
    task = asyncio.create_task(source.run(lambda event: None))
    yield source
    await source.close()
    await task
    assert not source._senders


async def answer(source: DirectSource, sdp: str) -> str | ContractError:
    try:
        return await source.offer(ANNA, sdp)
    except ContractError as error:
        return error


def test_an_offer_of_audio_is_taken_as_it_is(audio):
    assert outcome(audio) is None
    assert outcome(CHROME) is None
    assert outcome(CHROME.replace("\r\n", "\n")) is None


async def test_a_channel_for_data_and_audio_in_both_directions_do_no_harm():
    assert outcome(await offer_of("audio", direction="sendrecv")) is None
    connection = RTCPeerConnection()
    connection.addTransceiver("audio", direction="sendonly")
    connection.createDataChannel("chat")
    await connection.setLocalDescription(await connection.createOffer())
    assert outcome(connection.localDescription.sdp) is None
    await connection.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda sdp: sdp.replace("a=sendonly", "a=recvonly"), "recvonly"),
        (lambda sdp: sdp.replace("a=sendonly", "a=inactive"), "inactive"),
        (lambda sdp: sdp.replace("opus/48000/2", "speex/48000/2"), "Opus"),
        (lambda sdp: re.sub(r"a=fingerprint:.*\r\n", "", sdp), "DTLS"),
        (lambda sdp: re.sub(r"a=ice-ufrag:.*\r\n", "", sdp), "ICE"),
        (lambda sdp: re.sub(r"a=ice-pwd:.*\r\n", "", sdp), "ICE"),
        (lambda sdp: sdp + "a=candidate:1 1 udp 1 127.0.0.1 65536 typ host\r\n", "port"),
        (lambda sdp: sdp + "a=candidate:1 1 udp 1 127.0.0.1 -1 typ host\r\n", "port"),
        (lambda sdp: sdp.replace("m=audio", "m=video"), "video"),
        (lambda sdp: sdp + CHROME[CHROME.index("m=") :].replace("m=audio", "m=video"), "video"),
        (lambda sdp: sdp.replace("m=audio", "m=application"), ""),
        (lambda sdp: sdp.replace("m=audio", "m=text"), ""),
        (lambda sdp: sdp[: sdp.index("m=")], "no audio"),
        (lambda _: "", ""),
        (lambda _: "please caption me", ""),
        (lambda _: "\r\n" * 500, ""),
        (lambda _: "\x00", ""),
        (lambda sdp: sdp.replace(" 111 ", " one hundred eleven "), ""),
        (lambda sdp: sdp.replace("opus/48000/2", "opus"), ""),
        (lambda sdp: sdp.replace("m=audio 9", "m=audio ٣٣"), None),
        (lambda sdp: sdp.replace("a=mid:0\r\n", ""), None),
        (lambda sdp: sdp.replace("a=setup:actpass", "a=setup:maybe"), None),
        (lambda sdp: sdp.replace("sha-256", "sha-1024"), None),
        (lambda sdp: sdp.replace("a=ssrc:3570614608", "a=ssrc:" + "9" * 5000), None),
    ],
)
async def test_an_offer_that_is_not_one_of_audio_is_refused_by_check_or_source(change, why):
    sdp = change(CHROME)
    if why is not None:
        error = refusal(sdp)
        assert error.code == "invalid"
        assert why in error.message
    async with running() as source:
        answered = await answer(source, sdp)
        assert isinstance(answered, str) or answered.code == "invalid"  # some are merely odd


@pytest.mark.parametrize(
    "sdp",
    [
        "x" * (LARGEST_SDP + 1),
        CHROME + "a=x\r\n" * 1000,
        CHROME + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 4,
        CHROME + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * 65,
    ],
    ids=["bytes", "lines", "media", "candidates"],
)
def test_an_offer_of_too_much_is_refused_before_it_is_read(sdp, monkeypatch):
    monkeypatch.setattr("media.sdp.SessionDescription", None)
    assert refusal(sdp).code == "too_large"


def test_an_error_is_short_and_one_line():
    message = refusal(CHROME.replace("opus/48000/2", "opus/" + "x" * 5000)).message
    assert len(message) < 300
    assert "\n" not in message


# --- whatever comes -------------------------------------------------------------------------

ODD_TEXT = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.sampled_from(
        [
            *(
                "",
                "\r\n",
                "\x00",
                "\u2028",
                "m=audio",
                "m=video",
                "a=",
                "=",
                "-1",
                "1e9",
                "9" * 4400,
            ),
            *(
                "a=mid:1",
                "a=bundle-only",
                "a=group:BUNDLE",
                "a=rtpmap:",
                "a=fmtp:111",
                "a=ice-lite",
            ),
            *(
                "a=ssrc-group:FID 1 2",
                "a=sctp-port:5000",
                "a=setup:",
                "a=fingerprint:",
                "a=extmap:x",
            ),
        ]
    ),
)


@st.composite
def mutated(draw) -> str:
    """A real offer with some lines lost, doubled, moved or cut, and odd things put in."""
    lines = draw(st.sampled_from([audio_offer(), CHROME])).split("\r\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        change = draw(st.integers(0, 6))
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(draw(st.integers(0, len(lines))), line)
        elif change == 2:
            lines[at] = line[:cut]
        elif change == 3:
            lines[at] = line[:cut] + draw(ODD_TEXT) + line[cut:]
        elif change == 4:
            lines[at] = re.sub(r"\d+", draw(ODD_TEXT).replace("\\", ""), line, count=1)
        elif change == 5:
            words = line.split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(ODD_TEXT)
            lines[at] = " ".join(words)
        else:
            lines.insert(at, draw(ODD_TEXT))
        lines = lines or [""]
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines)


@PROPERTY
@given(mutated())
def test_a_broken_offer_is_taken_or_refused_and_nothing_else(sdp):
    outcome(sdp)
    assert isinstance(ice_user(sdp), str)


@PROPERTY
@given(st.text())
def test_arbitrary_text_is_refused_and_nothing_else(text):
    assert isinstance(outcome(text), ContractError)


@SLOW_PROPERTY
@given(st.lists(mutated(), min_size=1, max_size=2))
async def test_a_source_answers_a_broken_offer_or_refuses_it_and_goes_on(offers):
    async with running() as source:
        for sdp in offers:
            answered = await answer(source, sdp)
            if isinstance(answered, ContractError):
                assert answered.code in ("invalid", "too_large", "conflict")
            else:
                assert answered.startswith("v=0")
        assert "a=recvonly" in await source.offer(BEN, audio_offer())
        assert "a=recvonly" in await source.offer(ANNA, audio_offer())


@SLOW_PROPERTY
@given(
    st.builds(
        Candidate,
        candidate=st.none()
        | st.text(max_size=80)
        | st.lists(
            st.sampled_from(["candidate:1", "1", "udp", "typ", "host", "x.local", "raddr", "x", ""])
        ).map(" ".join),
        sdpMid=st.none() | st.sampled_from(["0", "1", ""]),
        sdpMLineIndex=st.none() | st.integers(0, 255),
    )
)
async def test_an_odd_candidate_is_taken_or_refused_and_nothing_else(candidate):
    async with running() as source:
        await source.offer(ANNA, audio_offer())
        refused = None
        try:
            await source.candidate("p-anna", candidate)
        except ContractError as error:
            refused = error
        assert refused is None or refused.code == "invalid"


@pytest.mark.parametrize("port", ["65536", "-1", "9" * 30])
async def test_a_candidate_whose_port_is_none_is_refused(port):
    async with running() as source:
        await source.offer(ANNA, audio_offer())
        with pytest.raises(ContractError, match="port") as error:
            await source.candidate(
                "p-anna",
                Candidate(candidate=f"candidate:1 1 udp 1 127.0.0.1 {port} typ host", sdpMid="0"),
            )
        assert error.value.code == "invalid"


def test_the_ice_user_tells_one_connection_from_the_next(audio):
    assert ice_user(CHROME) == "Oyef"
    assert ice_user(audio) == ice_user(audio + "a=x\r\n") != ""
    assert ice_user("") == ""
