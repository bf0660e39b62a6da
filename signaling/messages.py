"""What clients may send (checked) and what gateway and node say to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from captions.types import SPOKEN
from signaling.errors import ContractError
from signaling.sources import Direct, Source

LARGEST_SDP: Final = 64 * 1024
"""Bytes of an offer: some twenty times what a browser sends for one audio track."""

LARGEST_SIGNAL: Final = 64 * 1024
"""Bytes of `data` in `peer:signal`, as JSON."""

ANONYMOUS: Final = "Anonymous"
"""The speaker in captions of somebody who hides their name."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
Language = Annotated[
    str, StringConstraints(pattern=r"^(auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$")
]
Feed = Annotated[
    str, StringConstraints(pattern=r"^(spoken|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$")
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Profanity = Literal["keep", "mask"]
State = Literal["live", "degraded", "recovering", "ended"]


Word = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\s,][^\x00-\x1f,]*$")]
Vocabulary = Annotated[list[Word], Field(max_length=200)]
"""Words and names that may well be said."""


WebhookEvent = Literal["call.ended", "transcript.ready", "caption.final"]
TOLD_BY_ITSELF: Final[tuple[WebhookEvent, ...]] = ("call.ended", "transcript.ready")
"""What a webhook is told of that does not say."""

WebhookSecret = Annotated[str, StringConstraints(pattern=r"^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")]
"""24 to 64 bytes in base64, as Standard Webhooks has them."""


class ClientMessage(BaseModel):
    """Unknown fields are ignored, so that newer clients work with older servers."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Join(ClientMessage):
    """`call:join`."""

    call: Id
    name: Name | None = None
    language: Language | None = None
    captions_language: Feed = SPOKEN
    profanity: Profanity = "keep"
    since: int = Field(default=0, ge=0)


class Watch(ClientMessage):
    """`call:watch`."""

    call: Id
    captions_language: Feed = SPOKEN
    profanity: Profanity = "keep"
    since: int = Field(default=0, ge=0)


class Refresh(ClientMessage):
    """`token:refresh`: a JWT of the same subject."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]


class Update(ClientMessage):
    """`call:update`: only what is there changes."""

    name: Name | None = None
    language: Language | None = None
    captions_language: Feed | None = None
    profanity: Profanity | None = None
    captioned: bool | None = None
    anonymous: bool | None = None


class Since(ClientMessage):
    """`captions:since`."""

    since: int = Field(ge=0)


class Offer(ClientMessage):
    """`media:offer`; `sdp` has been checked for size before."""

    sdp: str
    type: Literal["offer"]


class Candidate(ClientMessage):
    """`media:candidate`, an `RTCIceCandidateInit`; no candidate ends the trickle."""

    candidate: Annotated[str, StringConstraints(max_length=1024)] | None = None
    sdpMid: Annotated[str, StringConstraints(max_length=64)] | None = None  # noqa: N815 - WebRTC's name
    sdpMLineIndex: int | None = Field(default=None, ge=0, le=255)  # noqa: N815 - WebRTC's name


class Signal(ClientMessage):
    """`peer:signal`; `data` is opaque."""

    to: Id
    data: Any = None


class CallWebhook(ClientMessage):
    """Where to tell what becomes of a call. Nobody is shown it again; `secret` signs."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]
    events: list[WebhookEvent] = Field(default=list(TOLD_BY_ITSELF), min_length=1, max_length=16)
    secret: WebhookSecret | None = None


class CreateCall(ClientMessage):
    """`POST /api/calls`."""

    call: Id | None = None
    source: Source = Direct()
    language: Language = "auto"
    captions_languages: list[Feed] = Field(default_factory=list, max_length=16)
    vocabulary: Vocabulary = Field(default_factory=list)
    profanity: Profanity = "keep"
    noise_reduction: bool = False
    retention_days: int | None = Field(default=None, ge=1, le=36500)
    webhook: CallWebhook | None = None


class ChangeCall(ClientMessage):
    """`PATCH /api/calls/{call}`: only what is there changes."""

    captions_languages: list[Feed] | None = Field(default=None, max_length=16)
    vocabulary: Vocabulary | None = None
    profanity: Profanity | None = None
    noise_reduction: bool | None = None


M = TypeVar("M", bound=ClientMessage)


def checked(model: type[M], payload: object) -> M:
    """The payload as a message; `ContractError` `invalid` that names the first fault."""
    if not isinstance(payload, dict):
        raise ContractError("invalid", "the payload must be an object")
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "payload"
        raise ContractError("invalid", f"{where}: {fault['msg']}") from None


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a call. `publishing`: their audio arrives at the captioner.

    `interrupted_at_ms`, since the Unix epoch: since when it does not, by the captioner's fault.
    """

    id: str
    name: str
    language: str = "auto"
    captioned: bool = True
    publishing: bool = False
    anonymous: bool = False
    interrupted_at_ms: int | None = None

    @property
    def speaker(self) -> str:
        """The name in captions and transcripts."""
        return ANONYMOUS if self.anonymous else self.name

    def to_wire(self) -> dict[str, Any]:
        """The participant of the public contract."""
        return {
            "id": self.id,
            "name": self.name,
            "language": self.language,
            "captioned": self.captioned,
            "publishing": self.publishing,
        }

    def to_outside(self) -> dict[str, Any]:
        """The same for who is not in the call: without the name of who hides theirs."""
        return self.to_wire() | {"name": self.speaker}

    def updated(self, update: Update) -> Participant:
        """The participant after `call:update`."""
        fields = update.model_dump(exclude_none=True, exclude={"captions_language", "profanity"})
        return replace(self, **fields)


@dataclass(frozen=True, slots=True)
class CallRef:
    """A call as a node knows it.

    `epoch` fences: a node that lost the call to another can no longer publish. `version` is that
    of the call as it was when a gateway decided what it asks for: an order that comes late does
    not undo a later one.
    `started_at_ms` is wall-clock time since the Unix epoch, the zero of caption times;
    `interrupted_at_ms`, likewise, is when the node before this one was last alive.
    """

    call: str
    epoch: int
    started_at_ms: int
    interrupted_at_ms: int | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Publishing:
    """A node's word that a participant's audio began or ceased to arrive."""

    call: str
    participant: str
    publishing: bool


@dataclass(frozen=True, slots=True)
class CallHealth:
    """A node's word on how well it captions a call."""

    call: str
    state: State
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A node's word that an SFU has this participant; again where their name changes."""

    call: str
    participant: Participant


@dataclass(frozen=True, slots=True)
class Departed:
    """A node's word that a participant's audio will not come back: who came by it has left."""

    call: str
    participant: str


@dataclass(frozen=True, slots=True)
class CallOver:
    """A node's word that the call has ended where its audio came from."""

    call: str
    reason: str


CallEvent = Publishing | CallHealth | Arrived | Departed | CallOver
