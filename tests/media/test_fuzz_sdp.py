"""Whatever is offered, by participants, SFUs and WHIP: taken or refused, and nothing else.

`tests/media/test_sdp.py` has the offers of participants; what a fuzzer found beside is here.
`tests/fuzz/sdp.py` and `tests/fuzz/sdpfrag.py` hold the same checks against more inputs.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from media.aiortc_private import agree_on_opus
from media.peer import ReceivingPeer
from media.sdp import checked_offer, checked_sfu_offer, ice_user
from media.source import Joined, Left
from media.sources.direct import DirectSource
from signaling.audio_only import audio_only
from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP
from signaling.sdpfrag import LARGEST_FRAGMENT, MOST_CANDIDATES, parse_fragment
from tests.media import test_janus_offers
from tests.media.test_sdp import ANNA, CHROME, ODD_TEXT
from tests.signaling import test_audio_only
from tests.signaling.test_sdpfrag import EXAMPLE, candidates

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150)

DIRECT, SFU, WHIP = range(3)


# --- the checks ---------------------------------------------------------------------------


class Answering:
    """Nodes' connections, without addresses: nothing is sent anywhere."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    def take(self, kind: int, sdp: str) -> ContractError | None:
        """None where the offer is taken; anything but the contract's error is raised."""
        refused = None
        try:
            (self._direct, self._from_sfu, self._by_whip)[kind](sdp)
        except ContractError as error:
            refused = error
        if refused:
            assert refused.code in ("invalid", "too_large", "conflict")
            assert len(refused.message) < 400
        return refused

    def _direct(self, sdp: str) -> str:
        assert checked_offer(sdp).sdp == sdp
        assert isinstance(ice_user(sdp), str)
        return self._answer(sdp)

    def _from_sfu(self, sdp: str) -> None:
        checked, ssrcs = checked_sfu_offer(sdp)
        assert ssrcs
        self._answer(checked)

    def _by_whip(self, sdp: str) -> None:
        offer = audio_only(sdp)
        whole = offer.answer(self._direct(offer.sdp))
        assert len(re.findall(r"(?m)^m=", whole)) == len(re.findall(r"(?m)^m=", sdp))

    def _answer(self, sdp: str) -> str:
        answer = self._loop.run_until_complete(self._answered(sdp))
        SessionDescription.parse(answer)
        return answer

    @staticmethod
    async def _answered(sdp: str) -> str:
        async def on_ended() -> None:
            """Nobody needs to know."""

        peer = ReceivingPeer(lambda mid, track: None, on_ended)
        try:
            return await peer.answer(sdp)
        finally:
            await peer.close()


def read_fragment(text: str) -> None:
    """What is let through, aiortc can read; and read again it is the same."""
    try:
        fragment = parse_fragment(text)
    except ContractError as error:
        fragment, code = None, error.code
    if fragment is None:
        assert code in ("invalid", "too_large")
        return
    assert len(fragment.candidates) <= MOST_CANDIDATES
    for _, candidate in fragment.candidates:
        read = candidate_from_sdp(candidate)
        assert (read.component, read.protocol.lower()) == (1, "udp")
        assert 0 <= read.port <= 65535
    again = "".join(
        f"m=audio 9 x 0\r\n{f'a=mid:{mid}' if mid else 'a=x'}\r\n{candidates(candidate)}"
        for mid, candidate in fragment.candidates
    )
    if again and len(again) <= LARGEST_FRAGMENT:
        assert parse_fragment(again).candidates == fragment.candidates


def offers() -> list[str]:
    fingerprint = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
    parts = ("AUDIO", "ONE", "VIDEO", "DATA")
    whole = test_audio_only.bundle("0", "1")
    whole += "".join(getattr(test_audio_only, part) for part in parts)
    obs = test_audio_only.OBS
    return [
        CHROME,
        test_janus_offers.offer("sendonly", "inactive"),
        re.sub("a=fingerprint:.*", fingerprint, obs),
        re.sub("a=fingerprint:.*", fingerprint, whole),
    ]


# --- what hypothesis finds ----------------------------------------------------------------


