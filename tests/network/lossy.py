"""A network that loses packets: the kernel of the namespace drops every so many."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_TABLE = "inet lossy"


@contextmanager
def losing_every(nth: int) -> Iterator[None]:
    """Every `nth` datagram that is large enough for audio does not arrive."""
    _nft(f"add table {_TABLE}")
    try:
        _nft(f"add chain {_TABLE} input {{ type filter hook input priority 0; }}")
        _nft(f"add rule {_TABLE} input udp length > 60 numgen inc mod {nth} 0 counter drop")
        yield
    finally:
        _nft(f"delete table {_TABLE}")


def dropped() -> int:
    """Datagrams that have not arrived so far."""
    found = re.search(r"counter packets (\d+)", _nft(f"list table {_TABLE}"))
    assert found
    return int(found[1])


def _nft(command: str) -> str:
    done = subprocess.run(
        ["nft", command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/sbin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
