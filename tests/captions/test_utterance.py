"""One utterance's revisions, its final, and the seam where a long one is split."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.draft import Draft
from captions.types import HeardWord, Hypothesis, Samples, join, to_samples
from captions.utterance import Utterance, UtteranceRules, nothing_said

SPOKEN = [
    "ask",
    "not",
    "what",
    "your",
    "country",
    "can",
    "do",
    "for",
    "you",
    "ask",
    "what",
    "you",
    "can",
    "do",
]


def audio(seconds: float) -> Samples:
    return np.arange(to_samples(seconds)).astype(np.int16)


def heard(
    *texts: str,
    timed: bool = False,
    pace: float = 0.5,
    language: str = "en",
    no_speech: float = 0.0,
    log_probability: float = -0.1,
) -> Hypothesis:
    """A hypothesis of words, one every `pace` seconds where it is timed."""
    words = tuple(
        HeardWord(
            f" {text}",
            (n, n + 1000),
            to_samples(n * pace) if timed else 0,
            to_samples((n + 1) * pace) if timed else 0,
            0.9,
        )
        for n, text in enumerate(texts)
    )
    return Hypothesis(words, language, 1.0, no_speech, log_probability, timed)


def opened(seconds: float = 2.5, start: int = 0) -> Utterance:
    utterance = Utterance("u-1", start)
    utterance.grow(audio(seconds))
    return utterance


def long_one(words: list[str], pace: float, start: int = 0) -> tuple[Utterance, Hypothesis]:
    """An utterance of all these words, of which two hypotheses have been taken."""
    utterance = Utterance("u-1", start)
    utterance.grow(audio(len(words) * pace + 0.1))
    hypothesis = heard(*words, timed=True, pace=pace)
    partial(utterance, hypothesis)
    partial(utterance, hypothesis)
    return utterance, hypothesis


def partial(utterance: Utterance, hypothesis: Hypothesis) -> Draft | None:
    """What is shown of a hypothesis of all the audio that there is."""
    utterance.window()
    return utterance.partial(hypothesis)


def split(utterance: Utterance, hypothesis: Hypothesis) -> tuple[Draft, Utterance]:
    parted = utterance.split(hypothesis, lambda: "u-2")
    assert parted is not None
    return parted


def test_revisions_rise_by_one_and_the_final_is_the_last():
    utterance = opened()
    drafts = [
        partial(utterance, heard("ask", "not")),
        partial(utterance, heard("ask", "not", "what")),
    ]
    utterance.close(to_samples(2), to_samples(1.8))
    drafts.append(utterance.final(heard("ask", "not", "what", timed=True)))
    assert [(d.revision, d.final, d.text) for d in drafts if d] == [
        (1, False, "ask not"),
        (2, False, "ask not what"),
        (3, True, "ask not what"),
    ]
    assert utterance.done
    assert partial(utterance, heard("ask")) is None
    assert utterance.final(heard("ask")) is None


def test_a_partial_that_says_nothing_new_is_no_revision():
    utterance = opened()
    assert partial(utterance, heard("ask", "not"))
    assert partial(utterance, heard("ask", "not")) is None


def test_agreed_words_are_forced_at_the_start_of_the_next_window():
    utterance = opened()
    for _ in range(3):
        partial(utterance, heard(*SPOKEN[:4]))
    window = utterance.window()
    assert window.prefix == ((0, 1000), (1, 1001))
    assert len(window.samples) == to_samples(2.5)


def test_a_final_that_does_not_keep_the_stable_text_is_refused_for_what_was_heard_before():
    utterance = opened()
    for _ in range(3):
        partial(utterance, heard("ask", "not", "what", "your"))
    utterance.close(to_samples(2), to_samples(2))
    final = utterance.final(heard("bask", "knot", timed=True))
    assert final
    assert final.text == "ask not what your"


def test_without_a_last_hypothesis_the_final_is_all_that_was_heard_before():
    utterance = opened()
    shown = partial(utterance, heard(*SPOKEN))
    utterance.close(to_samples(2), to_samples(1.5))
    final = utterance.final(None)
    assert shown
    assert final
    assert shown.text == " ".join(SPOKEN[:8])
    assert (final.text, final.final, final.end) == (" ".join(SPOKEN), True, to_samples(1.5))


def test_words_of_a_final_that_nobody_timed_are_spread_over_it():
    utterance = opened(start=to_samples(60))
    partial(utterance, heard("ask", "not"))
    utterance.close(to_samples(62), to_samples(61.6))
    final = utterance.final(None)
    assert final
    assert [(w.start, w.end) for w in final.words] == [
        (0, to_samples(0.8)),
        (to_samples(0.8), to_samples(1.6)),
    ]


def test_nothing_said_and_nothing_shown_is_no_caption():
    utterance = opened()
    noise = heard("you", no_speech=0.98, log_probability=-1.3)
    assert nothing_said(noise)
    assert partial(utterance, noise) is None
    utterance.close(to_samples(2), to_samples(2))
    assert utterance.final(noise) is None
    assert utterance.done


def test_what_was_shown_and_then_doubted_becomes_an_empty_final():
    utterance = opened()
    assert partial(utterance, heard("you"))
    utterance.close(to_samples(2), to_samples(2))
    final = utterance.final(heard("you", no_speech=0.98, log_probability=-1.3))
    assert final
    assert (final.text, final.final, final.revision) == ("", True, 2)
    assert final.confidence == 0.0


def test_a_loud_but_unsure_word_is_kept():
    assert not nothing_said(heard("yes", no_speech=0.3, log_probability=-1.3))
    assert not nothing_said(heard("yes", no_speech=0.98, log_probability=-0.4))


def test_the_language_first_heard_stays():
    utterance = opened()
    first = partial(utterance, heard("guten", language="de"))
    second = partial(utterance, heard("guten", "tag", language="nl"))
    assert first
    assert second
    assert (first.language, second.language, utterance.window().language) == ("de", "de", "de")


def test_times_are_asked_for_only_where_they_are_needed():
    utterance = opened(2)
    assert not utterance.window().timed
    utterance.grow(audio(9))
    assert utterance.window().timed
    short = opened(2)
    short.close(to_samples(2), to_samples(2))
    assert short.window().timed


def test_a_closed_utterance_takes_no_more_audio_and_gives_back_what_was_behind_its_end():
    utterance = opened(2, start=1000)
    rest = utterance.close(1000 + to_samples(1.5), 1000 + to_samples(1.2))
    assert np.array_equal(np.concatenate([utterance.samples, rest]), audio(2))
    assert utterance.length == to_samples(1.5)
    with pytest.raises(ValueError, match="closed"):
        utterance.grow(audio(1))


def test_a_late_partial_of_a_closed_utterance_is_refused_because_its_audio_may_be_cut_off():
    utterance = opened()
    utterance.close(to_samples(1), to_samples(1))
    assert partial(utterance, heard("ask", "not", "what")) is None


def test_an_utterance_at_the_very_start_of_a_track_may_end_there():
    utterance = Utterance("u-1", 0)
    utterance.grow(audio(1))
    utterance.close(0, 0)
    partial(utterance, heard("ask"))
    final = utterance.final(heard("ask", timed=True))
    assert final
    assert (final.start, final.end) == (0, 0)


def test_a_long_utterance_is_split_behind_a_sentence():
    words = [*SPOKEN[:8], "you.", *SPOKEN[9:]]
    utterance, hypothesis = long_one(words, 0.8)
    final, follower = split(utterance, hypothesis)
    assert final.text == "ask not what your country can do for you."
    assert final.final
    assert utterance.done
    assert utterance.closed
    assert follower.name == "u-2"


def test_a_short_utterance_is_not_split_and_a_long_one_without_a_clause_only_when_it_must_be():
    utterance, hypothesis = long_one(SPOKEN, 0.5)
    assert utterance.split(hypothesis, lambda: "u-2") is None
    utterance, hypothesis = long_one(SPOKEN[:-1], 0.9)  # 11.7 s
    assert utterance.split(hypothesis, lambda: "u-2") is None
    utterance, hypothesis = long_one(SPOKEN, 0.9)  # 12.6 s
    assert utterance.split(hypothesis, lambda: "u-2") is not None


@pytest.mark.parametrize(
    "hypothesis",
    [
        heard(*SPOKEN, timed=False),
        heard("bask", *SPOKEN[1:], timed=True, pace=0.9),
        heard(*SPOKEN, timed=True, pace=0.9, no_speech=0.9, log_probability=-2),
    ],
    ids=["no times", "other words", "nothing said"],
)
def test_a_hypothesis_that_cannot_be_trusted_splits_nothing(hypothesis: Hypothesis):
    utterance, good = long_one(SPOKEN, 0.9)
    partial(utterance, good)
    assert utterance.split(hypothesis, lambda: "u-2") is None
    assert not utterance.done


def test_no_seam_falls_before_the_end_of_the_stable_text_or_before_all_text():
    """Words may be grouped otherwise than when they were committed."""
    utterance = Utterance("u-1", 0, rules=UtteranceRules(0, 0, 0))
    utterance.grow(audio(3))
    for _ in range(3):
        partial(utterance, heard("self-made", "men", "are", timed=True))
    regrouped = heard("self", "made", "men", "are", timed=True)
    first = replace(regrouped.words[1], text="-made")
    regrouped = replace(regrouped, words=(regrouped.words[0], first, *regrouped.words[2:]))
    for _ in range(2):
        partial(utterance, regrouped)
    final, _ = split(utterance, regrouped)
    assert final.text.startswith("self-made")

    blank = heard("", "yes", "it", "is", timed=True)
    utterance = Utterance("u-1", 0, rules=UtteranceRules(0, 0, 0))
    utterance.grow(audio(3))
    partial(utterance, blank)
    partial(utterance, blank)
    final, _ = split(utterance, blank)
    assert final.text


def test_the_captions_of_a_split_meet_at_the_seam_and_the_audio_overlaps_it():
    utterance, hypothesis = long_one(SPOKEN, 0.9, start=to_samples(100))
    final, follower = split(utterance, hypothesis)
    words = len(final.words)
    seam = to_samples(100) + to_samples(words * 0.9)
    assert final.end == seam
    assert utterance.end == seam
    assert follower.start == to_samples(100) + to_samples((words - 3) * 0.9)
    draft = partial(follower, heard(*SPOKEN[words - 3 :], "and", timed=True, pace=0.9))
    assert draft
    assert draft.start == seam
    assert draft.text == " ".join(SPOKEN[words : words + 8])


def test_the_words_before_a_seam_are_forced_upon_the_follower():
    utterance, hypothesis = long_one(SPOKEN, 0.9)
    final, follower = split(utterance, hypothesis)
    assert follower.window().prefix == tuple(w.tokens for w in final.words[-3:])
    assert np.array_equal(follower.samples, audio(len(SPOKEN) * 0.9 + 0.1)[follower.start :])


def test_a_follower_whose_carried_words_are_missing_is_not_believed():
    utterance, hypothesis = long_one(SPOKEN, 0.9)
    _, follower = split(utterance, hypothesis)
    assert partial(follower, heard("something", "else", "altogether", "now")) is None


def test_punctuation_that_grows_on_the_last_carried_word_is_no_word():
    utterance, hypothesis = long_one(SPOKEN, 0.9)
    final, follower = split(utterance, hypothesis)
    at = len(final.words)
    before, last = SPOKEN[at - 3 : at - 1], SPOKEN[at - 1]
    follower.close(follower.end, follower.end)
    draft = follower.final(heard(*before, f"{last},", *SPOKEN[at:], "and"))
    assert draft
    assert draft.text == " ".join([*SPOKEN[at:], "and"])


def test_a_follower_that_is_never_recognized_still_ends_with_what_was_heard_before_the_split():
    utterance, hypothesis = long_one(SPOKEN, 0.9)
    first, follower = split(utterance, hypothesis)
    follower.close(follower.end, follower.end)
    second = follower.final(None)
    assert second
    assert f"{first.text} {second.text}" == " ".join(SPOKEN)
    assert first.end == second.start
    times = [time for word in second.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= second.end - second.start


@given(
    st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0, 1.5)), min_size=12, max_size=60),
    st.lists(st.sampled_from(["", ".", ",", "?"]), min_size=60, max_size=60),
    st.integers(0, 10**9),
)
def test_at_every_split_no_word_is_lost_or_doubled_and_times_go_on(
    spans: list[tuple[float, float]], marks: list[str], start: int
):
    """Words of any length with any pauses, recognized without a fault as they grow."""
    words: list[HeardWord] = []
    at = 0
    for n, (said, pause) in enumerate(spans):
        end = at + to_samples(said)
        words.append(HeardWord(f" w{n}{marks[n]}", (n,), at, end, 0.9))
        at = end + to_samples(pause)
    track = np.zeros(at, np.int16)
    names = count(2)
    utterance = Utterance("u-1", start, rules=UtteranceRules())
    finals: list[Draft] = []

    def recognize(now: int) -> Hypothesis:
        begin = utterance.start - start
        prefix = utterance.window().prefix
        first = next((t[0] for t in prefix), None)
        audible = [
            HeardWord(w.text, w.tokens, w.start - begin, w.end - begin, w.confidence)
            for w in words
            if w.end <= now and (w.start >= begin if first is None else w.tokens[0] >= first)
        ]
        assert tuple(w.tokens for w in audible[: len(prefix)]) == prefix
        return Hypothesis(tuple(audible), "en", timed=True)

    step = to_samples(0.4)
    for now in range(0, at, step):
        utterance.grow(track[now : now + step])
        hypothesis = recognize(min(now + step, at))
        parted = utterance.split(hypothesis, lambda: f"u-{next(names)}")
        if parted:
            finals.append(parted[0])
            utterance = parted[1]
            assert utterance.end == start + min(now + step, at)
        else:
            partial(utterance, hypothesis)
    utterance.close(utterance.end, utterance.end)
    last = utterance.final(recognize(at))
    finals += [last] if last else []

    assert " ".join(final.text for final in finals) == join(words)
    assert [w.tokens for final in finals for w in final.words] == [w.tokens for w in words]
    for before, after in pairwise(finals):
        assert before.start < before.end <= after.start
    for final in finals:
        times = [time for w in final.words for time in (w.start, w.end)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= final.end - final.start


def detected(*words: str, language: str, confidence: float) -> Hypothesis:
    return replace(heard(*words), language=language, language_confidence=confidence)


def test_nothing_is_shown_before_the_language_is_likely_or_there_is_enough_to_judge():
    utterance = Utterance("u-1", 0)
    utterance.grow(audio(0.6))
    assert partial(utterance, detected("bonjour", language="fr", confidence=0.9)) is None
    utterance.grow(audio(1.0))
    assert partial(utterance, detected("bonjour", "à", language="fr", confidence=0.7)) is None
    draft = partial(utterance, detected("bonjour", "à", language="fr", confidence=0.9))
    assert draft
    assert draft.language == "fr"
    assert utterance.window().language == "fr"

    unsure = Utterance("u-2", 0)
    unsure.grow(audio(3.1))
    draft = partial(unsure, detected("bonjour", language="fr", confidence=0.2))
    assert draft
    assert draft.language == "fr"


def test_words_like_those_of_another_language_switch_nothing_before_there_is_enough_to_judge():
    utterance = Utterance("u-1", 0, expected="pt")
    utterance.grow(audio(1.9))
    assert partial(utterance, detected("a", "happy", language="en", confidence=0.9)) is None
    assert utterance.window().language is None
    draft = partial(utterance, detected("a", "rápida", language="pt", confidence=0.3))
    assert draft
    assert draft.language == "pt"

    another = Utterance("u-2", 0, expected="pt")
    another.grow(audio(2.0))
    draft = partial(another, detected("a", "happy", "end", language="en", confidence=0.9))
    assert draft
    assert draft.language == "en"


def test_a_late_answer_is_judged_by_the_audio_that_it_is_of():
    utterance = opened(1.4)
    utterance.window()
    utterance.grow(audio(2.0))
    assert utterance.partial(detected("a", "happy", language="en", confidence=0.9)) is None
    utterance.window()
    draft = utterance.partial(detected("a", "rápida", language="pt", confidence=0.9))
    assert draft
    assert draft.language == "pt"


def test_an_utterance_too_short_to_judge_by_ends_in_the_language_of_the_one_before():
    utterance = Utterance("u-1", 0, expected="pt")
    utterance.grow(audio(1.5))
    utterance.window()
    heard_all = replace(detected("okay", language="en", confidence=0.95), timed=True)
    assert partial(utterance, heard_all) is None
    assert utterance.settled(to_samples(1.0)) is None, "it is heard once more"
    utterance.close(to_samples(1.5), to_samples(1.0))
    assert utterance.window().language == "pt"
    final = utterance.final(detected("okay", language="pt", confidence=1.0))
    assert final
    assert final.language == "pt"


def test_the_language_of_the_utterance_before_is_shown_at_once():
    utterance = Utterance("u-1", 0, expected="de")
    utterance.grow(audio(0.6))
    assert utterance.window().expected == "de"
    draft = partial(utterance, detected("ja", language="de", confidence=0.3))
    assert draft
    assert draft.language == "de"


def test_nothing_is_committed_of_the_first_seconds():
    utterance = Utterance("u-1", 0, language="en")
    utterance.grow(audio(2.3))
    for _ in range(4):
        partial(utterance, heard("and", "so", "am", "I", "fellow"))
    assert utterance.window().prefix == ()
    utterance.grow(audio(0.2))
    for _ in range(3):
        draft = partial(utterance, heard("and", "so", "my", "fellow", "Americans"))
    assert draft
    assert draft.text.startswith("and so my")


def test_a_hypothesis_that_is_not_sure_does_not_become_the_final_without_another_decode():
    for log_probability, settled in ((-0.1, True), (-0.7, False)):
        utterance = Utterance("u-1", 0, language="en")
        utterance.grow(audio(3))
        utterance.pausing = True
        assert utterance.window().timed
        partial(utterance, heard("yes", "it", "is", timed=True, log_probability=log_probability))
        assert (utterance.settled(to_samples(2.5)) is not None) is settled
        assert utterance.settled(to_samples(2.9)) is None, "speech that was not heard"
