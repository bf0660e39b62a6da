"""A partial that becomes the last word on its utterance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captions.types import Caption, as_final


def partial(text: str, start_ms: int = 1000, end_ms: int = 3000, **more) -> Caption:
    fields = {
        "call": "c",
        "utterance": "u",
        "revision": 4,
        "participant": "p",
        "speaker": "P",
        "language": "en",
        "source_language": "en",
        "stable": 3,
        "final": False,
    }
    return Caption(text=text, start_ms=start_ms, end_ms=end_ms, **(fields | more))


def test_what_was_shown_last_becomes_final_and_higher_than_any_revision():
    final = as_final(partial("ask not what", confidence=0.8))
    assert (final.text, final.final, final.revision, final.stable) == ("ask not what", True, 5, 12)
    assert [w.text for w in final.words] == ["ask", "not", "what"]
    assert final.words[0].start_ms == 1000
    assert final.words[-1].end_ms == 3000
    assert {w.confidence for w in final.words} == {0.8}


@given(text=st.text(max_size=60), length_ms=st.integers(0, 60_000))
def test_words_are_the_text_s_and_in_order_within_its_time(text, length_ms):
    final = as_final(partial(text, 500, 500 + length_ms))
    assert [w.text for w in final.words] == text.split()
    times = [t for w in final.words for t in (w.start_ms, w.end_ms)]
    assert times == sorted(times)
    assert all(500 <= t <= 500 + length_ms for t in times)
    assert final.confidence == 0.0
