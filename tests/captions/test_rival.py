"""Which reading is put to the model beside the newest hypothesis, and which of them stays."""

from __future__ import annotations

import pytest

from captions.rival import MARGIN, MARGIN_A_WORD, rival
from captions.types import HeardWord, join


def said(text: str) -> tuple[HeardWord, ...]:
    return tuple(HeardWord(f" {word}", (n,)) for n, word in enumerate(text.split()))


@pytest.mark.parametrize(
    ("shown", "newest"),
    [
        ("", "ask not"),
        ("ask not", "ask not what"),
        ("ask not what", "ask not"),
        ("ask not whatever", "ask not what your"),
        ("Ask not.", "ask not what"),
    ],
)
def test_nothing_is_put_to_the_model_where_only_the_newest_words_differ(shown: str, newest: str):
    assert rival(said(shown), said(newest)) is None


def test_the_shown_reading_of_a_place_behind_us_goes_on_with_the_newest_words():
    found = rival(said("and so my fellow"), said("and so am I fellow Americans."))
    assert found
    assert join(found.words) == "and so my fellow Americans."
    assert found.left_out == 0


def test_marks_are_those_of_the_newest_where_both_agree():
    found = rival(said("And Mr. John."), said("Mr. John Dashwood had"))
    assert found
    assert join(found.words) == "And Mr. John Dashwood had"
    assert found.left_out == 1


def test_the_shown_reading_stays_unless_the_other_is_more_likely():
    found = rival(said("and so my fellow"), said("and so am I fellow"))
    assert found
    assert found.stays(-2.0, -2.0)
    assert found.stays(-2.0, -2.0 + MARGIN / 2)
    assert not found.stays(-2.0, -2.0 + MARGIN * 2)


def test_words_that_are_simply_left_out_are_given_up_less_easily():
    found = rival(said("and Mister John"), said("Mister John"))
    assert found
    assert found.stays(-2.0, -2.0 + MARGIN_A_WORD)
    assert not found.stays(-2.0, -2.0 + MARGIN + 2 * MARGIN_A_WORD)
