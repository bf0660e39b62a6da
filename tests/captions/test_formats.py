"""Transcripts that any player reads, whatever people say and call themselves."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.formats import FORMATS, LINE_COLUMNS, LINES_PER_CUE, to_json, to_srt, to_text, to_vtt
from captions.types import Caption, Word

JFK = (
    "And so, my fellow Americans: ask not what your country can do for you, "
    "ask what you can do for your country."
)

# --- what a player reads ------------------------------------------------------------------


@dataclass(frozen=True)
class Cue:
    identifier: str
    start_ms: int
    end_ms: int
    voice: str | None
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)


def milliseconds(clock: str, mark: str) -> int:
    found = re.fullmatch(rf"(\d{{2,}}):([0-5]\d):([0-5]\d)\{mark}(\d{{3}})", clock)
    assert found, clock
    hours, minutes, seconds, thousandths = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def read_vtt(file: str) -> list[Cue]:
    """After the parser of the WebVTT specification, stricter where that one repairs."""
    lines = file.split("\n")  # the only line break of ours; others must not be there
    assert not re.search("[\r\0\x85\u2028\u2029]", file)
    assert lines[0] == "WEBVTT"
    blocks = [block for block in "\n".join(lines[1:]).strip("\n").split("\n\n") if block]
    cues = []
    for block in blocks:
        identifier, timing, *text = block.split("\n")
        if "-->" in identifier:
            identifier, timing, text = "", identifier, [timing, *text]
        assert block.count("-->") == 1
        start, arrow, end = timing.split(" ")
        assert arrow == "-->"
        voice = re.match(r"<v ([^<>\n]+)>", text[0])
        if voice:
            text[0] = text[0][voice.end() :]
        assert all(line.strip() for line in text)
        assert not any(re.search("[<>]", line) for line in text)
        plain = tuple(html.unescape(line) for line in text)
        name = html.unescape(voice[1]) if voice else None
        cues.append(Cue(identifier, milliseconds(start, "."), milliseconds(end, "."), name, plain))
    return cues


def read_srt(file: str) -> list[Cue]:
    assert not re.search("[\r\0\x85\u2028\u2029]", file)
    cues = []
    for number, block in enumerate([b for b in file.strip("\n").split("\n\n") if b], 1):
        identifier, timing, *text = block.split("\n")
        assert identifier == str(number)
        assert block.count("-->") == 1
        start, end = timing.split(" --> ")
        assert text
        assert all(line.strip() for line in text)
        cues.append(
            Cue(identifier, milliseconds(start, ","), milliseconds(end, ","), None, tuple(text))
        )
    return cues


# --- what is written ----------------------------------------------------------------------


def final(text: str, start_ms: int = 1000, end_ms: int = 4000, **fields: object) -> Caption:
    values: dict[str, object] = {
        "call": "standup-42",
        "utterance": "u-1",
        "revision": 3,
        "participant": "p-anna",
        "speaker": "Anna",
        "language": "en",
        "source_language": "en",
        "text": text,
        "stable": len(text),
        "final": True,
        "start_ms": start_ms,
        "end_ms": end_ms,
    }
    return Caption(**(values | fields))  # type: ignore[arg-type]


def with_words(caption: Caption, *, spoken_ms: int = 200, each_ms: int = 300) -> Caption:
    texts = caption.text.split()
    words = tuple(
        Word(
            text,
            caption.start_ms + n * each_ms,
            caption.start_ms + n * each_ms + spoken_ms,
            0.9,
        )
        for n, text in enumerate(texts)
    )
    fields = caption.to_wire() | {"words": words, "end_ms": caption.start_ms + len(texts) * each_ms}
    return Caption(**fields)


def columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def visible(text: str) -> str:
    """Text as it must come out: no control characters, no lone halves of characters."""
    kept = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(re.sub("[\ud800-\udfff]", "\ufffd", kept).split())


def packed(text: str) -> str:
    return "".join(visible(text).split())


HOSTILE = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(
        st.sampled_from(
            [
                "-->",
                "00:00:00.000 --> 99:00:00.000",
                "<v Boss>",
                "</v>",
                "<script>alert(1)</script>",
                "&",
                "&lt;",
                "&amp;gt;",
                "\n",
                "\r\n\r\n",
                "\u2028",
                "\x85",
                "\0",
                "\ud800",
                "WEBVTT",
                "NOTE",
                "STYLE",
                "1",
                "{\\an8}",
                "[00:00:00] Boss: I resign",
                "ask",
                "not",
                "Supercalifragilisticexpialidocious" * 3,
                "你好，世界。" * 8,
                "e\u0301" * 5,
                "👩‍👩‍👧",
                " ",
            ]
        ),
        max_size=30,
    ).map(" ".join),
)
TIMES = st.tuples(st.integers(0, 10**9), st.integers(-1000, 30_000))
WORDS = st.none() | st.lists(
    st.builds(Word, HOSTILE, st.integers(0, 10**6), st.integers(0, 10**6), st.just(0.5)), max_size=5
).map(tuple)
CAPTIONS = st.builds(
    lambda text, speaker, times, words: final(
        text, times[0], times[0] + times[1], speaker=speaker, words=words
    ),
    HOSTILE,
    HOSTILE,
    TIMES,
    WORDS,
)
TRANSCRIPTS = st.lists(CAPTIONS, max_size=6).map(
    lambda captions: [
        Caption(**(caption.to_wire() | {"utterance": f"u-{n}", "words": caption.words}))
        for n, caption in enumerate(sorted(captions, key=lambda c: c.start_ms))
    ]
)


def cues_by_utterance(cues: list[Cue]) -> dict[str, list[Cue]]:
    found: dict[str, list[Cue]] = {}
    for cue in cues:
        found.setdefault(cue.identifier.split("/")[0], []).append(cue)
    return found


def check_cues(cues: list[Cue]) -> None:
    assert [c.start_ms for c in cues] == sorted(c.start_ms for c in cues)
    for cue in cues:
        assert cue.start_ms < cue.end_ms
        assert 1 <= len(cue.lines) <= LINES_PER_CUE


# --- WebVTT --------------------------------------------------------------------------------


def test_a_short_final_is_one_cue_with_its_utterance_and_voice():
    file = to_vtt([final("Good morning.", 3_723_004, 3_725_500)])
    assert file == ("WEBVTT\n\nu-1\n01:02:03.004 --> 01:02:05.500\n<v Anna>Good morning.\n")


def test_no_finals_are_a_file_without_cues():
    assert to_vtt([]) == "WEBVTT\n"
    assert to_srt([]) == ""
    assert to_text([]) == ""
    assert json.loads(to_json("c", [])) == {"call": "c", "captions": []}


def test_markup_in_a_text_is_shown_and_not_obeyed():
    (cue,) = read_vtt(to_vtt([final("1 < 2 && <b>3</b> --> 4 &lt;")]))
    assert cue.text == "1 < 2 && <b>3</b> --> 4 &lt;"


def test_a_name_cannot_leave_its_voice_tag():
    name = "A>B<c>&\n\n00:00:00.000 --> 00:00:01.000\nforged"
    (cue,) = read_vtt(to_vtt([final("yes", speaker=name)]))
    assert cue.voice == "A>B<c>& 00:00:00.000 --> 00:00:01.000 forged"
    assert cue.lines == ("yes",)


def test_a_speaker_without_a_name_has_no_voice():
    (cue,) = read_vtt(to_vtt([final("yes", speaker=" \n")]))
    assert (cue.voice, cue.text) == (None, "yes")


def test_a_final_that_ends_when_it_starts_is_still_shown_for_a_moment():
    (cue,) = read_vtt(to_vtt([final("yes", 500, 500)]))
    assert (cue.start_ms, cue.end_ms) == (500, 501)


def test_cues_are_in_order_where_people_speak_at_once():
    long = with_words(final(f"{JFK} {JFK}", 0, speaker="Joe"))
    short = final("Wait!", 5000, 6000, utterance="u-2")
    cues = read_vtt(to_vtt([long, short]))
    check_cues(cues)
    assert cues[0].voice == "Joe"
    assert cues[-1].voice == "Joe"
    assert {"u-1", "u-2"} <= {cue.identifier for cue in cues}


def test_every_cue_of_a_split_final_has_an_identifier_of_its_own():
    cues = read_vtt(to_vtt([final(JFK * 3)]))
    assert len(cues) > 2
    assert cues[0].identifier == "u-1"
    assert len({cue.identifier for cue in cues}) == len(cues)


@given(TRANSCRIPTS)
def test_whatever_is_said_the_file_has_every_word_once_and_nothing_else(captions: list[Caption]):
    file = to_vtt(captions)
    file.encode()
    cues = read_vtt(file)
    check_cues(cues)
    found = cues_by_utterance(cues)
    assert found.keys() == {c.utterance for c in captions if visible(c.text)}
    for caption in captions:
        shown = found.get(caption.utterance, [])
        assert packed("".join(cue.text for cue in shown)) == packed(caption.text)
        assert {cue.voice for cue in shown} <= {visible(caption.speaker) or None}
        if shown:
            assert shown[0].start_ms == caption.start_ms
            assert all(one.end_ms == other.start_ms for one, other in pairwise(shown))


# --- lines ---------------------------------------------------------------------------------


@given(
    st.lists(st.text("abcdefgh.,'", min_size=1, max_size=20), min_size=1, max_size=120),
    st.booleans(),
)
def test_lines_are_never_too_long_and_words_stay_whole(words: list[str], timed: bool):
    caption = final(" ".join(words), 0, 20_000)
    cues = read_vtt(to_vtt([with_words(caption) if timed else caption]))
    check_cues(cues)
    assert [word for cue in cues for line in cue.lines for word in line.split()] == words
    assert all(columns(line) <= LINE_COLUMNS for cue in cues for line in cue.lines)


def test_a_final_that_fits_a_line_has_one_and_one_that_does_not_has_two_of_about_a_length():
    (short,) = read_vtt(to_vtt([final("ask not what your country can do for you")]))
    assert len(short.lines) == 1
    (longer,) = read_vtt(to_vtt([final("ask not what your country can do for you, ask")]))
    assert longer.lines == ("ask not what your country", "can do for you, ask")


@pytest.mark.parametrize("count", range(9, 40))
def test_the_last_cue_is_not_left_with_a_single_word(count: int):
    cues = read_vtt(to_vtt([final(" ".join(["seventeen"] * count))]))
    assert len(cues) == -(-count // 8)  # as few as will do
    assert len(cues[-1].text.split()) > 1


def test_cues_of_a_long_final_begin_with_their_first_word():
    caption = with_words(final(f"{JFK} {JFK}", 60_000), each_ms=300)
    cues = read_vtt(to_vtt([caption]))
    assert len(cues) > 2
    said = list(accumulate((len(cue.text.split()) for cue in cues), initial=0))
    assert [cue.start_ms for cue in cues] == [60_000 + n * 300 for n in said[:-1]]
    assert cues[-1].end_ms == caption.end_ms


def test_cues_of_a_long_final_without_words_share_its_time_by_length():
    cues = read_vtt(to_vtt([final(JFK * 2, 0, 20_000)]))
    speeds = [len("".join(cue.text.split())) / (cue.end_ms - cue.start_ms) for cue in cues]
    assert max(speeds) / min(speeds) < 1.01
    assert (cues[0].start_ms, cues[-1].end_ms) == (0, 20_000)


@pytest.mark.parametrize(
    "words",
    [
        tuple(Word(text, 0, 0, 0.0) for text in (JFK * 2).split()),
        tuple(Word(text, 9000 - n, 9000 - n, 0.9) for n, text in enumerate((JFK * 2).split())),
        (Word("something", 0, 100, 0.9), Word("else", 100, 200, 0.9)),
        (),
    ],
    ids=["all at once", "backwards", "other words", "none"],
)
def test_words_without_good_times_are_as_none(words: tuple[Word, ...]):
    text = JFK * 2
    assert to_vtt([final(text, 0, 9000, words=words)]) == to_vtt([final(text, 0, 9000)])


def test_a_script_without_spaces_is_broken_between_its_words():
    texts = [*"今日は天気がいいです", "ね、", *"散歩に行きましょうと彼が言いました", "。"]
    caption = final(
        "".join(texts),
        0,
        6000,
        words=tuple(Word(t, n * 200, n * 200, 0.9) for n, t in enumerate(texts)),
    )
    for cues in (read_vtt(to_vtt([caption])), read_vtt(to_vtt([final(caption.text, 0, 6000)]))):
        check_cues(cues)
        assert "".join(line for cue in cues for line in cue.lines) == caption.text
        lines = [line for cue in cues for line in cue.lines]
        assert len(lines) > 1
        assert all(columns(line) <= LINE_COLUMNS for line in lines)
        assert not any(line[0] in "、。" for line in lines)


def test_a_word_longer_than_a_line_has_a_line_of_its_own():
    link = "https://example.org/" + "x" * 60
    cues = read_vtt(to_vtt([final(f"see {link} please")]))
    assert [line for cue in cues for line in cue.lines] == ["see", link, "please"]


# --- SubRip --------------------------------------------------------------------------------


def test_subrip_numbers_its_cues_and_names_the_speaker_in_each():
    assert to_srt([final("Yes.", 0, 1500), final("No.", 3_600_000, 3_601_000, speaker="Joe")]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nAnna: Yes.\n\n"
        "2\n01:00:00,000 --> 01:00:01,000\nJoe: No.\n"
    )


def test_the_name_counts_towards_the_length_of_a_line():
    cues = read_srt(to_srt([final(JFK * 2)]))
    assert all(cue.lines[0].startswith("Anna: ") for cue in cues)
    assert all(columns(line) <= LINE_COLUMNS for cue in cues for line in cue.lines)
    assert " ".join(cue.text.removeprefix("Anna: ") for cue in cues).split() == (JFK * 2).split()


@given(TRANSCRIPTS)
def test_whatever_is_said_subrip_stays_in_its_cues(captions: list[Caption]):
    file = to_srt(captions)
    file.encode()
    cues = read_srt(file)
    check_cues(cues)
    said = sum(len(packed(c.text).replace("-->", "→")) for c in captions)
    named = sum(len(packed("".join(cue.lines))) for cue in cues)
    assert named >= said
    assert bool(cues) is any(visible(c.text) for c in captions)


# --- plain text ------------------------------------------------------------------------------


def test_text_is_a_line_a_final_with_its_time_and_speaker():
    finals = [final("Yes.", 61_999, 63_000), final("No.", 3_600_000, 3_601_000, speaker="")]
    assert to_text(finals) == "[00:01:01] Anna: Yes.\n[01:00:00] No.\n"


@given(TRANSCRIPTS)
def test_nobody_can_write_a_line_of_somebody_else(captions: list[Caption]):
    file = to_text(captions)
    file.encode()
    lines = file.split("\n")
    assert lines.pop() == ""
    assert not re.search("[\r\0\x85\u2028\u2029\x0b\x0c]", file)
    spoken = [c for c in captions if visible(c.text)]
    assert len(lines) == len(spoken)
    for line, caption in zip(lines, spoken, strict=True):
        name = f"{visible(caption.speaker)}: " if visible(caption.speaker) else ""
        assert line.split("] ", 1)[1] == name + visible(caption.text)


# --- JSON and all of them -------------------------------------------------------------------


@given(TRANSCRIPTS, st.text())
def test_json_has_every_caption_as_it_is_on_the_wire(captions: list[Caption], call: str):
    file = to_json(call, captions)
    file.encode()
    read = json.loads(file)
    assert read.keys() == {"call", "captions"}
    assert [c["utterance"] for c in read["captions"]] == [c.utterance for c in captions]
    for wire, caption in zip(read["captions"], captions, strict=True):
        assert wire["text"] == re.sub("[\ud800-\udfff]", "\ufffd", caption.text)
        assert ("words" in wire) is (caption.words is not None)


def test_a_final_without_text_is_kept_in_json_and_left_out_of_what_people_read():
    finals = [final(" "), final("Yes.", 2000, 3000, utterance="u-2")]
    assert len(json.loads(to_json("c", finals))["captions"]) == 2
    assert [cue.identifier for cue in read_vtt(to_vtt(finals))] == ["u-2"]
    assert len(read_srt(to_srt(finals))) == 1
    assert to_text(finals).count("\n") == 1


def test_finals_are_put_in_order_of_their_start():
    finals = [final("second", 2000, 3000), final("first", 1000, 5000, utterance="u-2")]
    assert [c["text"] for c in json.loads(to_json("c", finals))["captions"]] == ["first", "second"]
    assert [cue.text for cue in read_vtt(to_vtt(finals))] == ["first", "second"]
    assert to_text(finals).splitlines()[0].endswith("first")


@pytest.mark.parametrize(
    ("name", "media_type", "begins"),
    [
        ("json", "application/json", '{"call": "standup-42", "captions": [{'),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\nu-1\n"),
        ("srt", "application/x-subrip; charset=utf-8", "1\n00:00:01,000 -->"),
        ("txt", "text/plain; charset=utf-8", "[00:00:01] Anna: Größe"),
    ],
)
def test_every_format_of_the_contract_is_there(name: str, media_type: str, begins: str):
    written = FORMATS[name]
    assert (written.media_type, written.extension) == (media_type, name)
    assert written.render("standup-42", [final("Größe 你好")]).startswith(begins)
    assert "Größe 你好" in written.render("standup-42", [final("Größe 你好")])


def test_there_are_no_other_formats():
    assert FORMATS.keys() == {"json", "vtt", "srt", "txt"}


# --- speech that was not captioned ----------------------------------------------------------


def test_speech_that_was_not_captioned_is_marked_where_it_is_missing():
    said = final("we go on", start_ms=9000, end_ms=10_000, speaker="Anna", gap_ms=3200)
    gap, cue = read_vtt(to_vtt([said]))
    assert (gap.start_ms, gap.end_ms) == (5800, 9000)
    assert "(4 s not captioned)" in to_vtt([said])
    assert cue.start_ms == 9000
    assert to_text([said]) == "[00:00:05] Anna: (4 s not captioned)\n[00:00:09] Anna: we go on\n"
    assert "Anna: (4 s not captioned)\n" in to_srt([said])
    assert '"gap_ms": 3200' in to_json("c", [said])
    check_cues(read_vtt(to_vtt([said, final("before it", start_ms=6000)])))


def test_a_gap_that_began_before_the_call_begins_with_it():
    (gap, _) = read_vtt(to_vtt([final("hello", start_ms=1000, end_ms=2000, gap_ms=5000)]))
    assert (gap.start_ms, gap.end_ms) == (0, 1000)
