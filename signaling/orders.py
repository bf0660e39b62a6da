"""What a gateway asks of a node, as JSON: the shapes of `NodeApi` over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any

from pydantic import BaseModel, ConfigDict

from captions.types import Caption
from signaling.audio import AudioFormat
from signaling.errors import HTTP_STATUS, ContractError
from signaling.messages import CallRef, Candidate, Participant
from signaling.sources import Source

PATH = "/control"
"""Each order is a `POST` to this path and its name; what it answers is JSON, too."""

WATCH_PATH = f"{PATH}/watch"
"""A `GET` that is answered for as long as the node lives."""

_AT_MS = Struct("!Q")

LISTEN_PATH = f"{PATH}/listen"
"""A WebSocket: a `ListenOrder`, then chunks of audio, then nothing (an empty text).

Each message is answered, with `{}` or with an `error`, once the next may come.
"""


class Order(BaseModel):
    """For a call that the node has, by its epoch."""

    model_config = ConfigDict(extra="ignore")

    call: CallRef


class Start(Order):
    """Answered with `details`."""

    source: Source
    language: str


class OfferOrder(Order):
    """Answered with `sdp`."""

    participant: Participant
    sdp: str


class ListenOrder(Order):
    """See `NodeApi.listen`."""

    participant: Participant
    audio: AudioFormat
    begins_at_ms: int
    background: bool = False


class CandidateOrder(Order):
    """A candidate for a participant's connection."""

    participant: str
    candidate: Candidate


class CloseMedia(Order):
    """Answered behind the participant's last word."""

    participant: str


class UpdateOrder(Order):
    """What a participant says of themselves."""

    participant: Participant


class Publish(Order):
    """Answered with `captions`, numbered."""

    captions: list[Caption]


ORDERS: dict[str, type[Order]] = {
    "start": Start,
    "offer": OfferOrder,
    "candidate": CandidateOrder,
    "close_media": CloseMedia,
    "update": UpdateOrder,
    "publish": Publish,
    "end": Order,
    "forget_words": Order,
}


def audio_frame(chunk: bytes, at_ms: int) -> bytes:
    """A chunk of audio as a message of a line: when it was spoken, in 8 bytes, and itself."""
    return _AT_MS.pack(at_ms) + chunk


def audio_of(frame: bytes) -> tuple[bytes, int]:
    """The chunk and the time of an `audio_frame`; `ContractError` where it is none."""
    if len(frame) < _AT_MS.size:
        raise ContractError("invalid", "the frame has no time")
    return frame[_AT_MS.size :], _AT_MS.unpack_from(frame)[0]


def told(error: Mapping[str, Any]) -> ContractError:
    """What a node's answer says went wrong, for the caller."""
    code = error.get("code")
    if code not in HTTP_STATUS or code == "unauthorized":  # that is between the two, not the caller
        return ContractError("unavailable", "the media node cannot be used", 1000)
    return ContractError(code, str(error.get("message")), error.get("retry_after_ms"))


def to_json(order: Order) -> Any:
    """The body of the request, an SFU's secrets included: only a node is to see it."""
    return order.model_dump(mode="json")
