"""What an offer must be like before aiortc may see it (RFC 8866, RFC 8829).

aiortc's parser trusts its input and raises bare assertions; sizes and counts are checked
first, and whatever it still raises is the offer's fault.
"""

from __future__ import annotations

import re
from typing import Final

from aiortc import RTCIceCandidate, RTCSessionDescription
from aiortc.sdp import MediaDescription, SessionDescription

from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP

_MOST_MEDIA: Final = 4
_MOST_CANDIDATES: Final = 64
_MOST_LINES: Final = 1000


def checked_offer(sdp: str) -> RTCSessionDescription:
    """An offer of audio to the captioner; `ContractError` where it is anything else."""
    _check_size(sdp)
    try:
        parsed = SessionDescription.parse(sdp)
    except Exception as error:  # aiortc's parser raises whatever its input leads it to
        raise ContractError("invalid", f"the SDP cannot be read: {error!r:.200}") from None
    kinds = [media.kind for media in parsed.media]
    if "video" in kinds:
        raise ContractError("invalid", "send audio only: the captioner takes no video")
    if "audio" not in kinds:
        raise ContractError("invalid", "the offer has no audio")
    for media in parsed.media:
        for candidate in media.ice_candidates:
            check_port(candidate)
        if media.kind == "audio":
            _check_audio(media)
    return RTCSessionDescription(sdp, "offer")


def _check_size(sdp: str) -> None:
    if len(sdp) > LARGEST_SDP:
        raise ContractError("too_large", f"an offer has at most {LARGEST_SDP} bytes")
    lines = sdp.splitlines()
    if (
        len(lines) > _MOST_LINES
        or sum(line.startswith("m=") for line in lines) > _MOST_MEDIA
        or sum(line.startswith("a=candidate:") for line in lines) > _MOST_CANDIDATES
    ):
        raise ContractError("too_large", "the offer has too many lines, media or candidates")


def _check_audio(media: MediaDescription) -> None:
    if media.direction not in ("sendonly", "sendrecv"):
        raise ContractError("invalid", f"audio must be sent, not {media.direction}")
    if not any(codec.mimeType.lower() == "audio/opus" for codec in media.rtp.codecs):
        raise ContractError("invalid", "the offer has no Opus")
    ice = media.ice
    if not media.dtls or not media.dtls.fingerprints:
        raise ContractError("invalid", "the offer has no DTLS fingerprint")
    if not ice or not ice.usernameFragment or not ice.password:
        raise ContractError("invalid", "the offer has no ICE credentials")


def check_port(candidate: RTCIceCandidate) -> None:
    """`ContractError` where the port is none: sending there would close our socket."""
    if not 0 <= candidate.port <= 65535:
        raise ContractError("invalid", "a candidate's port is out of range")


def ice_user(sdp: str) -> str:
    """The ICE user fragment: it changes with each new connection or ICE restart."""
    found = re.search(r"^a=ice-ufrag:(\S+)", sdp, re.MULTILINE)
    return found[1] if found else ""
