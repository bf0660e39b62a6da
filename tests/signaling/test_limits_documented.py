"""docs/limits.md says what the code does."""

from __future__ import annotations

import importlib
import re

from signaling.errors import HTTP_STATUS
from signaling.limits.rules import CODES, NAMES, Limits
from tests.recordings import ROOT

DOCUMENT = ROOT / "docs" / "limits.md"


def rows() -> list[tuple[str, str, str]]:
    found = re.findall(
        r"^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \| .+ \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    return [(name, number.strip(), answer.strip(" `")) for name, number, answer in found]


def test_every_limit_is_in_the_table_with_its_default_and_its_answer():
    told = {name: (number, answer) for name, number, answer in rows() if "." not in name}
    assert list(told) == list(NAMES)
    for name, (number, answer) in told.items():
        assert int(number) == Limits().most(name)
        assert answer == ("closed" if name.startswith("silent") else CODES[name])


def test_what_cannot_be_set_is_what_the_code_has():
    fixed = [row for row in rows() if "." in row[0]]
    assert len(fixed) > 10
    for name, number, answer in fixed:
        module, _, constant = name.rpartition(".")
        value, _, unit = number.partition(" ")
        assert getattr(importlib.import_module(module), constant) == int(value), name
        assert (unit == "s") == ("SECONDS" in constant), name
        assert answer == "closed" or answer in HTTP_STATUS
