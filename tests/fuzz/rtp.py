"""Datagrams of RTP and RTCP: parsed, put in order, timed and decoded; and a whole port."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["media"]):
    from tests.media.test_fuzz_rtp import receive, take_at_a_port

from tests.fuzz import datagrams, harness


def one(data: bytes) -> None:
    """The first byte says who takes the others."""
    if data:
        (receive, take_at_a_port)[data[0] & 1](data[1:])


def seeds() -> list[bytes]:
    found = []
    for sequence in datagrams.sequences():
        written = datagrams.written(map(datagrams.Datagram, sequence))
        found += [b"\0" + written, b"\1" + written]
    return found


if __name__ == "__main__":
    harness.run("rtp", one, seeds(), datagrams.LONGEST_INPUT)
