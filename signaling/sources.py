"""What `source` of `POST /api/calls` may be: where a call's audio comes from."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

_Secret = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
_Tag = Annotated[str, StringConstraints(pattern=r"^(auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$")]
_WebSocketUrl = Annotated[str, StringConstraints(pattern=r"^wss?://[^\s]+$", max_length=2048)]
_HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]

SECRETS: Final = frozenset({"pin", "token", "api_secret", "srtp", "key"})
"""Fields that are for the SFU alone: never shown, stored or logged."""


class _Source(BaseModel):
    # As with all messages: newer clients work with older servers.
    model_config = ConfigDict(extra="ignore", strict=True)


class Direct(_Source):
    """Participants send their audio themselves, by `media:offer` or WHIP."""

    kind: Literal["direct"] = "direct"


class Janus(_Source):
    """A room of Janus's VideoRoom plugin. `token` is Janus's or the room's own."""

    kind: Literal["janus"] = "janus"
    url: _WebSocketUrl
    room: int | Annotated[str, StringConstraints(min_length=1, max_length=256)]
    pin: _Secret | None = None
    token: _Secret | None = None
    api_secret: _Secret | None = None
    captions_back: bool = False


class Whep(_Source):
    """One participant, as a WHEP resource."""

    kind: Literal["whep"] = "whep"
    url: _HttpUrl
    token: _Secret | None = None
    participant: _Id | None = None
    name: _Name | None = None
    language: _Tag | None = None


class LiveKit(_Source):
    """A room of LiveKit, with a token that may subscribe (and publish data, for captions)."""

    kind: Literal["livekit"] = "livekit"
    url: Annotated[str, StringConstraints(pattern=r"^(wss?|https?)://[^\s]+$", max_length=2048)]
    room: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    token: _Secret
    captions_back: bool = True


class Srtp(_Source):
    """Keys of plain SRTP (RFC 4568, 6.2): `key` is master key and salt in base64."""

    suite: Literal[
        "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
    ] = "AES_CM_128_HMAC_SHA1_80"
    key: Annotated[str, StringConstraints(min_length=40, max_length=64)]


class RtpStream(_Source):
    """Whose the stream with this SSRC is; without one, the first that no other entry names."""

    ssrc: int | None = Field(default=None, ge=0, le=2**32 - 1)
    participant: _Id | None = None
    name: _Name | None = None
    language: _Tag | None = None


class Rtp(_Source):
    """Plain RTP with Opus to a port of the node; the answer says which.

    `sender` is the address (`ADDRESS`, `ADDRESS:PORT`, `[IPV6]:PORT`) that packets are taken
    from; without it, the address and port of the first proven stream. At most one of
    `streams` is without an SSRC. Payload types that look like RTCP's (RFC 5761, 4) are none.
    """

    kind: Literal["rtp"] = "rtp"
    payload_type: Annotated[int, Field(ge=0, le=63)] | Annotated[int, Field(ge=96, le=127)] = 111
    sender: Annotated[str, StringConstraints(min_length=2, max_length=64)] | None = None
    streams: list[RtpStream] = Field(default_factory=list, max_length=256)
    srtp: Srtp | None = None


def _kind(source: Any) -> str | None:
    kind = source.get("kind", "direct") if isinstance(source, dict) else None
    if isinstance(source, _Source):
        kind = getattr(source, "kind", None)
    return kind if isinstance(kind, str) else None


AnySource = Direct | Janus | Whep | LiveKit | Rtp

Source = Annotated[
    Annotated[Direct, Tag("direct")]
    | Annotated[Janus, Tag("janus")]
    | Annotated[Whep, Tag("whep")]
    | Annotated[LiveKit, Tag("livekit")]
    | Annotated[Rtp, Tag("rtp")],
    Discriminator(
        _kind,
        custom_error_type="source_kind",
        custom_error_message="kind must be direct, janus, whep, livekit or rtp",
    ),
]


def shown(source: AnySource) -> dict[str, Any]:
    """What everybody who may read the call may know of its source."""
    fields = source.model_dump(exclude_none=True, exclude_defaults=True, exclude=set(SECRETS))
    return {"kind": source.kind, **fields}
