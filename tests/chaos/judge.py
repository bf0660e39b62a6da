"""What must hold after everything that was killed: the same for every scenario. Pure, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

Caption = dict[str, Any]


def breaks(
    watched: Iterable[Sequence[Caption]], transcript: Sequence[Caption], stored: Sequence[Caption]
) -> list[str]:
    """What is broken, in words; nothing is good.

    `watched`: what each watcher was shown, in order of arrival. `transcript`: what the API
    says of the call. `stored`: what the database has of it.
    """
    shown = [list(captions) for captions in watched]
    found = _of_transcript(transcript)
    found += _differences(transcript, stored)
    for number, captions in enumerate(shown, 1):
        found += [f"watcher {number}: {broken}" for broken in _of_watcher(captions, transcript)]
    return found


def _key(caption: Caption) -> tuple[str, str]:
    return caption["utterance"], caption["language"]


def _of_transcript(transcript: Sequence[Caption]) -> list[str]:
    numbers = sorted(caption["seq"] for caption in transcript)
    found = []
    if numbers != list(range(1, len(transcript) + 1)):
        found.append(f"numbers have holes or doubles: {numbers}")
    twice = [key for key, count in Counter(map(_key, transcript)).items() if count > 1]
    found += [f"{key}: more than one final in the transcript" for key in twice]
    found += [f"{_key(c)}: not final in the transcript" for c in transcript if not c["final"]]
    return found


def _differences(transcript: Sequence[Caption], stored: Sequence[Caption]) -> list[str]:
    told, kept = ({c["seq"]: c for c in captions} for captions in (transcript, stored))
    found = [f"{len(stored)} finals in the database, not {len(transcript)}"]
    if len(stored) == len(transcript):
        found = []
    for seq in sorted(told.keys() | kept.keys()):
        if told.get(seq) != kept.get(seq):
            found.append(f"final {seq}: the API says {told.get(seq)}, the database {kept.get(seq)}")
    return found


def _of_watcher(captions: Sequence[Caption], transcript: Sequence[Caption]) -> list[str]:
    """What one watcher's screen showed, by the contract: a higher revision replaces."""
    found: list[str] = []
    newest: dict[tuple[str, str], Caption] = {}
    for caption in captions:
        before = newest.get(_key(caption))
        if before is None or caption["revision"] > before["revision"]:
            found += _of_next(before, caption)
            newest[_key(caption)] = caption
        elif caption["revision"] == before["revision"] and caption != before:
            found.append(f"{_key(caption)}: two of revision {caption['revision']}")
        elif caption["final"] and caption != before:
            found.append(f"{_key(caption)}: a final of a lower revision than what was shown")
    numbers = {caption["seq"] for caption in captions if caption["final"]}
    missed = sorted({caption["seq"] for caption in transcript} - numbers)
    if missed:
        found.append(f"never told of the finals {missed}")
    written = {_key(caption): caption for caption in transcript}
    for key, caption in newest.items():
        if not caption["final"]:
            found.append(f"{key}: no final of {caption['text']!r} was shown")
        elif key not in written:
            found.append(f"{key}: {caption['text']!r} is not in the transcript")
        elif written[key] != caption:
            found.append(f"{key}: shown was {caption}, the transcript has {written[key]}")
    return found


def _of_next(before: Caption | None, caption: Caption) -> list[str]:
    """What is wrong with a revision behind the one before it."""
    found = []
    if (caption["seq"] is not None) != caption["final"]:
        found.append(f"{_key(caption)}: number {caption['seq']}, final {caption['final']}")
    if before is None:
        return found
    kept = before["text"][: before["stable"]]
    if before["final"]:
        found.append(f"{_key(caption)}: another revision behind the final")
    if not caption["text"].startswith(kept):
        found.append(f"{_key(caption)}: stable {kept!r} became {caption['text']!r}")
    elif caption["stable"] < before["stable"]:
        found.append(f"{_key(caption)}: less of it is stable than before")
    return found
