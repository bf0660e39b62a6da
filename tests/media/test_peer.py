"""Whose track what arrives on an m-line belongs to."""

from __future__ import annotations

import pytest_asyncio

from media.peer import ReceivingPeer
from tests.media.packets import stream, sweep_payloads


@pytest_asyncio.fixture
async def peer():
    async def ended() -> None:
        """Nobody is there to be told."""

    peer = ReceivingPeer(None, ended)
    yield peer
    await peer.close()


def arrive(peer: ReceivingPeer, mid: str, ssrc: int) -> None:
    for packet in stream(sweep_payloads(0.2), ssrc=ssrc):
        peer._deliver(mid, packet)


async def test_a_renewed_line_is_another_track_from_then_on(peer):
    first = peer.renew("0")
    arrive(peer, "0", 1)
    second = peer.renew("0")
    arrive(peer, "0", 2)
    assert first.closed
    assert first.counts.packets == second.counts.packets == 10


async def test_a_line_that_has_ended_is_nobodys(peer):
    track = peer.renew("0")
    peer.end("0")
    arrive(peer, "0", 1)
    assert track.counts.packets == 0


async def test_a_track_with_ssrcs_takes_nothing_of_whoever_had_the_line_before_or_gets_it_next(
    peer,
):
    track = peer.renew("0", frozenset({2}))
    for ssrc in (1, 2, 3):
        arrive(peer, "0", ssrc)
    assert track.counts.packets == 10
    assert not track.closed


async def test_odd_candidates_are_left_out(peer):
    for candidate in (
        {},
        {"candidate": 5},
        {"candidate": "candidate:nonsense"},
        {"candidate": "candidate:1 1 udp 1 127.0.0.1 70000 typ host", "sdpMid": "0"},
        {"candidate": "candidate:1 1 udp 1 a.local 7000 typ host", "sdpMid": "0"},
        {"candidate": "candidate:1 1 udp 1 127.0.0.1 7000 typ host", "sdpMid": ["0"]},
        {"completed": True},
    ):
        await peer.add_candidate(candidate)
