"""Fragments of candidates, as a `PATCH` of WHIP brings them, and the candidates in them."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["signaling.sdpfrag", "aiortc.sdp"]):
    from signaling.sdpfrag import LARGEST_FRAGMENT
    from tests.media.test_fuzz_sdp import read_fragment
    from tests.signaling.test_sdpfrag import EXAMPLE, candidates

from tests.fuzz import harness


def one(data: bytes) -> None:
    read_fragment(data.decode(errors="surrogateescape"))


if __name__ == "__main__":
    seeds = [EXAMPLE, EXAMPLE.replace("\r\n", "\n"), candidates("1 1 udp 1 ::1 9 typ host")]
    harness.run("sdpfrag", one, [seed.encode() for seed in seeds], LARGEST_FRAGMENT)
