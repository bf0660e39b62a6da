from __future__ import annotations

import base64
import os

import pytest
from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtpPacket
from pylibsrtp import Policy, Session

from media.rtp import BadPacket
from media.srtp import _SUITES, MOST_SSRCS, Protection, master_key
from signaling.errors import ContractError
from signaling.sources import Srtp

SUITES = list(_SUITES)


def settings(suite: str = SUITES[0], key_bytes: int | None = None) -> Srtp:
    key = os.urandom(key_bytes or _SUITES[suite].key_bytes)
    return Srtp.model_construct(suite=suite, key=base64.b64encode(key).decode())


def sender(of: Srtp) -> Session:
    profile = _SUITES[of.suite].profile
    return Session(Policy(master_key(of), Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))


def packet(sequence_number: int = 1, ssrc: int = 7) -> bytes:
    return RtpPacket(111, 0, sequence_number, 960, ssrc, b"payload").serialize()


REPORT = bytes(RtcpRrPacket(ssrc=7))


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_gives_back_what_was_protected(suite):
    keys = settings(suite)
    session, protection = sender(keys), Protection(keys)
    assert protection.rtp(session.protect(packet())) == packet()
    assert protection.rtcp(session.protect_rtcp(REPORT)) == REPORT


@pytest.mark.parametrize("suite", SUITES)
def test_a_report_is_protected_by_the_same_key(suite):
    keys = settings(suite)
    profile = _SUITES[suite].profile
    theirs = Session(Policy(master_key(keys), Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    protected = Protection(keys).protected_rtcp(REPORT)
    assert protected != REPORT
    assert RtcpPacket.parse(theirs.unprotect_rtcp(protected)) == [RtcpRrPacket(ssrc=7)]


def test_another_key_is_refused():
    protected = sender(settings()).protect(packet())
    with pytest.raises(BadPacket, match="authentication"):
        Protection(settings()).rtp(protected)


def test_a_replay_is_refused():
    keys = settings()
    protection, protected = Protection(keys), sender(keys).protect(packet())
    protection.rtp(protected)
    with pytest.raises(BadPacket, match="replay"):
        protection.rtp(protected)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 1500, 2048])
def test_what_is_no_srtp_is_refused_whatever_its_length(length):
    protection = Protection(settings())
    for data in (bytes(length), b"\x80\x6f" + bytes(length), b"\x80\xc8" + bytes(length)):
        with pytest.raises(BadPacket):
            protection.rtp(data)
        with pytest.raises(BadPacket):
            protection.rtcp(data)


def test_the_ssrcs_that_are_kept_are_bounded():
    keys = settings()
    session, protection = sender(keys), Protection(keys)
    for ssrc in range(MOST_SSRCS + 50):
        protection.rtp(session.protect(packet(ssrc=ssrc)))
    assert len(protection._inbound._ssrcs) == MOST_SSRCS


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("off", [-1, 1])
def test_a_key_of_another_length_is_said_to_be_invalid(suite, off):
    with pytest.raises(ContractError, match="takes") as refused:
        Protection(settings(suite, _SUITES[suite].key_bytes + off))
    assert refused.value.code == "invalid"


def test_a_key_that_is_not_base64_is_said_to_be_invalid_and_not_repeated():
    with pytest.raises(ContractError, match="base64") as refused:
        Protection(Srtp(key="ä" * 40))
    assert refused.value.code == "invalid"
    assert "ä" not in refused.value.message
