"""PCM, hypotheses and captions as values."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.types import Caption, HeardWord, PcmChunk, Word, join, to_ms, to_samples

WORDS = st.builds(
    Word,
    text=st.text(),
    start_ms=st.integers(0, 2**40),
    end_ms=st.integers(0, 2**40),
    confidence=st.floats(0, 1),
)
CAPTIONS = st.builds(
    Caption,
    call=st.text(),
    utterance=st.text(),
    revision=st.integers(1, 10_000),
    participant=st.text(),
    speaker=st.text(),
    language=st.sampled_from(["en", "pt-BR"]),
    source_language=st.just("en"),
    text=st.text(),
    stable=st.integers(0, 1000),
    final=st.booleans(),
    start_ms=st.integers(0, 2**40),
    end_ms=st.integers(0, 2**40),
    confidence=st.none() | st.floats(0, 1),
    words=st.none() | st.lists(WORDS).map(tuple),
    feed=st.sampled_from(["spoken", "de"]),
    seq=st.none() | st.integers(1, 10_000),
)
CONTRACT = """{
  "call": "standup-42", "utterance": "u-7f3a", "revision": 4, "participant": "p-anna",
  "speaker": "Anna", "language": "en", "source_language": "en",
  "text": "ask not what your country can do", "stable": 19, "final": false,
  "feed": "spoken", "seq": null, "start_ms": 81240, "end_ms": 83900, "confidence": 0.91,
  "words": [{"text": "ask", "start_ms": 81240, "end_ms": 81500, "confidence": 0.97}]
}"""


@given(CAPTIONS)
def test_a_caption_survives_the_wire(caption: Caption):
    assert Caption.from_wire(json.loads(json.dumps(caption.to_wire()))) == caption


def test_the_caption_of_the_contract_is_read_and_written_as_it_stands():
    wire = json.loads(CONTRACT)
    assert Caption.from_wire(wire).to_wire() == wire


def test_absent_words_and_confidence_are_left_out_and_an_absent_seq_is_null():
    wire = json.loads(CONTRACT)
    del wire["words"], wire["confidence"]
    written = Caption.from_wire(wire).to_wire()
    assert "words" not in written
    assert "confidence" not in written
    assert written["seq"] is None


@pytest.mark.parametrize("damage", [{"text": None}, {"colour": "red"}, {"words": [{"text": "a"}]}])
def test_what_is_no_caption_is_refused(damage: dict[str, object]):
    wire = json.loads(CONTRACT) | damage
    if damage == {"text": None}:
        del wire["text"]
    with pytest.raises((KeyError, TypeError)):
        Caption.from_wire(wire)


def test_numbering_a_final_changes_nothing_else_and_not_the_original():
    caption = Caption.from_wire(json.loads(CONTRACT))
    numbered = caption.numbered(7)
    assert (numbered.seq, caption.seq) == (7, None)
    assert dataclasses.replace(numbered, seq=None) == caption


def test_revisions_and_feeds_of_a_caption_share_its_key_and_its_translation_does_not():
    caption = Caption.from_wire(json.loads(CONTRACT))
    assert dataclasses.replace(caption, revision=5, feed="en").key == caption.key
    assert dataclasses.replace(caption, language="de").key != caption.key


def test_the_samples_of_a_chunk_cannot_be_written_to():
    chunk = PcmChunk(480, np.zeros(320, np.int16))
    assert chunk.end == 800
    with pytest.raises(ValueError, match="read-only"):
        chunk.samples[0] = 1


@given(st.integers(0, 2**40))
def test_milliseconds_are_rounded_down(samples: int):
    assert to_ms(samples) * 16 <= samples < (to_ms(samples) + 1) * 16


def test_seconds_become_the_nearest_number_of_samples():
    assert to_samples(0.32) == 5120
    assert to_samples(1 / 3) == 5333


def test_words_are_joined_by_the_white_space_they_keep():
    assert join([HeardWord(" ask", (1,)), HeardWord(" not,", (2, 3))]) == "ask not,"
    assert join([HeardWord("你", (1,)), HeardWord("好", (2,))]) == "你好"
    assert join(()) == ""
