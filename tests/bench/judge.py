"""What was said against what was shown: pure, and the same as from outside.

The definitions are those of `measure_call.py`, which measures any server from outside;
`test_judge.py` compares the two wherever that file is at hand.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import jiwer

from tests.recordings import Recording, normalized

Log = Sequence[tuple[float, dict[str, Any]]]
"""Captions of one speaker with their arrival, in seconds since that speaker's first sample."""

FINAL_MAY_PRECEDE_SECONDS = 0.5
"""Recordings end with silence of their own, so a final may come before their end."""


@dataclass(frozen=True)
class Spoken:
    """What one speaker says, and when, in seconds since their first sample."""

    text: str
    word_ends: tuple[float, ...]
    clip_ends: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """Delays are seconds, one per word or per recording; nothing is rounded yet."""

    wer: float | None
    word_delays: tuple[float, ...]
    final_delays: tuple[float, ...]
    erasure: float | None
    words_never_shown: int
    words_added: int  # never said: each makes the words behind it seem to come sooner
    heard: tuple[str, ...]


def spoken(recordings: Sequence[Recording], spans: Sequence[tuple[float, float]]) -> Spoken:
    """Of recordings that are played during `spans` (seconds)."""
    ends: list[float] = []
    for recording, span in zip(recordings, spans, strict=True):
        ends += word_ends(recording, span)
    text = normalized(" ".join(recording.text for recording in recordings))
    return Spoken(text, tuple(ends), tuple(end for _, end in spans))


def word_ends(recording: Recording, span: tuple[float, float]) -> list[float]:
    """As the manifest has them, else spread over the recording by the length of the words."""
    words = normalized(recording.text).split()
    if len(recording.word_ends) == len(words):
        return [span[0] + end for end in recording.word_ends]
    weights = list(accumulate(len(word) + 1 for word in words))
    return [span[0] + (span[1] - span[0]) * weight / weights[-1] for weight in weights]


def judge(speakers: Sequence[tuple[Spoken, Log]]) -> Verdict:
    """All speakers of one run together."""
    words: list[float] = []
    finals: list[float] = []
    never = erased = characters = 0
    for said, log in speakers:
        shown = shown_for_good(log, len(said.word_ends))
        pairs = zip(shown, said.word_ends, strict=True)
        words += [arrival - end for arrival, end in pairs if arrival is not None]
        never += shown.count(None)
        finals += final_delays(said.clip_ends, log)
        taken_back, final = erasure(log)
        erased, characters = erased + taken_back, characters + final
    references = [said.text for said, _ in speakers]
    heard = tuple(final_text(log) for _, log in speakers)
    return Verdict(
        wer=word_error_rate(references, heard),
        word_delays=tuple(words),
        final_delays=tuple(finals),
        erasure=erased / characters if characters else None,
        words_never_shown=never,
        words_added=words_added(references, heard),
        heard=heard,
    )


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float | None:
    """Of all texts together, case and punctuation aside; None where nothing was said."""
    said = [normalized(text) for text in references]
    return jiwer.wer(said, [normalized(text) for text in hypotheses]) if any(said) else None


def words_added(references: Sequence[str], hypotheses: Sequence[str]) -> int:
    """Insertions, of all texts together."""
    heard = [normalized(text) for text in hypotheses]
    return jiwer.process_words(list(references), heard).insertions if any(references) else 0


def shown_for_good(log: Log, words: int) -> list[float | None]:
    """For each word, from when the screen never again holds fewer words than up to it."""
    newest: dict[str, dict[str, Any]] = {}
    curve = []
    for arrival, caption in log:
        known = newest.get(caption["utterance"])
        if known is None or caption["revision"] > known["revision"]:
            newest[caption["utterance"]] = caption
        count = sum(len(normalized(shown["text"]).split()) for shown in newest.values())
        curve.append((arrival, count))
    shown: list[float | None] = [None] * words
    fewest = words
    for arrival, count in reversed(curve):
        fewest = min(fewest, count)
        shown[:fewest] = [arrival] * fewest
    return shown


def final_delays(clip_ends: Sequence[float], log: Log) -> list[float]:
    """From the end of each recording to the first final that comes with it or behind it."""
    arrivals: dict[str, float] = {}
    for arrival, caption in log:
        if caption["final"]:
            arrivals.setdefault(caption["utterance"], arrival)
    delays = []
    for end in clip_ends:
        behind = [t for t in arrivals.values() if t >= end - FINAL_MAY_PRECEDE_SECONDS]
        if behind:
            delays.append(min(behind) - end)
    return delays


def erasure(log: Log) -> tuple[int, int]:
    """Characters taken back from the screen, and characters of finals."""
    before: dict[str, tuple[str, int]] = {}
    erased = final = 0
    for _, caption in log:
        text, revision = before.get(caption["utterance"], ("", 0))
        if caption["revision"] <= revision:
            continue
        erased += len(text) - common_length(text, caption["text"])
        before[caption["utterance"]] = (caption["text"], caption["revision"])
        final += len(caption["text"]) if caption["final"] else 0
    return erased, final


def common_length(one: str, other: str) -> int:
    """How many leading characters two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def final_text(log: Log) -> str:
    """All finals in order of speaking."""
    finals = {caption["utterance"]: caption for _, caption in log if caption["final"]}
    ordered = sorted(finals.values(), key=lambda caption: caption["start_ms"])
    return " ".join(caption["text"].strip() for caption in ordered)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The median for 0.5, else the smallest value with that share at or below it."""
    if not values:
        return None
    if share == 0.5:
        return statistics.median(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
