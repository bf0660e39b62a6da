"""What is shared of a call as text: the fields of its hash, and its summary.

The call itself is one field and each person in it another, so that a change writes and tells
only what has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from signaling.messages import Participant
from signaling.presence import Summary
from signaling.seal import Seal
from signaling.shared_call import Person, SharedCall, WhipSession
from signaling.sources import AnySource, Source
from signaling.store import CallRecord

Fields = dict[str, str]

_PERSON = "p:"
_SOURCE: TypeAdapter[AnySource] = TypeAdapter(Source)


def fields_of(call: SharedCall, seal: Seal) -> Fields:
    """The hash of a version."""
    whole = {
        "record": {**asdict(call.record), "settings": dict(call.record.settings)},
        "created": call.created,
        "source_details": dict(call.source_details),
        "node": call.node,
        "epoch": call.epoch,
        "state": call.state,
        "reason": call.reason,
        "watched_by": sorted(call.watched_by),
        "reads": {gateway: sorted(feeds) for gateway, feeds in call.reads.items()},
        "awaited": sorted(call.awaited),
        "leaving": call.leaving,
        "interrupted_at_ms": call.interrupted_at_ms,
        "moved_at_ms": call.moved_at_ms,
        "empty_since_ms": call.empty_since_ms,
        "ending_since_ms": call.ending_since_ms,
        "ending_by": call.ending_by,
        "reopen": call.reopen,
    }
    fields = {"v": str(call.version), "call": json.dumps(whole)}
    if call.source.kind != "direct":
        fields["source"] = seal.close(call.source.model_dump_json(exclude_defaults=False))
    for who, person in call.people.items():
        fields[_PERSON + who] = json.dumps(_person_to_wire(person))
    return fields


def call_of(fields: Mapping[str, str], seal: Seal) -> SharedCall | None:
    """The version whose hash this is, None for an empty one."""
    if "call" not in fields:
        return None
    whole = json.loads(fields["call"])
    whole["record"] = CallRecord(**whole["record"])
    whole["watched_by"] = frozenset(whole["watched_by"])
    reads = whole.get("reads", {})  # a gateway of before writes none
    whole["reads"] = {gateway: frozenset(feeds) for gateway, feeds in reads.items()}
    whole["awaited"] = frozenset(whole["awaited"])
    whole["leaving"] = tuple(whole["leaving"]) if whole["leaving"] else None
    if "source" in fields:
        whole["source"] = _SOURCE.validate_json(seal.open(fields["source"]))
    people = {
        name.removeprefix(_PERSON): _person_from_wire(json.loads(text))
        for name, text in fields.items()
        if name.startswith(_PERSON)
    }
    return SharedCall(version=int(fields["v"]), people=people, **whole)


def record_of(text: str) -> CallRecord:
    """The record in the field of the call itself."""
    return CallRecord(**json.loads(text)["record"])


def summary_to_text(summary: Summary) -> str:
    """As it is kept beside the call."""
    return json.dumps(asdict(summary) | {"gateways": sorted(summary.gateways)})


def summary_from_text(text: str) -> Summary:
    """The summary of this text."""
    fields = json.loads(text)
    return Summary(**fields | {"gateways": frozenset(fields["gateways"])})


def _person_to_wire(person: Person) -> dict[str, Any]:
    wire = asdict(person)
    if person.whip:
        wire["whip"] |= {"mids": sorted(person.whip.mids), "ufrags": sorted(person.whip.ufrags)}
    return wire


def _person_from_wire(wire: dict[str, Any]) -> Person:
    wire["participant"] = Participant(**wire["participant"])
    whip = wire["whip"]
    if whip:
        sets = {"mids": frozenset(whip["mids"]), "ufrags": frozenset(whip["ufrags"])}
        wire["whip"] = WhipSession(**whip | sets)
    return Person(**wire)
