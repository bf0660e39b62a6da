"""What a search compares. That searches use it is in `store_contract`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("?! — …\0\t", set()),
        ("Ask not, ask!", {"ask", "not"}),
        ("it's well-known", {"it", "s", "well", "known"}),
        ("Café CAFE\u0301", {"cafe"}),
        ("Straße STRASSE", {"strasse"}),
        ("ΑΘΉΝΑ αθηνα", {"αθηνα"}),
        ("ﬁne x² №5", {"fine", "x2", "no5"}),
        ("İstanbul", {"istanbul"}),
        ("한국어 日本語", {"한국어", "日本語"}),
        ("مُحَمَّد محمد", {"محمد"}),
        # Vowels are letters there, not accents: these are words of their own.
        ("की कु", {"की", "कु"}),
        ("ที่ ดี", {"ที", "ดี"}),
        ("a\ud800b", {"a", "b"}),
    ],
)
def test_words_are_parted_by_signs_and_bare_of_case_and_accents(text, expected):
    assert words(text) == expected


@given(st.text())
def test_what_is_looked_for_is_written_as_what_is_kept(text):
    for word in words(text):
        assert words(word) == {word}
