"""Which way a text goes from one language to another."""

from __future__ import annotations

import pytest

from captions.ways import same, targets, way

PAIRS = {("en", "pt"), ("pt", "en"), ("de", "en"), ("en", "fr"), ("fr", "de"), ("en", "zt")}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("en", "pt", (("en", "pt"),)),
        ("en-GB", "pt-BR", (("en", "pt"),)),
        ("EN", "PT", (("en", "pt"),)),
        ("de", "pt", (("de", "en"), ("en", "pt"))),
        ("fr", "de", (("fr", "de"),)),
        ("pt", "zh-Hant", (("pt", "en"), ("en", "zt"))),
        ("pt", "zh", ()),
        ("fr", "pt", ()),
        ("ja", "pt", ()),
    ],
)
def test_a_text_goes_directly_or_by_english_or_not_at_all(source, target, expected):
    assert way(PAIRS, source, target) == expected


def test_a_package_for_brazil_goes_before_one_for_portuguese_there_only():
    pairs = {("en", "pt"), ("en", "pb")}
    assert way(pairs, "en", "pt-BR") == (("en", "pb"),)
    assert way(pairs, "en", "pt-PT") == (("en", "pt"),)


def test_norwegian_is_known_by_both_its_names():
    assert way({("nb", "en")}, "no", "en") == (("nb", "en"),)


def test_who_reads_a_language_reads_all_its_regions():
    assert same("pt-BR", "pt")
    assert same("en", "EN-us")
    assert not same("pt", "es")


def test_targets_are_what_something_is_translated_into():
    assert targets(PAIRS) == {"pt", "en", "fr", "de", "zt"}
