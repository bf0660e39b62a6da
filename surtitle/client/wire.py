"""From JSON to the dataclasses of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known(model: type, wire: Mapping[str, Any]) -> dict[str, Any]:
    """What `model` has a field for: a newer server may send more."""
    return {field.name: wire[field.name] for field in fields(model) if field.name in wire}
