"""What a viewer sees while somebody speaks: which changes come at once, which must be confirmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captions.agreement import Agreement
from captions.screen import Screen
from captions.types import HeardWord, join


def said(text: str, doubtful: int = 0) -> tuple[HeardWord, ...]:
    """The words of `text`, of which the model doubts the last so many."""
    texts = text.split()
    sure = len(texts) - doubtful
    return tuple(
        HeardWord(f" {word}", (n,), confidence=0.9 if n < sure else 0.3)
        for n, word in enumerate(texts)
    )


def seen(screen: Screen, *texts: str) -> str:
    for text in texts:
        screen.update((), said(text))
    return join(screen.words)


def test_new_words_are_seen_at_once():
    screen = Screen()
    assert seen(screen, "ask not") == "ask not"
    assert seen(screen, "ask not what your country") == "ask not what your country"


def test_text_that_gets_shorter_stays_on_the_screen():
    assert seen(Screen(), "ask not what your", "ask not") == "ask not what your"


def test_a_newest_word_that_was_half_heard_is_mended_at_once():
    assert seen(Screen(), "my fellow American", "my fellow Americans ask") == (
        "my fellow Americans ask"
    )


def test_a_contradiction_has_to_come_twice_and_what_follows_it_is_seen_meanwhile():
    screen = Screen()
    assert seen(screen, "and so my fellow", "and so am fellow Americans") == (
        "and so my fellow Americans"
    )
    assert seen(screen, "and so am fellow Americans ask") == "and so am fellow Americans ask"


def test_text_that_flips_back_and_forth_is_not_followed():
    screen = Screen()
    seen(screen, "unless to be rather cold")
    for text in ("I'd less to be rather cold and", "unless to be rather cold and") * 3:
        assert seen(screen, text) == "unless to be rather cold and"


def test_the_more_is_at_stake_the_more_often_it_must_come():
    long = "unless to be rather cold hearted and rather selfish is to be"
    other = f"I'd less {' '.join(long.split()[1:])}"
    screen = Screen(look_ahead=20)
    assert seen(screen, long, other, other, other) == long
    assert seen(screen, other) == other


def test_nothing_is_added_while_the_newest_words_themselves_are_in_doubt():
    assert seen(Screen(), "had he married a", "how do you marry the more") == "had he married a"


def test_a_newest_word_that_the_model_doubts_waits_for_the_next_hypothesis():
    screen = Screen()
    assert join(screen.update((), said("ask not what", doubtful=1))) == "ask not"
    assert join(screen.update((), said("ask not what", doubtful=1))) == "ask not what"


def test_capitals_and_marks_change_only_where_they_are_confirmed():
    screen = Screen()
    assert seen(screen, "excuse me I will", "excuse me, I will say") == "excuse me I will say"
    assert seen(screen, "excuse me, I will say") == "excuse me, I will say"


def test_a_mark_behind_the_newest_word_does_not_stay_when_words_follow():
    assert seen(Screen(), "to leave.", "to leave my country") == "to leave my country"


def test_what_is_committed_is_seen_whatever_was_seen_before():
    screen = Screen()
    seen(screen, "and so am I fellow")
    committed = said("and so my")
    assert join(screen.update(committed, said("and so my fellow Americans"))) == (
        "and so my fellow Americans"
    )


def test_only_so_many_words_are_seen_behind_the_committed_ones():
    assert seen(Screen(look_ahead=2), "ask not what your country") == "ask not"


WORDS = st.lists(
    st.sampled_from(["ask", "not", "what", "you", "can", "do"]), min_size=1, max_size=8
)


@given(st.lists(WORDS, max_size=12))
def test_whatever_is_heard_the_screen_begins_with_what_is_stable(texts: list[list[str]]):
    agreement, screen = Agreement(), Screen()
    for text in texts:
        words = said(" ".join(text))
        if agreement.update(words):
            shown = screen.update(agreement.committed, words)
            assert join(shown).startswith(agreement.stable_text)


@given(WORDS, st.lists(st.integers(0, 8), max_size=8))
def test_text_that_is_only_cut_short_now_and_then_never_shrinks(text: list[str], cuts: list[int]):
    screen = Screen()
    longest = 0
    for cut in cuts:
        screen.update((), said(" ".join(text[:cut])))
        assert len(screen.words) >= longest
        longest = len(screen.words)
