"""The finals of a feed as a transcript: JSON, WebVTT, SubRip and plain text.

Pure functions. Names and texts are whatever people say and call themselves, so nothing in
them may become markup, a cue or a line of somebody else. Cues follow the W3C's WebVTT
(https://www.w3.org/TR/webvtt1/); long finals are spread over cues of two lines.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Final

from captions.types import Caption, Word

LINE_COLUMNS: Final = 42
"""Columns of a line at most, as broadcasters have them; wide characters take two."""

LINES_PER_CUE: Final = 2

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Format:
    """How a transcript goes out: `render` takes the call's id and its finals."""

    media_type: str
    extension: str
    render: Callable[[str, Sequence[Caption]], str]


@dataclass(frozen=True, slots=True)
class _Atom:
    """What is never broken: a word, or one character of a script without spaces.

    `start_ms` is known where the caption has the times of its words.
    """

    text: str
    spaced: bool
    start_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Cue:
    """One to two lines on the screen; `part` counts the cues of a caption from 1, its gap is 0."""

    caption: Caption
    part: int
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def to_json(call: str, captions: Sequence[Caption]) -> str:
    """The object of the public contract, `{"call": …, "captions": [Caption, …]}`."""
    wire = {"call": call, "captions": [caption.to_wire() for caption in _in_order(captions)]}
    # A lone surrogate can be in a str and not in UTF-8.
    return _SURROGATE.sub("\ufffd", json.dumps(wire, ensure_ascii=False)) + "\n"


def to_vtt(captions: Sequence[Caption]) -> str:
    """A WebVTT file: the utterance is the cue's identifier, the speaker its voice."""
    blocks = ["WEBVTT"]
    for cue in _cues(captions, name_in_text=False):
        voice = _escaped(_one_line(cue.caption.speaker))
        text = "\n".join(_escaped(line) for line in cue.lines)
        blocks.append(
            f"{_identifier(cue)}{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
            f"{f'<v {voice}>' if voice else ''}{text}"
        )
    return "\n\n".join(blocks) + "\n"


