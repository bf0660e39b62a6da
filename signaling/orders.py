"""What a gateway asks of a node, as JSON: the shapes of `NodeApi` over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from signaling.messages import CallRef, Candidate, Participant
from signaling.sources import Source

PATH = "/control"
"""Each order is a `POST` to this path and its name; what it answers is JSON, too."""

WATCH_PATH = f"{PATH}/watch"
"""A `GET` that is answered for as long as the node lives."""


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


ORDERS: dict[str, type[Order]] = {
    "start": Start,
    "offer": OfferOrder,
    "candidate": CandidateOrder,
    "close_media": CloseMedia,
    "update": UpdateOrder,
    "end": Order,
    "forget_words": Order,
}


def to_json(order: Order) -> Any:
    """The body of the request, an SFU's secrets included: only a node is to see it."""
    return order.model_dump(mode="json")
