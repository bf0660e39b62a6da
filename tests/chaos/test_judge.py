"""The judge of chaos notices what it is there for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.judge import breaks


def caption(utterance: str, revision: int, text: str, **more: Any) -> dict[str, Any]:
    return {
        "utterance": utterance,
        "language": "en",
        "revision": revision,
        "text": text,
        "stable": 0,
        "final": False,
        "seq": None,
        **more,
    }


def final(utterance: str, revision: int, text: str, seq: int) -> dict[str, Any]:
    return caption(utterance, revision, text, stable=len(text), final=True, seq=seq)


ONE, TWO = final("one", 3, "Good morning.", 1), final("two", 1, "Thank you.", 2)
SHOWN = [
    caption("one", 1, "good", stable=0),
    caption("one", 2, "Good mor", stable=5),
    caption("one", 1, "good", stable=0),  # late, and so ignored
    ONE,
    TWO,
    ONE,  # again, as behind a reconnection
]


def test_what_keeps_the_contract_is_not_broken():
    assert breaks([SHOWN, [ONE, TWO]], [TWO, ONE], [ONE, TWO]) == []


@pytest.mark.parametrize(
    ("shown", "transcript", "stored", "word"),
    [
        (SHOWN, [ONE], [ONE], "is not in the transcript"),
        (SHOWN, [ONE, TWO], [ONE], "in the database"),
        (SHOWN, [ONE, TWO], [ONE, TWO | {"text": "Thanks."}], "the database"),
        (SHOWN, [ONE, TWO | {"text": "Thanks."}], [ONE, TWO], "shown was"),
        (SHOWN, [ONE, TWO | {"seq": 3}], [ONE, TWO | {"seq": 3}], "holes or doubles"),
        (SHOWN, [ONE, ONE | {"seq": 2}], [ONE, ONE | {"seq": 2}], "more than one final"),
        ([ONE], [ONE, TWO], [ONE, TWO], "never told of the finals [2]"),
        (SHOWN[:2], [ONE], [ONE], "no final of 'Good mor'"),
        ([*SHOWN, ONE | {"text": "Good evening."}], [ONE, TWO], [ONE, TWO], "two of revision 3"),
        ([*SHOWN, ONE | {"revision": 4}], [ONE, TWO], [ONE, TWO], "behind the final"),
        (
            [caption("one", 2, "Bad mor", stable=3), ONE, TWO],
            [ONE, TWO],
            [ONE, TWO],
            "stable 'Bad' became",
        ),
        (
            [caption("one", 5, "Good"), ONE, TWO],
            [ONE, TWO],
            [ONE, TWO],
            "lower revision than what was shown",
        ),
        ([ONE, TWO | {"seq": None}], [ONE, TWO], [ONE, TWO], "number None, final True"),
    ],
)
def test_what_is_broken_is_named(shown, transcript, stored, word):
    if any(c["final"] and c["seq"] is None for c in shown):
        shown = [*shown, TWO]
    found = breaks([shown], transcript, stored)
    assert any(word in each for each in found), found