@st.composite
def spoilt(draw, whole: list[str]) -> str:
    """Real text, with lines lost, doubled, moved, taken from elsewhere, or odd in a word."""
    lines = draw(st.sampled_from(whole)).splitlines()
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        words = re.split(r"([ :=/])", lines[at])
        word = draw(st.integers(0, len(words) - 1))
        match draw(st.sampled_from(["lost", "moved", "other", "word", "number"])):
            case "lost" if len(lines) > 1:
                del lines[at]
            case "moved":
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case "other":
                lines.insert(at, draw(st.sampled_from(draw(st.sampled_from(whole)).splitlines())))
            case "word":
                lines[at] = "".join([*words[:word], draw(ODD_TEXT), *words[word + 1 :]])
            case "number":
                lines[at] = re.sub(r"\d+", str(draw(st.integers(0, 300))), lines[at], count=1)
    return draw(st.sampled_from(["\r\n", "\n"])).join([*lines, ""])


@pytest.fixture(scope="module")
def answering():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [])
        connections = Answering()
        yield connections
        connections.close()


BUNDLED_WITH_NOBODY = CHROME.replace("BUNDLE 0", "BUNDLE 9 0")


@PROPERTY
@given(st.sampled_from([DIRECT, SFU, WHIP]), spoilt(offers()))
@example(DIRECT, BUNDLED_WITH_NOBODY)
@example(SFU, BUNDLED_WITH_NOBODY)
@example(WHIP, BUNDLED_WITH_NOBODY)
def test_a_spoilt_offer_is_taken_or_refused_and_nothing_else(answering, kind, sdp):
    answering.take(kind, sdp)


@pytest.mark.parametrize("kind", [DIRECT, SFU, WHIP])
def test_the_offers_that_are_spoilt_are_good_ones(answering, kind):
    refused = [answering.take(kind, sdp) for sdp in offers()]
    taken = {DIRECT: [0], SFU: [0, 1], WHIP: [0, 2, 3]}[kind]
    assert [n for n, error in enumerate(refused) if error is None] == taken


@PROPERTY
@given(spoilt([EXAMPLE, candidates("1 1 udp 1 ::1 9 typ host")]))
def test_a_spoilt_fragment_is_read_or_refused_and_nothing_else(text):
    read_fragment(text)


# --- what the fuzzer found ----------------------------------------------------------------


@pytest.mark.parametrize("bundle", ["9 0", "0 9", "9"])
def test_a_bundle_with_an_m_line_that_is_not_there_is_refused(bundle):
    """aiortc would take the transport away from what is bundled with it, and fail to close."""
    for check in (checked_offer, checked_sfu_offer):
        with pytest.raises(ContractError, match="BUNDLE") as refused:
            check(CHROME.replace("BUNDLE 0", f"BUNDLE {bundle}"))
        assert refused.value.code == "invalid"


async def test_whoever_offers_a_bundle_with_nobody_has_not_joined():
    told = []
    source = DirectSource()
    running = asyncio.create_task(source.run(told.append))
    with pytest.raises(ContractError):
        await source.offer(ANNA, BUNDLED_WITH_NOBODY)
    joined = [event for event in told if isinstance(event, Joined)]
    left = [event for event in told if isinstance(event, Left)]
    assert len(joined) == len(left)
    await source.close()
    await running


@pytest.mark.timeout(10)  # in time that grows with the square of its length, it would be 13 s
async def test_feedback_is_read_at_once_however_much_white_space_it_has():
    spaces = " " * (LARGEST_SDP - len(CHROME) - 40)
    sdp = f"{CHROME}a=rtcp-fb:111 nack{spaces}\r\n"
    tail = f"{CHROME}a=rtcp-fb:111 {spaces}x\r\n"
    connection = RTCPeerConnection()
    await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
    agree_on_opus(connection, tail)
    agree_on_opus(connection, sdp)
    (transceiver,) = connection.getTransceivers()
    assert [f.type for codec in transceiver._codecs for f in codec.rtcpFeedback] == ["nack"]
    await connection.close()


@pytest.mark.timeout(10)  # aiortc looks for each line's codec among all of its m-line
def test_an_sfu_s_m_line_has_no_more_lines_than_one_needs():
    codecs = "a=rtpmap:111 opus/48000/2\r\n" * 12_000 + "a=fmtp:99 x=1\r\n" * 12_000
    lines = test_janus_offers.offer(*["sendonly"] * 250)
    with pytest.raises(ContractError) as refused:
        checked_sfu_offer(lines + codecs)
    assert refused.value.code == "too_large"
