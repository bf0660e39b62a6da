"""SRTP with keys that were agreed on elsewhere (RFC 3711; suites of RFC 4568 and RFC 7714)."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from typing import Final, NamedTuple

from pylibsrtp import Error, Policy, Session

from media.rtp import BadPacket
from signaling.errors import ContractError
from signaling.sources import Srtp

MOST_SSRCS: Final = 1024
"""SSRCs whose place in the sequence is known; the one not heard for longest makes room."""


LARGEST_DATAGRAM_BYTES: Final = 1500
"""pylibsrtp takes no more."""


class _Suite(NamedTuple):
    """`key_bytes` are of master key and master salt together."""

    profile: int
    key_bytes: int


_SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
    "AES_CM_128_HMAC_SHA1_32": _Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16 + 14),
    "AEAD_AES_128_GCM": _Suite(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "AEAD_AES_256_GCM": _Suite(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
}


def master_key(settings: Srtp) -> bytes:
    """Master key and salt; `ContractError` where they are not the suite's."""
    needed = _SUITES[settings.suite].key_bytes
    try:
        key = base64.b64decode(settings.key, validate=True)
    except (binascii.Error, ValueError):
        raise ContractError("invalid", "srtp.key is not base64") from None
    if len(key) != needed:
        raise ContractError(
            "invalid", f"srtp.key has {len(key)} bytes; {settings.suite} takes {needed}"
        )
    return key


class Inbound:
    """What decrypts, with libsrtp's states of SSRCs bounded and all errors `pylibsrtp.Error`.

    A state is kept, and looked through at each packet, for each SSRC that was authentic.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ssrcs: OrderedDict[bytes, None] = OrderedDict()
        self._newest = b""

    def unprotect(self, data: bytes) -> bytes:
        """The RTP packet; `pylibsrtp.Error` where it is not authentic, or a replay."""
        plain: bytes = self._session.unprotect(_checked(data))
        self._heard(plain[8:12])
        return plain

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """As `unprotect`, of RTCP."""
        plain: bytes = self._session.unprotect_rtcp(_checked(data))
        self._heard(plain[4:8])
        return plain

    def _heard(self, ssrc: bytes) -> None:
        if ssrc == self._newest:
            return
        self._newest = ssrc
        self._ssrcs[ssrc] = None
        self._ssrcs.move_to_end(ssrc)
        if len(self._ssrcs) > MOST_SSRCS:
            forgotten, _ = self._ssrcs.popitem(last=False)
            self._session.remove_stream(int.from_bytes(forgotten, "big"))


def _checked(data: bytes) -> bytes:
    if len(data) > LARGEST_DATAGRAM_BYTES:
        raise Error("packet is too long")
    return data


class Protection:
    """One key, both ways: what comes is RTP and RTCP of any SSRC, what goes is RTCP.

    The two ends may share a master key because no SSRC is theirs both (RFC 3711, 9.1).
    Replays are refused by libsrtp (3.3.2).
    """

    def __init__(self, settings: Srtp) -> None:
        key = master_key(settings)
        profile = _SUITES[settings.suite].profile
        self._inbound = Inbound(Session(Policy(key, Policy.SSRC_ANY_INBOUND, srtp_profile=profile)))
        self._outbound = Session(Policy(key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))

    def rtp(self, data: bytes) -> bytes:
        """The RTP packet in a datagram; `BadPacket` where it is not authentic, or a replay."""
        try:
            return self._inbound.unprotect(data)
        except Error as error:
            raise BadPacket(str(error)) from None

    def rtcp(self, data: bytes) -> bytes:
        """As `rtp`, of RTCP."""
        try:
            return self._inbound.unprotect_rtcp(data)
        except Error as error:
            raise BadPacket(str(error)) from None

    def protected_rtcp(self, data: bytes) -> bytes:
        """A report of ours as it is to be sent."""
        protected: bytes = self._outbound.protect_rtcp(data)
        return protected
