"""What an outside recognizer may bring, and the finals that it makes; no I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from captions.types import timed
from media.control import LARGEST_ORDER
from signaling.brought import (
    BringCaptions,
    BroughtCaption,
    BroughtWord,
    finals_of,
    idempotency_key,
    key_digest,
)
from signaling.captions_http import LARGEST_BODY
from signaling.errors import ContractError
from signaling.messages import CallRef, Participant, checked
from signaling.orders import Publish, to_json
from tests.contract import breaks_of_event
from tests.recordings import ROOT

REF = CallRef("standup-42", 1_795_794_490_888_123, 1_700_000_000_000, version=1_795_794_491)

SAID: dict[str, Any] = {
    "speaker": "Anna",
    "language": "en-US",
    "text": " ask\n not  what ",
    "start_ms": 1000,
    "end_ms": 2300,
}


def brought(*captions: dict[str, Any]) -> BringCaptions:
    return checked(BringCaptions, {"captions": list(captions)})


def finals(*captions: dict[str, Any], people=None):
    return finals_of("a", "key", brought(*captions), people or {})


def test_a_final_is_one_as_our_own_are():
    [final] = finals(SAID)
    assert (final.text, final.stable, final.final, final.revision) == ("ask not what", 12, True, 1)
    assert [(w.text, w.start_ms, w.end_ms) for w in timed(final).words] == [
        ("ask", 1000, 1400),
        ("not", 1400, 1800),
        ("what", 1800, 2300),
    ]
    assert {word.confidence for word in timed(final).words} == {1.0}
    assert final.confidence == 1.0
    assert breaks_of_event("caption", final.numbered(1).to_wire()) == []


def test_words_and_how_sure_they_are_stay_as_they_were_brought():
    words = [
        {"text": "ask", "start_ms": 1000, "end_ms": 1200, "confidence": 0.5},
        {"text": "not", "start_ms": 1300, "end_ms": 1500, "confidence": 1},
    ]
    [final] = finals({**SAID, "words": words})
    assert [word.to_wire() for word in timed(final).words] == words
    assert final.confidence == 0.75
    [final] = finals({**SAID, "words": words, "confidence": 0.25})
    assert final.confidence == 0.25


def test_a_speaker_without_an_id_is_always_the_same_participant():
    anna, again, ben, named = finals(
        SAID, SAID, {**SAID, "speaker": "Ben"}, {**SAID, "participant": "p-anna"}
    )
    assert anna.participant == again.participant != ben.participant
    assert named.participant == "p-anna"


def test_the_wishes_of_who_is_in_the_call_are_heeded():
    people = {
        "p-anna": Participant("p-anna", "Anna", anonymous=True),
        "p-ben": Participant("p-ben", "Ben", captioned=False),
    }
    [final] = finals({**SAID, "participant": "p-anna"}, people=people)
    assert final.speaker == "Anonymous"
    with pytest.raises(ContractError) as refused:
        finals({**SAID, "participant": "p-ben"}, people=people)
    assert refused.value.code == "forbidden"


@pytest.mark.parametrize(
    "change",
    [
        {"text": "   "},
        {"text": "bell\x07"},
        {"text": "lone \ud800"},
        {"text": "x" * 4001},
        {"text": None},
        {"speaker": ""},
        {"language": "auto"},
        {"language": "spoken"},
        {"start_ms": -1},
        {"start_ms": 1.5},
        {"start_ms": 2301},
        {"end_ms": 2**60},
        {"confidence": 1.1},
        {"confidence": float("nan")},
        {"participant": "no such/id"},
        {"words": [{"text": "ask"}]},
        {"words": [{"text": "ask", "start_ms": 2, "end_ms": 1}]},
        {"words": [{"text": "a", "start_ms": 0, "end_ms": 1}] * 1001},
    ],
)
def test_what_no_recognizer_says_is_refused(change):
    with pytest.raises(ContractError) as refused:
        brought({**SAID, **change})
    assert refused.value.code == "invalid"


@pytest.mark.parametrize("captions", [[], [SAID] * 101, None, SAID])
def test_a_request_brings_one_caption_to_a_hundred(captions):
    with pytest.raises(ContractError) as refused:
        checked(BringCaptions, {"captions": captions})
    assert refused.value.code == "invalid"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        (" 8e03978e-40d5 ", "8e03978e-40d5"),
        (r'"a \"b\" \\"', r'a "b" \\'[:-1]),
        ('"a, b"', "a, b"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_is_a_string_of_structured_fields_or_bare(header, key):
    assert idempotency_key([header]) == key


@pytest.mark.parametrize(
    "headers",
    [[], [""], ['""'], ["a", "a"], ["a b"], ["a,b"], ['"a'], ["x" * 256], ["ü"], ['"\\x"']],
)
def test_what_is_no_key_is_refused(headers):
    with pytest.raises(ContractError) as refused:
        idempotency_key(headers)
    assert refused.value.code == "invalid"


def test_a_fingerprint_is_of_what_is_brought_and_not_of_how_it_is_written():
    same = brought({**SAID, "text": "ask not what", "later": "unknown fields are ignored"})
    assert brought(SAID).fingerprint("k") == same.fingerprint("k")
    assert brought(SAID).fingerprint("k") != brought({**SAID, "end_ms": 2301}).fingerprint("k")
    assert brought(SAID).fingerprint("k") != brought(SAID, SAID).fingerprint("k")
    assert brought(SAID).fingerprint("k") != brought(SAID).fingerprint("l")


def test_each_client_has_keys_of_its_own():
    assert key_digest("switch-1", "1") != key_digest("switch-2", "1") != key_digest(None, "1")


def test_the_largest_request_fits_an_order_to_a_node():
    few, most = {**SAID, "text": "x"}, LARGEST_BODY
    for text in ("a " * 1999, "ü" * 4000, "\u2028x" * 1000, "🙂" * 1000):
        room = len(json.dumps({**few, "text": text.strip()}, ensure_ascii=False).encode()) + 2
        captions = [{**SAID, "text": text}] * min(100, most // room)
        order = Publish(call=REF, captions=finals(*captions))
        assert len(json.dumps(to_json(order))) < LARGEST_ORDER
    word = {"text": "a", "start_ms": 0, "end_ms": 0}
    size = len(json.dumps(word, separators=(",", ":"))) + 1
    words = [word] * 1000
    captions = [{**SAID, "words": words}] * (most // (1000 * size))
    order = Publish(call=REF, captions=finals(*captions))
    assert len(json.dumps(to_json(order))) < LARGEST_ORDER


def test_the_examples_of_the_contract_are_taken():
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    post = described["paths"]["/api/calls/{call}/captions"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    counts = [
        len(brought(*(e["value"].get("captions") or [e["value"]])).captions)
        for e in examples.values()
    ]
    assert counts == [1, 2]
    assert idempotency_key([post["parameters"][0]["example"]])
    schemas = described["components"]["schemas"]
    assert set(schemas["BroughtCaption"]["properties"]) == set(BroughtCaption.model_fields)
    words = schemas["BroughtCaption"]["properties"]["words"]["items"]["properties"]
    assert set(words) == set(BroughtWord.model_fields)
