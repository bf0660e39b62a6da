"""Text that ran away from the audio, and repetitions that people do say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.runaway import cut_loop, first_loop, ran_away, said_twice
from captions.types import HeardWord, join, to_samples


def said(text: str) -> tuple[HeardWord, ...]:
    return tuple(HeardWord(f" {word}", (n,)) for n, word in enumerate(text.split()))


COAT = "mend the coat before you go out" + 2 * " before you go out"
QUESTION = "then we will keep the captions on and I will take the first question."


@pytest.mark.parametrize(
    "text",
    [
        COAT,
        "no " * 4,
        "Thank you. thank you thank you, THANK YOU!",
        "a b c d " * 3,
        f"{QUESTION} {QUESTION.capitalize()}",
    ],
)
def test_repetitions_of_a_runaway_are_told(text: str):
    assert ran_away(said(text), to_samples(20))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "no, no, no",
        "ask not what your country can do for you ask what you can do for your country",
        "Far, far away, behind the word mountains, far from the countries",
        "row, row, row your boat gently down the stream",
        "so long and thanks so long and thanks",
        QUESTION,
    ],
)
def test_what_people_say_is_left_alone(text: str):
    words = said(text)
    assert not ran_away(words, to_samples(10))
    assert cut_loop(words, keep=0) == words


def test_more_words_than_anybody_can_say_in_the_time_are_a_runaway():
    words = said(QUESTION + " Ask not what your country can do for you, but who may help.")
    assert len(words) == 27
    assert not ran_away(words, to_samples(3.5))
    assert ran_away(words, to_samples(3))


def test_a_script_without_spaces_is_not_judged_by_the_number_of_its_words():
    text = "今日は天気がいいですね散歩に行きましょう"
    words = tuple(HeardWord(c, (n,)) for n, c in enumerate(text))
    assert not ran_away(words, to_samples(1))


def test_a_long_hum_is_a_runaway():
    assert ran_away((HeardWord(" " + "a" * 100, (1,)),), to_samples(10))


def test_the_loop_begins_behind_the_phrases_first_time():
    assert first_loop(said("well " + "no " * 5)) == 2
    assert first_loop(said("mend it a b c d a b c d a b c d")) == 6


def test_a_loop_is_cut_after_its_first_time():
    assert join(cut_loop(said(COAT), keep=0)) == "mend the coat before you go out"


def test_what_was_said_twice_is_looked_at_again_but_not_cut():
    words = said(f"{QUESTION} {QUESTION}")
    assert said_twice(words)
    assert not said_twice(said(QUESTION))
    assert cut_loop(words, keep=0) == words


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(0, 45))
def test_cutting_keeps_a_beginning_and_never_less_than_was_committed(texts: list[str], keep: int):
    words = said(" ".join(texts))
    kept = cut_loop(words, keep)
    assert kept == words[: len(kept)]
    assert len(kept) >= min(keep, len(words))
    if keep == 0:
        assert not kept or kept == words or first_loop(words) == len(kept)
