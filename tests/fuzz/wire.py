"""What anybody may send to the UDP port of a connection, and what only the participant may."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["media", "aioice", "aiortc.rtp"]):
    from aioice import stun

    from tests.media.test_fuzz_rtp import RTCP, RTP, Connected, alone

from tests.fuzz import datagrams, harness


def seeds() -> list[bytes]:
    found = []
    for sequence in datagrams.sequences():
        sent = [datagrams.Datagram(d, RTCP if d[1] >= 192 else RTP) for d in sequence]
        found.append(datagrams.written(sent))
    check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, bytes(12))
    check.attributes["USERNAME"] = "user:name"
    check.attributes["PRIORITY"] = 1
    check.attributes["ICE-CONTROLLING"] = 2
    found.append(alone(bytes(check)))
    check.add_message_integrity(b"password")
    found.append(alone(bytes(check)))
    return found + [alone(head + bytes(1600)) for head in (b"\x80\x60", b"\x80\xc8", b"\0\1")]


if __name__ == "__main__":
    harness.run("wire", Connected().take, seeds(), datagrams.LONGEST_INPUT)
