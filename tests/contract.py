"""docs/asyncapi.yaml, to hold against it what a running server says."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.recordings import ROOT

ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"


@cache
def document() -> dict[str, Any]:
    return yaml.safe_load(ASYNCAPI.read_text())


def breaks_of_event(event: str, payload: object, operation: str = "tell") -> list[str]:
    """What is wrong, in words, with an event that a server sent."""
    for message in _messages(operation):
        if message["name"] == event:
            return _breaks(event, _schema_name(message), payload)
    return [f"{event}: no such event"]


def breaks_of_answer(event: str, answer: object) -> list[str]:
    """What is wrong with the acknowledgement of a client's event."""
    if isinstance(answer, dict) and answer.get("ok") is False:
        return _breaks(f"answer to {event}", "Refusal", answer)
    for operation in document()["operations"].values():
        if "reply" in operation and any(
            message["name"] == event for message in _resolved(operation["messages"])
        ):
            reply, _ = _resolved(operation["reply"]["messages"])
            return _breaks(f"answer to {event}", _schema_name(reply), answer)
    return [f"{event}: no such event"]


def resolve(reference: str) -> Any:
    """What a `$ref` of the document leads to; KeyError where that is nothing."""
    found: Any = document()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return resolve(found["$ref"]) if isinstance(found, dict) and "$ref" in found else found


def _messages(operation: str) -> list[dict[str, Any]]:
    return _resolved(document()["operations"][operation]["messages"])


def _resolved(references: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [resolve(reference["$ref"]) for reference in references]


def _schema_name(message: dict[str, Any]) -> str:
    return message["payload"]["$ref"].rsplit("/", 1)[1]


def _breaks(what: str, schema: str, payload: object) -> list[str]:
    found = _validator(schema).iter_errors(payload)
    return [f"{what}: {error.json_path}: {error.message}" for error in found]


@cache
def _validator(schema: str) -> Draft202012Validator:
    """Of a schema that allows nothing which is not documented."""
    components = {"schemas": _closed(document()["components"]["schemas"])}
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": components}
    )


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "allOf" in schema:
        return _closed(_merged(schema["allOf"]))
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed["additionalProperties"] = False
    return closed


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One object of several: nothing that is beside them all would be noticed otherwise."""
    whole: dict[str, Any] = {"type": "object", "required": [], "properties": {}}
    for part in parts:
        schema = resolve(part["$ref"]) if "$ref" in part else part
        whole["required"] = [*whole["required"], *schema.get("required", [])]
        whole["properties"] = {**whole["properties"], **schema["properties"]}
    return whole
