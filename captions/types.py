"""The words everyone in this house speaks: PCM, hypotheses and captions.

Time inside `captions` is an integer sample index at `SAMPLE_RATE`; milliseconds
appear only in the fields of `Caption`, which goes on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 16_000
"""Samples a second of all PCM in this package, mono."""

SPOKEN: Final = "spoken"
"""The feed that has every utterance in the language it was spoken in."""

Samples = npt.NDArray[np.int16]


def to_ms(samples: int) -> int:
    """Milliseconds of `samples` at `SAMPLE_RATE`, rounded down."""
    return samples * 1000 // SAMPLE_RATE


def to_samples(seconds: float) -> int:
    """Samples in `seconds`, rounded to the nearest."""
    return round(seconds * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class PcmChunk:
    """A run of PCM of one track.

    `start` is the index of the first sample since the track began, by RTP timestamp
    and never by counting, so that a gap in the audio is a gap in the indices.
    `samples` is int16, shape (n,), and changes owner with the chunk: read-only.
    """

    start: int
    samples: Samples

    def __post_init__(self) -> None:
        self.samples.flags.writeable = False

    @property
    def end(self) -> int:
        """Index of the first sample after this chunk."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word of a hypothesis.

    `text` keeps the white space that parts it from the word before (" ask"), so that
    joining words gives the text in any script. `start` and `end` are sample indices
    into the decoded window, or both 0 where times were not asked for; `confidence` is
    the model's probability, 0 to 1. `tokens` are the model's own, for forcing a prefix.
    """

    text: str
    tokens: tuple[int, ...]
    start: int = 0
    end: int = 0
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the recognizer makes of one window of audio.

    `words` begins with the words of the forced prefix. `language` is the language that
    was decoded, `language_confidence` the probability of it where it was detected (else
    1). `no_speech` is the model's probability that nobody speaks, `log_probability` the
    average over the tokens, `timed` says whether the words have times.
    """

    words: tuple[HeardWord, ...]
    language: str
    language_confidence: float = 1.0
    no_speech: float = 0.0
    log_probability: float = 0.0
    timed: bool = False

    @property
    def text(self) -> str:
        """The words as one line."""
        return join(self.words)


def join(words: tuple[HeardWord, ...] | list[HeardWord]) -> str:
    """The text of `words` as a person reads it."""
    return "".join(word.text for word in words).strip()


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a caption: milliseconds since the call started, confidence 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of the public contract."""
        return {
            "text": self.text,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "confidence": self.confidence,
        }


@dataclass(frozen=True, slots=True)
class Caption:
    """One revision of one utterance in one language, as in the public contract.

    The key is (call, utterance, language). A higher `revision` replaces the whole text
    of its key; exactly one revision is `final`, the highest. `stable` counts the leading
    characters of `text` that no later revision changes. `seq` is None until a final has
    been published; times are milliseconds since the call started. `gap_ms` is how long, before
    this, the participant's speech was not captioned because the captioner failed. `source_text`
    is what a translation is of.
    """

    call: str
    utterance: str
    revision: int
    participant: str
    speaker: str
    language: str
    source_language: str
    text: str
    stable: int
    final: bool
    start_ms: int
    end_ms: int
    confidence: float | None = None
    words: tuple[Word, ...] | None = None
    feed: str = SPOKEN
    seq: int | None = None
    gap_ms: int | None = None
    source_text: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What revisions of one caption share."""
        return (self.call, self.utterance, self.language)

    def numbered(self, seq: int) -> Caption:
        """This final with its place in the feed."""
        return replace(self, seq=seq)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of the public contract; absent optional fields are left out."""
        wire: dict[str, Any] = {
            "call": self.call,
            "utterance": self.utterance,
            "revision": self.revision,
            "participant": self.participant,
            "speaker": self.speaker,
            "language": self.language,
            "source_language": self.source_language,
            "text": self.text,
            "stable": self.stable,
            "final": self.final,
            "feed": self.feed,
            "seq": self.seq,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
        }
        if self.confidence is not None:
            wire["confidence"] = self.confidence
        if self.words is not None:
            wire["words"] = [word.to_wire() for word in self.words]
        if self.gap_ms is not None:
            wire["gap_ms"] = self.gap_ms
        if self.source_text is not None:
            wire["source_text"] = self.source_text
        return wire

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Caption:
        """The caption that `to_wire` made; KeyError or TypeError where it did not."""
        fields = dict(wire)
        words = fields.pop("words", None)
        return cls(
            **fields,
            words=None if words is None else tuple(Word(**word) for word in words),
        )


def as_final(partial: Caption) -> Caption:
    """A partial as the last word on its utterance, where its speaker's captioner is gone.

    Its words are `timed`; their confidence is the partial's.
    """
    return timed(
        replace(
            partial,
            revision=partial.revision + 1,
            stable=len(partial.text),
            final=True,
            confidence=partial.confidence or 0.0,
            words=None,
        )
    )


def timed(caption: Caption) -> Caption:
    """The caption with words: where it has none they share its time by their length."""
    if caption.words is not None:
        return caption
    texts = caption.text.split()
    total = sum(len(text) + 1 for text in texts)
    length_ms = caption.end_ms - caption.start_ms
    words, before = [], 0
    for text in texts:
        after = before + len(text) + 1
        start_ms = caption.start_ms + length_ms * before // total
        end_ms = caption.start_ms + length_ms * after // total
        words.append(Word(text, start_ms, end_ms, caption.confidence or 0.0))
        before = after
    return replace(caption, words=tuple(words))
