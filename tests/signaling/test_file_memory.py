"""Memory of files: so much each, so much together, and none is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from signaling.errors import ContractError
from signaling.files.memory import FileMemory
from tests.signaling.world import code_of


def test_a_file_takes_what_came_and_gives_it_back():
    memory = FileMemory(largest=100, together=150)
    upload = memory.begin(announced=100)
    assert memory.used == 100
    upload.write(b"abc")
    upload.write(b"def")
    upload.complete()
    assert (memory.used, upload.size) == (6, 6)
    assert os.pread(upload.descriptor, 100, 0) == b"abcdef"
    assert str(Path(f"/proc/self/fd/{upload.descriptor}").readlink()).startswith("/memfd:")
    upload.close()
    upload.close()
    assert memory.used == 0


def test_a_file_that_is_too_large_is_told_so_at_once_or_when_it_shows():
    memory = FileMemory(largest=100, together=1000)
    with pytest.raises(ContractError) as refused:
        memory.begin(announced=101)
    assert code_of(refused) == "too_large"
    upload = memory.begin()
    upload.write(bytes(100))
    with pytest.raises(ContractError) as refused:
        upload.write(b"x")
    assert code_of(refused) == "too_large"
    upload.close()
    assert memory.used == 0


def test_files_that_are_too_many_together_are_told_when_to_come_again():
    memory = FileMemory(largest=100, together=150)
    first = memory.begin(announced=100)
    with pytest.raises(ContractError) as refused:
        memory.begin(announced=60)
    assert code_of(refused) == "overloaded"
    assert refused.value.retry_after_ms
    second = memory.begin()
    second.write(bytes(50))
    with pytest.raises(ContractError) as refused:
        second.write(b"x")
    assert code_of(refused) == "overloaded"
    first.close()
    second.write(b"x")
    second.close()
    assert memory.used == 0
