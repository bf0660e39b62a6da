"""What becomes stable, and that it stays so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.agreement import Agreement, agreeing_words, spoken_form
from captions.types import HeardWord, join

# Few words, so that hypotheses often agree for a while.
WORD = st.sampled_from(
    [" ask", " Ask", " ask,", " not", " what", " self", "-made", " self-made", " ", "好"]
)
TEXTS = st.lists(WORD, max_size=8)
SETTINGS = st.builds(
    Agreement,
    agreeing=st.integers(2, 4),
    hold_back=st.integers(0, 3),
)


def said(*texts: str) -> tuple[HeardWord, ...]:
    return tuple(HeardWord(text, (n,)) for n, text in enumerate(texts))


def sentence(text: str) -> tuple[HeardWord, ...]:
    return said(*(f" {word}" for word in text.split()))


@given(SETTINGS, st.lists(TEXTS, max_size=20), st.data())
def test_whatever_the_recognizer_says_stable_text_only_grows(
    agreement: Agreement, hypotheses: list[list[str]], data: st.DataObject
):
    for texts in hypotheses:
        before = agreement.stable_text
        limit = data.draw(st.none() | st.integers(0, 5))
        words = said(*texts)
        taken = agreement.update(words, limit)
        assert taken is join(words).startswith(before)
        if not taken:
            assert agreement.stable_text == before
        assert agreement.stable_text.startswith(before)
        assert join(agreement.newest).startswith(agreement.stable_text)


@given(SETTINGS, st.lists(TEXTS, max_size=20))
def test_a_word_that_was_committed_is_never_taken_back(
    agreement: Agreement, tails: list[list[str]]
):
    for tail in tails:
        committed = agreement.committed
        assert agreement.update((*committed, *said(*tail)))
        assert agreement.committed[: len(committed)] == committed


@given(SETTINGS, st.lists(TEXTS, max_size=20), st.sampled_from([",", "-made", "."]))
def test_a_committed_word_may_grow_but_not_change(
    agreement: Agreement, tails: list[list[str]], growth: str
):
    for n, tail in enumerate(tails):
        committed, stable = agreement.committed, agreement.stable_text
        if committed and n % 2:
            last = committed[-1]
            committed = (*committed[:-1], HeardWord(last.text + growth, last.tokens))
        agreement.update((*committed, *said(*tail)))
        assert agreement.stable_text.startswith(stable)


def test_three_hypotheses_commit_what_they_agree_on_less_the_newest_two_words():
    agreement = Agreement(agreeing=3, hold_back=2)
    for text in ("ask not what", "ask not what your", "ask not what your country"):
        assert agreement.stable_text == ""
        agreement.update(sentence(text))
    assert agreement.stable_text == "ask"


def test_two_hypotheses_are_not_enough_where_three_must_agree():
    agreement = Agreement(agreeing=3, hold_back=0)
    agreement.update(sentence("ask not"))
    agreement.update(sentence("ask not"))
    assert agreement.stable_text == ""


def test_one_hypothesis_that_differs_holds_the_rest_back():
    agreement = Agreement(agreeing=3, hold_back=0)
    for text in ("ask not what", "ask knot what", "ask not what"):
        agreement.update(sentence(text))
    assert agreement.stable_text == "ask"


def test_a_hypothesis_that_drops_stable_text_changes_nothing():
    agreement = Agreement(agreeing=2, hold_back=0)
    agreement.update(sentence("ask not what"))
    agreement.update(sentence("ask not what"))
    newest = agreement.newest
    assert not agreement.update(sentence("bask not what your"))
    assert agreement.stable_text == "ask not what"
    assert agreement.newest == newest


def test_words_that_are_grouped_otherwise_later_take_nothing_back():
    agreement = Agreement(agreeing=2, hold_back=0)
    agreement.update(said(" self-made"))
    agreement.update(said(" self-made"))
    assert agreement.update(said(" self", "-made", " man"))
    assert agreement.stable_text == "self-made"


def test_a_limit_holds_back_what_would_be_committed_but_takes_nothing_back():
    agreement = Agreement(agreeing=2, hold_back=0)
    agreement.update(sentence("ask not what"))
    agreement.update(sentence("ask not what"), limit=2)
    assert agreement.stable_text == "ask not"
    agreement.update(sentence("ask not what"), limit=1)
    assert agreement.stable_text == "ask not"


@pytest.mark.parametrize(
    ("text", "form"), [(" Ask,", "ask"), ("self-made", "selfmade"), (" …", "…"), (" ÜBER", "über")]
)
def test_words_are_compared_without_case_and_punctuation(text: str, form: str):
    assert spoken_form(text) == form


def test_agreeing_words_are_the_leading_ones_only():
    assert agreeing_words(sentence("Ask, not me"), sentence("ask not you")) == 2
    assert agreeing_words(sentence("no yes"), sentence("oh yes")) == 0
    assert agreeing_words((), sentence("ask")) == 0
