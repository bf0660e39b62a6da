"""docs/asvs.md names every requirement of its chapters once, and only tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = (ROOT / "docs/asvs.md").read_text()

# How many requirements each section of ASVS 5.0.0 has.
SECTIONS = {
    "4.1": 5,
    "4.4": 4,
    "5.1": 1,
    "5.2": 6,
    "5.3": 3,
    "5.4": 3,
    "9.1": 3,
    "9.2": 4,
    "10.1": 2,
    "10.2": 3,
    "10.3": 5,
    "10.4": 16,
    "10.5": 5,
    "10.6": 2,
    "10.7": 3,
    "12.1": 5,
    "12.2": 2,
    "12.3": 5,
    "16.1": 1,
    "16.2": 5,
    "16.3": 4,
    "16.4": 3,
    "16.5": 4,
    "17.1": 2,
    "17.2": 8,
    "17.3": 2,
}
ANSWERS = {"shown", "code", "doc", "operator", "n/a", "open"}

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in TABLE.splitlines()
    if re.match(r"\| \d+\.\d+\.\d+ \|", line)
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)))


def names_of_tests(path: Path) -> set[str]:
    """The names of a file's tests, without running anything of it."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_every_requirement_of_the_chapters_is_there_once():
    wanted = [
        f"{section}.{number}"
        for section, count in SECTIONS.items()
        for number in range(1, count + 1)
    ]
    assert [row[0] for row in ROWS] == wanted


def test_each_has_a_level_and_an_answer_with_its_reason():
    for number, level, asks, answer, reason in ROWS:
        assert level in {"1", "2", "3"}, number
        assert answer in ANSWERS, number
        assert len(asks) > 5, number
        assert len(reason) > 10, number


def test_what_is_shown_is_shown_by_a_test():
    for number, *_, answer, reason in ROWS:
        if answer == "shown":
            assert "::test_" in reason, number


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_exists(file):
    assert {name for each, name in NAMED if each == file} <= names_of_tests(ROOT / file)


def test_other_files_that_are_named_exist():
    for name in re.findall(r"`((?:deploy|signaling|media|surtitle)/[\w/.-]+)`", TABLE):
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([\w./-]+\.md)", TABLE):
        assert (ROOT / "docs" / link).exists(), link


def test_no_test_is_named_in_another_way():
    assert TABLE.count("::test_") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", TABLE))
