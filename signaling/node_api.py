"""What a gateway asks of a media node, in the same process or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from captions.types import Caption
from signaling.audio import AudioFormat, AudioLine
from signaling.messages import CallRef, Candidate, Participant
from signaling.sources import AnySource


class NodeApi(Protocol):
    """Every method raises `ContractError` with what the client is to be told."""

    async def start(self, call: CallRef, source: AnySource, language: str) -> Mapping[str, Any]:
        """Join the call at its SFU; what whoever created it is to be told of the source.

        `language` is the BCP 47 tag of participants who do not say what they speak.
        """

    async def offer(self, call: CallRef, participant: Participant, sdp: str) -> str:
        """Receive the participant's audio; the answer's SDP. A later offer replaces it."""

    async def listen(
        self,
        call: CallRef,
        participant: Participant,
        audio: AudioFormat,
        begins_at_ms: int,
        *,
        background: bool = False,
    ) -> AudioLine:
        """Receive the participant's audio by a line; a later line or offer replaces it.

        `begins_at_ms` is when the first sample was spoken, since the Unix epoch. In the
        `background` it waits for everybody who speaks now, and only its finals are made.
        """

    async def candidate(self, call: CallRef, participant: str, candidate: Candidate) -> None:
        """Add a remote ICE candidate to the participant's connection."""

    async def close_media(self, call: CallRef, participant: str) -> None:
        """Stop receiving the participant; what was said becomes final. Idempotent.

        What they offered at a later version of the call than this one's stays.
        """

    async def update(self, call: CallRef, participant: Participant) -> None:
        """Take a changed name, language or wish not to be captioned."""

    async def publish(self, call: CallRef, finals: Sequence[Caption]) -> list[Caption]:
        """Publish finals of another recognizer, in order, as the node's own; as they are numbered.

        Idempotent by utterance. Those without words get some.
        """

    async def forget_words(self, call: CallRef) -> None:
        """The transcript was erased: keep nothing of what has been said. Idempotent."""

    async def end(self, call: CallRef) -> None:
        """Leave the call: open utterances become final first. Idempotent."""


class NodeDirectory(Protocol):
    """Finds a node by the id that the registry has for it."""

    def node(self, node_id: str) -> NodeApi:
        """The node; `ContractError` `unavailable` where it cannot be reached."""
