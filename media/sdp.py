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

LARGEST_SFU_OFFER: Final = 1024 * 1024
"""Bytes."""

MOST_SFU_MEDIA: Final = 256
"""m-lines of one connection; their packets share one socket."""

_MOST_MEDIA: Final = 4
_MOST_CANDIDATES: Final = 64
_MOST_LINES: Final = 1000
_MOST_SFU_LINES: Final = 400  # of one m-line: each of a codec is looked for among all others


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
    check_bundle(parsed)
    for media in parsed.media:
        for candidate in media.ice_candidates:
            check_port(candidate)
        if media.kind == "audio":
            _check_audio(media)
    return RTCSessionDescription(sdp, "offer")


def checked_sfu_offer(sdp: str) -> tuple[str, dict[str, frozenset[int]]]:
    """An SFU's offer of audio as aiortc may see it, and the SSRCs of each m-line by MID.

    An m-line may be inactive, or have no SSRC. Candidates whose addresses are mDNS names go:
    nothing is looked up for a server. `ContractError` where it is anything else.
    """
    if len(sdp) > LARGEST_SFU_OFFER:
        raise ContractError("too_large", f"an SFU's offer has at most {LARGEST_SFU_OFFER} bytes")
    lines = visible_lines(sdp)
    media_count = sum(line.startswith("m=") for line in lines)
    candidates = {line for line in lines if line.startswith("a=candidate:")}
    if (
        media_count > MOST_SFU_MEDIA
        or len(candidates) > _MOST_CANDIDATES  # bundled m-lines all have the same
        or len(lines) > _MOST_LINES + media_count * 2 * _MOST_CANDIDATES
    ):
        raise ContractError("too_large", "the offer has too many lines, media or candidates")
    checked = "\r\n".join(lines) + "\r\n"
    if any(part.count("\n") > _MOST_SFU_LINES for part in checked.split("\nm=")):
        raise ContractError("too_large", "an m-line of the offer has too many lines")
    try:
        description = SessionDescription.parse(checked)
        parsed = description.media
        for media in parsed:
            _check_sfu_media(media)
        check_bundle(description)
        ssrcs = {media.rtp.muxId: frozenset(each.ssrc for each in media.ssrc) for media in parsed}
    except ContractError:
        raise
    except Exception as error:  # aiortc's parser raises whatever its input leads it to
        raise ContractError("invalid", f"the SDP cannot be read: {error!r:.200}") from None
    if not parsed or len(ssrcs) < len(parsed) or "" in ssrcs:
        raise ContractError("invalid", "the offer has no m-line, or m-lines without their own MID")
    return checked, ssrcs


def _check_sfu_media(media: MediaDescription) -> None:
    if media.kind != "audio":
        raise ContractError("invalid", f"audio was asked for, not {media.kind}")
    for candidate in media.ice_candidates:
        check_port(candidate)
    _check_transport(media)
    if not has_opus(media):
        raise ContractError("invalid", "an m-line has no Opus")


def visible_lines(sdp: str) -> list[str]:
    """Without candidates whose addresses are mDNS names: nothing is looked up for a server."""
    return [line for line in sdp.splitlines() if not _is_hidden(line)]


def has_opus(media: MediaDescription) -> bool:
    """Whether an m-line can carry Opus."""
    return any(codec.mimeType.lower() == "audio/opus" for codec in media.rtp.codecs)


def missing_keys(media: MediaDescription) -> str | None:
    """What an m-line lacks to be connected to; None where it has all."""
    ice = media.ice
    if not media.dtls or not media.dtls.fingerprints:
        return "DTLS fingerprint"
    if not ice or not ice.usernameFragment or not ice.password:
        return "ICE credentials"
    return None


def _is_hidden(line: str) -> bool:
    parts = line.split()
    return line.startswith("a=candidate:") and len(parts) > 4 and parts[4].endswith(".local")


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
    if not has_opus(media):
        raise ContractError("invalid", "the offer has no Opus")
    _check_transport(media)


def check_bundle(description: SessionDescription) -> None:
    """`ContractError` where a BUNDLE group names an m-line that is not there.

    Whatever is bundled with it, aiortc takes the transport away from, and fails to close.
    """
    there = {m.rtp.muxId for m in description.media if m.kind in ("audio", "application")}
    for group in description.group:
        if group.semantic == "BUNDLE" and not there.issuperset(group.items):
            raise ContractError("invalid", "a BUNDLE group names an m-line that cannot be used")


def _check_transport(media: MediaDescription) -> None:
    missing = missing_keys(media)
    if missing:
        raise ContractError("invalid", f"the offer has no {missing}")


def check_port(candidate: RTCIceCandidate) -> None:
    """`ContractError` where the port is none: sending there would close our socket."""
    if not 0 <= candidate.port <= 65535:
        raise ContractError("invalid", "a candidate's port is out of range")


def ice_user(sdp: str) -> str:
    """The ICE user fragment: it changes with each new connection or ICE restart."""
    found = re.search(r"^a=ice-ufrag:(\S+)", sdp, re.MULTILINE)
    return found[1] if found else ""
