"""The names of all keys and channels. `docs/scaling.md` has them as a table."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

SHARDS: Final = 64
"""Of calls. Fixed: another number would lose every call that is live."""

UNWRITTEN_CHANNEL: Final = "unwritten"
"""Tells writers the number of a shard that has a new final."""


def shard_of(call: str) -> int:
    """The shard of a call."""
    return zlib.crc32(call.encode(errors="replace")) % SHARDS


def tag(shard: int) -> str:
    """The hash tag that all keys of a shard begin with."""
    return f"{{s{shard}}}"


def unwritten(shard: int) -> str:
    """Stream of the shard's finals that the store has not got yet."""
    return f"{tag(shard)}:unwritten"


def calls(shard: int) -> str:
    """Hash of the shard's calls: their summaries by id."""
    return f"{tag(shard)}:calls"


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The keys of one call. `base` begins all of them."""

    call: str
    shard: int
    base: str

    @classmethod
    def of(cls, call: str) -> CallKeys:
        """Those of this call."""
        shard = shard_of(call)
        return cls(call, shard, f"{tag(shard)}:c:{call}:")

    @property
    def bus(self) -> str:
        """Hash: fence, newest numbers by feed, how many finals are unwritten."""
        return f"{self.base}bus"

    def finals(self, feed: str) -> str:
        """Stream of a feed's newest finals; the id of an entry is `<seq>-0`."""
        return f"{self.base}finals:{feed}"

    def seen(self, feed: str) -> str:
        """Hash: the number of each of those finals by utterance."""
        return f"{self.base}seen:{feed}"

    @property
    def open(self) -> str:
        """Hash: the newest partial of each utterance without a final, by feed and utterance."""
        return f"{self.base}open"

    def claim(self, key: str) -> str:
        """What an idempotency key stands for."""
        return f"{self.base}claim:{key}"

    def live(self, feed: str) -> str:
        """Channel of a feed's captions."""
        return f"{self.base}live:{feed}"

    @property
    def end(self) -> str:
        """Channel that says when the call is over."""
        return f"{self.base}end"

    @property
    def presence(self) -> str:
        """Hash: the call as all share it."""
        return f"{self.base}call"

    @property
    def changes(self) -> str:
        """Channel of what changes in it."""
        return f"{self.base}changes"


def letters(gateway: str) -> str:
    """Channel of a gateway."""
    return f"gateway:{gateway}"


def registry(name: str) -> str:
    """A key of the registry."""
    return f"{{nodes}}:{name}"


def file_job(job: str) -> str:
    """A file's job as text, and the channel of its changes."""
    return f"{{files}}:job:{job}"


def file_jobs() -> str:
    """Sorted set of all jobs, by when they were posted."""
    return "{files}:all"


def file_jobs_of(subject: str) -> str:
    """Those of a subject."""
    return f"{{files}}:of:{subject}"


def limit(key: str) -> str:
    """When somebody may ask again, or what they have open; `key` begins with the limit's name."""
    return f"{{limits}}:{key}"
