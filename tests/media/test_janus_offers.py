"""Offers of an SFU: they are as hostile as anybody's, but may be long."""

from __future__ import annotations

import functools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.sdp import LARGEST_SFU_OFFER, MOST_SFU_MEDIA, checked_sfu_offer
from signaling.errors import ContractError

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=VideoRoom call-1\r\nt=0 0\r\n"
SESSION = (
    "a=ice-options:trickle\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
    "a=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n"
)
CANDIDATE = "a=candidate:1 1 udp 2015363327 127.0.0.1 37359 typ host\r\n"


def line(mid: int, direction: str = "sendonly") -> str:
    ssrc = f"a=ssrc:{1000 + mid} cname:janus\r\n" if direction == "sendonly" else ""
    return (
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 127.0.0.1\r\n"
        f"a={direction}\r\na=mid:{mid}\r\na=rtcp-mux\r\n"
        "a=ice-ufrag:B+nC\r\na=ice-pwd:vWNEMwDPktbt7xbReIZ4J+\r\na=ice-options:trickle\r\n"
        "a=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
        f"a=msid:janus janus{mid}\r\n{ssrc}{CANDIDATE}a=end-of-candidates\r\n"
    )


@functools.cache
def offer(*directions: str) -> str:
    """As Janus 1.1.2 makes them."""
    mids = " ".join(str(mid) for mid in range(len(directions)))
    media = "".join(line(mid, direction) for mid, direction in enumerate(directions))
    return f"{HEAD}a=group:BUNDLE {mids}\r\n{SESSION}{media}"


def test_an_offer_names_the_ssrcs_of_each_line():
    checked, ssrcs = checked_sfu_offer(offer("sendonly", "inactive", "sendonly"))
    assert checked == offer("sendonly", "inactive", "sendonly")
    assert ssrcs == {"0": {1000}, "1": set(), "2": {1002}}


def test_a_call_of_as_many_as_one_connection_takes_is_taken():
    _, ssrcs = checked_sfu_offer(offer(*["sendonly"] * MOST_SFU_MEDIA))
    assert len(ssrcs) == MOST_SFU_MEDIA


def test_candidates_that_want_to_be_looked_up_are_left_out():
    hidden = CANDIDATE.replace("127.0.0.1", "a1b2.local")
    checked, _ = checked_sfu_offer(offer("sendonly") + hidden)
    assert checked == offer("sendonly")


@pytest.mark.parametrize(
    ("sdp", "code"),
    [
        ("", "invalid"),
        ("nonsense", "invalid"),
        (HEAD, "invalid"),
        (offer("sendonly").replace("a=mid:0\r\n", ""), "invalid"),
        (offer("sendonly", "sendonly").replace("a=mid:1", "a=mid:0"), "invalid"),
        (offer("sendonly").replace("opus", "G722"), "invalid"),
        (offer("sendonly").replace("m=audio", "m=video"), "invalid"),
        (offer("sendonly").replace(SESSION, ""), "invalid"),
        (re.sub(r"a=ice-pwd.*\r\n", "", offer("sendonly")), "invalid"),
        (offer("sendonly").replace(" 37359 ", " 99999 "), "invalid"),
        (offer(*["sendonly"] * (MOST_SFU_MEDIA + 1)), "too_large"),
        (offer("sendonly") + "a=x\r\n" * 5000, "too_large"),
        (offer("sendonly") + "a=x:" + "y" * LARGEST_SFU_OFFER, "too_large"),
        (
            offer("sendonly") + "".join(CANDIDATE.replace("37359", str(p)) for p in range(100)),
            "too_large",
        ),
    ],
)
def test_what_cannot_be_used_is_an_error_of_the_contract(sdp, code):
    with pytest.raises(ContractError) as refused:
        checked_sfu_offer(sdp)
    assert refused.value.code == code


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data())
def test_whatever_becomes_of_an_offer_nothing_else_is_raised(data):
    parts = offer("sendonly", "inactive").splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(parts) - 1))
        kept = data.draw(st.integers(0, len(parts[at])))
        put = data.draw(st.text(max_size=8) | st.just(parts[at]))
        parts[at] = parts[at][:kept] + put
    try:
        _, ssrcs = checked_sfu_offer("".join(parts))
    except ContractError:
        return
    assert ssrcs
