"""Offers: checked, made one of audio alone, and answered by aiortc as a node has it do it."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["media.sdp", "media.peer", "signaling", "aiortc.sdp"]):
    import aioice.ice

    from tests.media.test_fuzz_sdp import Answering, offers

from tests.fuzz import harness

LONGEST = 6_000
"""Bytes; all that a longer one has besides is more of the same, and limits have their tests."""

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: []
answering = Answering()


def one(data: bytes) -> None:
    """The first byte says whose offer it is: a participant's, an SFU's, or one for WHIP."""
    if data:
        answering.take(data[0] % 3, data[1:].decode(errors="surrogateescape"))


if __name__ == "__main__":
    seeds = [bytes([kind]) + offer.encode() for kind in range(3) for offer in offers()]
    harness.run("sdp", one, seeds, LONGEST)