def to_srt(captions: Sequence[Caption]) -> str:
    """A SubRip file: numbered cues, the speaker's name before the text of each."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        # SubRip has no escapes, and readers look for the arrow.
        + "\n".join(line.replace("-->", "→") for line in cue.lines)
        + "\n"
        for number, cue in enumerate(_cues(captions, name_in_text=True), start=1)
    )


def to_text(captions: Sequence[Caption]) -> str:
    """A line a final: `[hh:mm:ss] Name: text`, and one before it where speech is missing."""
    return "".join(
        f"[{_clock(at_ms, '.')[:-4]}] {_named(caption)}{text}\n"
        for caption in _in_order(captions)
        for at_ms, text in (
            (caption.start_ms - (caption.gap_ms or 0), _gap(caption)),
            (caption.start_ms, _one_line(caption.text)),
        )
        if text
    )


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "json": Format("application/json", "json", to_json),
        "vtt": Format("text/vtt; charset=utf-8", "vtt", lambda _, finals: to_vtt(finals)),
        "srt": Format(
            "application/x-subrip; charset=utf-8", "srt", lambda _, finals: to_srt(finals)
        ),
        "txt": Format("text/plain; charset=utf-8", "txt", lambda _, finals: to_text(finals)),
    }
)
"""By the names that `?format=` and `--format` take."""


def _in_order(captions: Sequence[Caption]) -> list[Caption]:
    return sorted(captions, key=lambda caption: caption.start_ms)


def _one_line(text: str) -> str:
    """`text` without line breaks, control characters and what UTF-8 cannot say."""
    clean = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(_SURROGATE.sub("\ufffd", clean).split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _named(caption: Caption) -> str:
    name = _one_line(caption.speaker)
    return f"{name}: " if name else ""


def _gap(caption: Caption) -> str:
    """What is written in the place of speech that was not captioned; empty without any."""
    return f"({-(-caption.gap_ms // 1000)} s not captioned)" if caption.gap_ms else ""


def _identifier(cue: _Cue) -> str:
    """The identifier's line; those of later parts are no utterance's, as they must be unique."""
    name = _one_line(cue.caption.utterance).replace(">", "")
    if not name:
        return ""
    if cue.part == 0:
        return f"{name}/gap\n"
    return f"{name}\n" if cue.part == 1 else f"{name}/{cue.part}\n"


def _clock(ms: int, mark: str) -> str:
    seconds, thousandths = divmod(max(0, ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{thousandths:03}"


def _cues(captions: Sequence[Caption], *, name_in_text: bool) -> list[_Cue]:
    """Every final as cues, in order of their start, as WebVTT wants them."""
    cues: list[_Cue] = []
    for caption in captions:
        atoms = _atoms(caption)
        name = _named(caption) if name_in_text else ""
        parts = _parts(atoms, _columns(name)) if atoms else []
        times = _times(caption, parts)
        if caption.gap_ms:
            from_ms = max(0, caption.start_ms - caption.gap_ms)
            to_ms = max(from_ms + 1, caption.start_ms)
            cues.append(_Cue(caption, 0, from_ms, to_ms, (name + _gap(caption),)))
        for part, (lines, (start_ms, end_ms)) in enumerate(zip(parts, times, strict=True), 1):
            texts = [_joined(line) for line in lines]
            texts[0] = name + texts[0]
            cues.append(_Cue(caption, part, start_ms, end_ms, tuple(texts)))
    return sorted(cues, key=lambda cue: cue.start_ms)


def _atoms(caption: Caption) -> list[_Atom]:
    text = _one_line(caption.text)
    return _atoms_of_words(text, caption.words or ()) or [
        atom for spaced in text.split() for atom in _pieces(spaced)
    ]


def _atoms_of_words(text: str, words: Sequence[Word]) -> list[_Atom]:
    """The words with their times; none where they are not exactly the text."""
    atoms: list[_Atom] = []
    at = 0
    for word in words:
        said = _one_line(word.text)
        if not said:
            continue
        spaced = text.startswith(" ", at)
        at += spaced
        if not text.startswith(said, at):
            return []
        at += len(said)
        # A "word" may hold spaces; those are places to break, too.
        first, *others = said.split(" ")
        atoms.append(_Atom(first, spaced, word.start_ms))
        atoms += [_Atom(other, spaced=True, start_ms=word.start_ms) for other in others]
    return atoms if at == len(text) else []


def _pieces(word: str) -> list[_Atom]:
    """A word, or the characters of a script that writes none, each with its punctuation."""
    if _columns(word) <= LINE_COLUMNS or not any(map(_is_wide, word)):
        return [_Atom(word, spaced=True)]
    pieces: list[str] = []
    for c in word:
        sticks = (
            not c.isalnum() or not (_is_wide(c) or _is_wide(pieces[-1][-1])) if pieces else False
        )
        if sticks:
            pieces[-1] += c
        else:
            pieces.append(c)
    return [_Atom(piece, spaced=n == 0) for n, piece in enumerate(pieces)]


def _is_wide(c: str) -> bool:
    return unicodedata.east_asian_width(c) in "WF"


def _columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if _is_wide(c) else 1 for c in text)


def _joined(atoms: Sequence[_Atom]) -> str:
    return "".join(f" {atom.text}" if atom.spaced else atom.text for atom in atoms).strip()


def _parts(atoms: list[_Atom], indent: int) -> list[list[list[_Atom]]]:
    """Lines by cue: as few cues as will do, filled alike, of lines about equally long.

    `indent` are columns that the first line of each cue has no room for.
    """
    count = len(atoms)
    behind = list(accumulate((_columns(a.text) + a.spaced for a in atoms), initial=0))
    # A very long name must not take the words' room altogether.
    first_line = LINE_COLUMNS - min(indent, LINE_COLUMNS // 2)

    def line_end(start: int, columns: int) -> int:
        """The atom behind the line; one that is longer than a line has one of its own."""
        full = behind[start] + atoms[start].spaced + columns
        return max(start + 1, bisect_right(behind, full) - 1)

    def cue_end(start: int) -> int:
        middle = line_end(start, first_line)
        return line_end(middle, LINE_COLUMNS) if middle < count else count

    def lines(start: int, end: int) -> list[list[_Atom]]:
        latest = line_end(start, first_line)
        if latest >= end:
            return [atoms[start:end]]
        middle = min(
            (n for n in range(start + 1, latest + 1) if line_end(n, LINE_COLUMNS) >= end),
            key=lambda n: max(behind[n] - behind[start] + indent, behind[end] - behind[n]),
        )
        return [atoms[start:middle], atoms[middle:end]]

    # From the back: how many cues the rest needs, how uneven they are, where the next begins.
    best = [(0, 0, count)] * (count + 1)
    for start in reversed(range(count)):
        best[start] = min(
            (best[end][0] + 1, best[end][1] + (behind[end] - behind[start]) ** 2, end)
            for end in range(start + 1, cue_end(start) + 1)
        )
    parts, start = [], 0
    while start < count:
        end = best[start][2]
        parts.append(lines(start, end))
        start = end
    return parts


def _times(caption: Caption, parts: list[list[list[_Atom]]]) -> list[tuple[int, int]]:
    """When each part is shown, one right behind the other, none of them for no time."""
    start_ms = max(0, caption.start_ms)
    end_ms = max(caption.end_ms, start_ms + 1)
    firsts = [lines[0][0].start_ms for lines in parts[1:]]
    marks = [start_ms, *(first for first in firsts if first is not None), end_ms]
    if len(marks) != len(parts) + 1 or any(one >= other for one, other in pairwise(marks)):
        lengths = [sum(len(atom.text) for line in lines for atom in line) for lines in parts]
        behind = list(accumulate(lengths))
        marks = (
            [start_ms + (end_ms - start_ms) * n // behind[-1] for n in (0, *behind)]
            if parts
            else []
        )
        # Parts are at least a millisecond long, however short the caption is.
        marks = list(accumulate(marks, lambda before, mark: max(before + 1, mark)))
    return list(pairwise(marks))
