"""What clients send: a message of the contract, or an error of the contract."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import ContractError
from signaling.messages import (
    ANONYMOUS,
    Candidate,
    ClientMessage,
    CreateCall,
    Join,
    Offer,
    Participant,
    Signal,
    Since,
    Update,
    Watch,
    checked,
)

MESSAGES = (Join, Watch, Update, Since, Offer, Candidate, Signal, CreateCall)

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150)

# Python's JSON parser gives all of these, numbers without bound and lone surrogates too.
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**1000)
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc"]))
    | st.sampled_from(["auto", "spoken", "en", "pt-BR", "direct", "offer", "a", "p-anna"])
    | st.binary(max_size=8)
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted({name for message in MESSAGES for name in message.model_fields})


def outcome(model: type[ClientMessage], payload: object) -> ClientMessage | ContractError:
    try:
        return checked(model, payload)
    except ContractError as error:
        return error


def invalid(model: type[ClientMessage], payload: object) -> str:
    with pytest.raises(ContractError) as error:
        checked(model, payload)
    assert error.value.code == "invalid"
    return error.value.message


@PROPERTY
@given(model=st.sampled_from(MESSAGES), payload=ANYTHING)
def test_arbitrary_json_is_a_message_or_an_error_and_nothing_else(model, payload):
    made = outcome(model, payload)
    if isinstance(made, ContractError):
        assert made.code == "invalid"
        assert made.message.isprintable()
    else:
        assert isinstance(made, model)


@PROPERTY
@given(
    model=st.sampled_from(MESSAGES),
    payload=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=8),
)
def test_arbitrary_values_of_known_fields_are_a_message_or_an_error_and_nothing_else(
    model, payload
):
    made = outcome(model, payload)
    if isinstance(made, ContractError):
        assert made.code == "invalid"
        assert made.message.split(".")[0].split(":")[0] in FIELDS, "it names the field"
    else:
        made.model_dump_json(exclude={"data"})


@pytest.mark.parametrize("model", MESSAGES)
@pytest.mark.parametrize("payload", [None, 7, "call", [], [{"call": "a"}], True, b"{}"], ids=repr)
def test_what_is_no_object_is_invalid(model, payload):
    assert "object" in invalid(model, payload)


def test_fields_of_tomorrow_are_ignored():
    message = checked(Join, {"call": "a", "emoji": "🙂", "since": 3})
    assert message == Join(call="a", since=3)


def test_what_is_left_out_has_the_contract_s_default():
    assert checked(Join, {"call": "a"}).model_dump() == {
        "call": "a",
        "name": None,
        "language": None,
        "captions_language": "spoken",
        "profanity": "keep",
        "since": 0,
    }
    assert checked(Watch, {"call": "a"}).captions_language == "spoken"
    assert checked(CreateCall, {}).model_dump() == {
        "call": None,
        "source": {"kind": "direct"},
        "language": "auto",
        "captions_languages": [],
        "vocabulary": [],
        "profanity": "keep",
        "noise_reduction": False,
        "retention_days": None,
        "webhook": None,
    }


@pytest.mark.parametrize("call", ["a", "standup-42", "A.b_c:d-9", "x" * 128])
def test_ids_of_the_contract_are_taken(call):
    assert checked(Watch, {"call": call}).call == call


@pytest.mark.parametrize(
    "call", ["", "a b", "a/b", "../a", "a\n", "\na", "x" * 129, "é", "а", "a\x00", "a?", "*", 7]
)
def test_other_ids_are_not(call):
    assert invalid(Watch, {"call": call}).startswith("call:")


@pytest.mark.parametrize("language", ["en", "pt-BR", "zh-Hant-TW", "yue", "auto"])
def test_language_tags_are_taken(language):
    assert checked(Join, {"call": "a", "language": language}).language == language


@pytest.mark.parametrize(
    "language", ["", "english", "e", "en_US", "en-", "-en", "klingon!", "en\n"]
)
def test_what_is_no_language_tag_is_not(language):
    assert invalid(Join, {"call": "a", "language": language}).startswith("language:")


def test_auto_is_no_feed_and_spoken_no_language():
    assert invalid(Join, {"call": "a", "captions_language": "auto"})
    assert invalid(Join, {"call": "a", "language": "spoken"})


def test_a_name_is_trimmed_and_must_be_one():
    assert checked(Join, {"call": "a", "name": "  Zoë 🙂 "}).name == "Zoë 🙂"
    for name in ("", "   ", "x" * 129, "\ud800", 7):
        assert invalid(Join, {"call": "a", "name": name}).startswith("name:")


@pytest.mark.parametrize("since", [-1, 1.5, 1.0, "1", True, None, [1]])
def test_a_number_is_a_number(since):
    assert invalid(Since, {"since": since}).startswith("since:")


@pytest.mark.parametrize("flag", [0, 1, "true", [], {}])
def test_a_flag_is_true_or_false(flag):
    assert invalid(Update, {"captioned": flag}).startswith("captioned:")


def test_lists_are_bounded_and_so_are_their_items():
    assert invalid(CreateCall, {"vocabulary": ["x"] * 201}).startswith("vocabulary:")
    assert invalid(CreateCall, {"vocabulary": ["ok", "x" * 65]}).startswith("vocabulary.1:")
    assert invalid(CreateCall, {"captions_languages": ["de"] * 17})
    assert invalid(CreateCall, {"source": {"kind": "carrier pigeon"}}).startswith("source: kind")
    assert invalid(CreateCall, {"retention_days": 0})


def test_a_candidate_is_as_browsers_send_it():
    browsers = {
        "candidate": "candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host",
        "sdpMid": "0",
        "sdpMLineIndex": 0,
        "usernameFragment": "abcd",
    }
    assert checked(Candidate, browsers).sdpMid == "0"
    assert checked(Candidate, {"candidate": ""}).candidate == ""
    assert checked(Candidate, {"candidate": None}).candidate is None
    assert invalid(Candidate, {"candidate": "x" * 1025})


def test_only_what_an_update_names_changes():
    anna = Participant("p-anna", "Anna", "en", publishing=True)
    assert anna.updated(checked(Update, {})) == anna
    changed = anna.updated(
        checked(Update, {"name": "Ann", "captioned": False, "captions_language": "de"})
    )
    assert changed == Participant("p-anna", "Ann", "en", captioned=False, publishing=True)


def test_an_anonymous_participant_has_a_name_in_the_call_and_none_in_captions():
    anna = Participant("p-anna", "Anna").updated(checked(Update, {"anonymous": True}))
    assert anna.speaker == ANONYMOUS
    assert anna.to_wire()["name"] == "Anna"
    assert anna.updated(checked(Update, {"anonymous": False})).speaker == "Anna"
