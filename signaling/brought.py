"""Captions of an outside recognizer: what clients send, and the finals that it makes. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from captions.types import Caption, Word
from signaling.errors import ContractError
from signaling.messages import ClientMessage, Id, Name, Participant

_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_BARE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,255}")


def _one_line(text: str) -> str:
    """With single spaces, as in captions of our own; other control characters are refused."""
    line = " ".join(text.split())
    if not line or any(ord(character) < 32 or ord(character) == 127 for character in line):
        raise ValueError("text of one line is needed")
    return line


Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
"""BCP 47."""

SinceStart = Annotated[int, Field(ge=0, le=2**40)]
"""Milliseconds since the call started."""

Probability = Annotated[float, Field(ge=0, le=1)]


class BroughtWord(ClientMessage):
    """A word of a `BroughtCaption`."""

    text: Annotated[str, StringConstraints(max_length=128), AfterValidator(_one_line)]
    start_ms: SinceStart
    end_ms: SinceStart
    confidence: Probability = 1.0


class BroughtCaption(ClientMessage):
    """A final as an outside recognizer made it.

    `participant` None: made of the speaker's name. `words` None: they share the time by their
    length. `confidence` None: the mean of the words' own, 1 without.
    """

    participant: Id | None = None
    speaker: Name
    language: Tag
    text: Annotated[str, StringConstraints(max_length=4000), AfterValidator(_one_line)]
    start_ms: SinceStart
    end_ms: SinceStart
    confidence: Probability | None = None
    words: Annotated[list[BroughtWord], Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if any(it.end_ms < it.start_ms for it in (self, *(self.words or ()))):
            raise ValueError("nothing ends before it starts")
        return self


class BringCaptions(ClientMessage):
    """`POST /api/calls/{call}/captions`: in the order of becoming final."""

    captions: Annotated[list[BroughtCaption], Field(min_length=1, max_length=100)]

    def fingerprint(self, key: str) -> str:
        """The same for the same captions. With the key in it nobody learns of it what was said."""
        said = json.dumps([key, self.model_dump()], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def idempotency_key(headers: Sequence[str]) -> str:
    """The key that `Idempotency-Key` carries (draft-ietf-httpapi-idempotency-key-header-07, 2.1).

    A string of RFC 9651; many clients send it without its quotes, which is taken as well.
    """
    value = headers[0].strip() if len(headers) == 1 else ""
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if not _BARE.fullmatch(value):
        raise ContractError("invalid", "Idempotency-Key: one key of at most 255 characters")
    return value


def key_digest(subject: str | None, key: str) -> str:
    """What a key is known by: each client has its own keys."""
    return hashlib.sha256(json.dumps([subject, key]).encode()).hexdigest()[:24]


def utterances(digest: str, count: int) -> list[str]:
    """The utterances of a request by its key: the same whenever and wherever it is tried again."""
    return [f"x-{digest}-{number}" for number in range(count)]


def finals_of(
    call: str, digest: str, brought: BringCaptions, people: Mapping[str, Participant]
) -> list[Caption]:
    """The finals, without numbers yet, and without words where none were brought.

    `people` are in the call, and are heeded: who hides their name has none, and who does not want
    to be captioned is not (`forbidden`).
    """
    ids = utterances(digest, len(brought.captions))
    pairs = zip(ids, brought.captions, strict=True)
    return [_final(call, utterance, caption, people) for utterance, caption in pairs]


def _final(
    call: str, utterance: str, brought: BroughtCaption, people: Mapping[str, Participant]
) -> Caption:
    participant = brought.participant or _made_of(brought.speaker)
    known = people.get(participant)
    if known and not known.captioned:
        raise ContractError("forbidden", "a participant does not want to be captioned")
    words = brought.words and tuple(Word(**word.model_dump()) for word in brought.words)
    confidence = brought.confidence
    if confidence is None:
        confidence = sum(w.confidence for w in words) / len(words) if words else 1.0
    return Caption(
        call=call,
        utterance=utterance,
        revision=1,
        participant=participant,
        speaker=known.speaker if known and known.anonymous else brought.speaker,
        language=brought.language,
        source_language=brought.language,
        text=brought.text,
        stable=len(brought.text),
        final=True,
        start_ms=brought.start_ms,
        end_ms=brought.end_ms,
        confidence=round(confidence, 3),
        words=words or None,
    )


def _made_of(speaker: str) -> str:
    """One participant for each name, who is none that joins."""
    return f"x-{hashlib.sha256(speaker.encode()).hexdigest()[:12]}"
