"""docs/asyncapi.yaml says of Socket.IO what the server does; no I/O.

What a running server sends is held against it by every `tests.peer.Peer`.
"""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from captions.types import Caption, Word
from signaling import messages, telephony_ws, transcribe_socket, transcribe_ws
from signaling.audio import Encoding, SampleRate
from signaling.errors import Code, ContractError
from signaling.messages import ClientMessage, Participant, State, checked
from signaling.older_clients import Transcribed, subscription
from signaling.socket import SocketServer
from signaling.tenure import Tenures
from signaling.tokens import Everybody
from tests.contract import breaks_of_answer, breaks_of_event, document, resolve

MODELS = {
    "Join": messages.Join,
    "Watch": messages.Watch,
    "Update": messages.Update,
    "Since": messages.Since,
    "Offer": messages.Offer,
    "Candidate": messages.Candidate,
    "Signal": messages.Signal,
    "Refresh": messages.Refresh,
    "Token": transcribe_ws.Token,
    "StartTranscription": transcribe_socket.Start,
    "Configure": transcribe_ws.Configure,
    "Config": transcribe_ws.Config,
    "Metadata": telephony_ws.Metadata,
}


def schema(name: str) -> dict[str, Any]:
    return document()["components"]["schemas"][name]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + references(list(node.values()))
    return (
        [found for value in node for found in references(value)] if isinstance(node, list) else []
    )


def test_every_reference_leads_somewhere():
    found = references(document())
    assert found
    for reference in found:
        resolve(reference)


def taken(channel: str) -> list[str]:
    """The names of what clients send to a channel."""
    return [
        resolve(message["$ref"])["name"]
        for operation in document()["operations"].values()
        if operation["action"] == "receive"
        and operation["channel"]["$ref"] == f"#/channels/{channel}"
        for message in operation["messages"]
    ]


def test_the_events_are_those_that_the_server_takes():
    server = SocketServer(Tenures(Everybody(), asyncio.TaskGroup()), [])
    assert sorted(taken("root")) == sorted(server._handlers)
    assert sorted(taken("transcribe")) == sorted(server.transcribe._handlers)


@pytest.mark.parametrize("name", MODELS)
def test_what_clients_send_has_the_fields_that_the_server_reads(name):
    documented, model = schema(name), MODELS[name]
    assert set(documented["properties"]) == set(model.model_fields)
    needed = {field for field, info in model.model_fields.items() if info.is_required()}
    assert set(documented.get("required", [])) == needed


@pytest.mark.parametrize(("name", "read"), [("Id", messages.Id), ("Feed", messages.Feed)])
def test_patterns_are_the_server_s(name, read):
    assert schema(name)["pattern"] == get_args(read)[1].pattern
    assert schema("Language")["pattern"] == get_args(messages.Language)[1].pattern


def test_older_clients_say_the_id_alone():
    for example in document()["components"]["messages"]["subscribe-call"]["examples"]:
        assert subscription(example["payload"]).call == "standup-42"


def test_a_transcript_of_older_clients_is_documented():
    [example] = document()["components"]["messages"]["caption"]["examples"]
    transcript = Transcribed(1_795_794_490_888).transcript(Caption.from_wire(example["payload"]))
    assert breaks_of_event("transcript", transcript) == []
    [told] = document()["components"]["messages"]["transcript"]["examples"]
    assert transcript == told["payload"]


def test_states_and_error_codes_are_the_server_s():
    assert set(schema("State")["enum"]) == set(get_args(State))
    assert set(schema("ErrorCode")["enum"]) == set(get_args(Code))
    assert set(schema("Encoding")["enum"]) == set(get_args(Encoding))
    assert set(schema("SampleRate")["enum"]) == set(get_args(SampleRate))
    faults = schema("Fault")["properties"]["error"]["properties"]["code"]["enum"]
    assert set(faults) == {*transcribe_ws.CODES.values(), *transcribe_ws.OTHER_CODES}


def examples() -> list[tuple[type[BaseModel], Any]]:
    named = {f"#/components/schemas/{name}": model for name, model in MODELS.items()}
    return [
        (named[message["payload"]["$ref"]], example["payload"])
        for message in document()["components"]["messages"].values()
        if message["payload"]["$ref"] in named
        for example in message.get("examples", [])
    ]


@pytest.mark.parametrize(("model", "payload"), examples())
def test_the_examples_of_clients_are_taken(model: type[ClientMessage], payload):
    checked(model, payload)


def test_what_the_server_s_types_say_is_documented():
    word = Word("ask", 0, 300, 0.9)
    caption = Caption(
        *("standup-42", "u-1", 1, "p-anna", "Anna", "en", "en", "ask", 3, True),
        start_ms=0,
        end_ms=300,
        confidence=0.9,
        words=(word,),
        seq=1,
        gap_ms=4000,
        source_text="frag",
    ).to_wire()
    assert set(caption) == set(schema("Caption")["properties"])
    assert breaks_of_event("caption", caption) == []
    joined = {"event": "joined", "participant": Participant("p-anna", "Anna").to_wire()}
    assert breaks_of_event("call:participant", joined) == []
    error = {"ok": False, "error": ContractError("overloaded", "full", 500).to_wire()}
    assert breaks_of_answer("call:join", error) == []


@pytest.mark.parametrize(
    "change",
    [{"seq": 0}, {"final": "yes"}, {"unheard_of": 1}, {"text": None}, {"start_ms": -1}],
)
def test_what_is_not_documented_is_noticed(change):
    [example] = document()["components"]["messages"]["caption"]["examples"]
    assert breaks_of_event("caption", example["payload"]) == []
    assert breaks_of_event("caption", example["payload"] | change)


def test_an_event_or_answer_that_is_not_documented_is_noticed():
    assert breaks_of_event("call:gossip", {})
    assert breaks_of_answer("call:gossip", {"ok": True})
    assert breaks_of_answer("call:watch", {"ok": True})
