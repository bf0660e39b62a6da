"""What is masked, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.profanity import mask, masked
from captions.types import Word
from tests.signaling.bus_contract import final


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Oh shit, that is bad.", "Oh s***, that is bad."),
        ("en-GB", "SHIT! Shit?", "S***! S***?"),
        ("de", "So ein Arsch!", "So ein A****!"),
        ("pt-BR", "Que merda.", "Que m****."),
        ("en", "We live in Scunthorpe, and assume the class passes.", None),
        ("de", "Oh shit.", None),
        ("tlh", "shit", None),
    ],
)
def test_swear_words_of_the_language_are_masked_and_whole_words_only(language, text, expected):
    assert mask(text, language) == (expected or text)


def test_a_caption_is_masked_in_its_text_its_words_and_its_original():
    caption = final(
        "u-1",
        "Que merda.",
        language="pt",
        source_language="en",
        source_text="What shit.",
        words=(Word("Que", 0, 1, 1.0), Word("merda.", 1, 2, 1.0)),
    )
    clean = masked(caption)
    assert clean.text == "Que m****."
    assert [word.text for word in clean.words or ()] == ["Que", "m****."]
    assert clean.source_text == "What s***."
    assert masked(final("u-2", "ask not")) == final("u-2", "ask not")


@given(st.text(), st.sampled_from(["en", "de", "pt", "zh", "ja", "xx"]))
def test_a_mask_changes_no_length_and_nothing_twice(text, language):
    once = mask(text, language)
    assert len(once) == len(text)
    assert mask(once, language) == once
