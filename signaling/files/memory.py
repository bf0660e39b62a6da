"""Where uploaded files are: anonymous memory of this gateway, never a disk, and so much of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from signaling.errors import ContractError

FULL_RETRY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class FileRules:
    """`largest_bytes` a file and `memory_bytes` all together; `at_once` are captioned at a time.

    `longest_seconds` of audio are in one at most; of those of a header and of what really comes
    the more count.
    """

    largest_bytes: int = 200 * 2**20
    memory_bytes: int = 2**30
    at_once: int = 1
    longest_seconds: float = 6 * 3600.0
    most_waiting: int = 1000


class FileMemory:
    """What all files of a gateway may take together, and each of them at most; in bytes."""

    def __init__(self, largest: int, together: int) -> None:
        self.largest = largest
        self._together = together
        self.used = 0

    def begin(self, announced: int = 0) -> Upload:
        """Room for a file of which so many bytes are `announced`; more is found as it comes.

        `ContractError` `too_large` or `overloaded`, as `Upload.write`.
        """
        if not hasattr(os, "memfd_create"):  # of Linux
            raise ContractError("unavailable", "this server's system has no memory for files")
        upload = Upload(self)
        try:
            upload.reserve(announced)
        except ContractError:
            upload.close()
            raise
        return upload

    def take(self, count: int) -> None:
        """So much more is used; `overloaded` where it is not there."""
        if self.used + count > self._together:
            why = "too many files wait: there is no memory for another"
            raise ContractError("overloaded", why, FULL_RETRY_MS)
        self.used += count

    def give_back(self, count: int) -> None:
        """So much less is."""
        self.used -= count


class Upload:
    """One file as it comes, and until it is read. To be closed."""

    def __init__(self, memory: FileMemory) -> None:
        self.size = 0
        """Bytes that came."""
        self._memory = memory
        self._reserved = 0
        self._descriptor = os.memfd_create("surtitle-file", os.MFD_CLOEXEC)

    @property
    def descriptor(self) -> int:
        """To read it by; its position is nobody's in particular."""
        return self._descriptor

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; `ContractError` `too_large` or `overloaded`."""
        self.reserve(self.size + len(chunk))
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(chunk)

    def complete(self) -> None:
        """That was all: what was announced besides is given back."""
        self._memory.give_back(self._reserved - self.size)
        self._reserved = self.size

    def reserve(self, size: int) -> None:
        """Make sure of room for `size` bytes in all; errors as `write`."""
        if size > self._memory.largest:
            most = self._memory.largest / 2**20
            raise ContractError("too_large", f"a file has at most {most:g} MiB")
        if size > self._reserved:
            self._memory.take(size - self._reserved)
            self._reserved = size

    def close(self) -> None:
        """Forget it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._memory.give_back(self._reserved)
            self._reserved = 0
