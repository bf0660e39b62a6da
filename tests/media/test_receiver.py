"""A track's packets to PCM: whole under loss, by RTP timestamp, whatever comes."""

from __future__ import annotations

import itertools
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captions.types import PcmChunk
from media.opus import has_fec
from media.receiver import ReceiveCounts, TrackReceiver
from media.rtp import RtpPacket
from tests.media.packets import displace, encode, lose, stream, sweep_payloads, tone

FRAME = 320  # samples of 20 ms


def receive(receiver: TrackReceiver, packets) -> list[PcmChunk]:
    chunks = [chunk for packet in packets for chunk in receiver.receive(packet)]
    return chunks + receiver.flush()


def timeline(chunks: list[PcmChunk]) -> np.ndarray:
    """The audio on its own time; nothing in it twice."""
    pcm = np.zeros(chunks[-1].end, np.int16)
    for before, chunk in itertools.pairwise(chunks):
        assert chunk.start >= before.end
    for chunk in chunks:
        pcm[chunk.start : chunk.end] = chunk.samples
    return pcm


def check_counts(counts: ReceiveCounts, chunks: list[PcmChunk], packet_length: int = FRAME):
    """The packets that gave audio, and what stands for others, are all there is."""
    assert all(number >= 0 for number in astuple(counts))
    played = counts.packets - counts.duplicates - counts.late - counts.malformed
    made_up = counts.recovered_samples + counts.concealed_samples
    assert sum(len(c.samples) for c in chunks) == played * packet_length + made_up


def whole(payloads) -> np.ndarray:
    return timeline(receive(TrackReceiver(), stream(payloads)))


def test_without_loss_all_is_there_at_once():
    receiver = TrackReceiver()
    for n, packet in enumerate(stream(sweep_payloads(4.0))):
        (chunk,) = receiver.receive(packet)
        assert (chunk.start, len(chunk.samples)) == (n * FRAME, FRAME)
        assert not chunk.samples.flags.writeable
    assert receiver.counts == ReceiveCounts(packets=200)


@pytest.mark.parametrize("fec", [False, True])
@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05, 0.1, 0.3])
def test_under_loss_the_time_line_stays_whole(fec, rate):
    payloads = sweep_payloads(10.0, fec=fec)
    packets = stream(payloads)
    coming = lose(packets, rate, seed=5)
    receiver = TrackReceiver()
    chunks = receive(receiver, coming)
    counts = receiver.counts
    pcm = timeline(chunks)
    assert len(pcm) == len(payloads) * FRAME
    assert counts.lost == len(packets) - len(coming)
    made_up = counts.recovered_samples + counts.concealed_samples
    assert made_up + counts.missing_samples == counts.lost * FRAME
    check_counts(counts, chunks)
    came = {packet.sequence_number for packet in coming}
    offered = [
        after
        for before, after in itertools.pairwise(packets)
        if before.sequence_number not in came and after.sequence_number in came
        if has_fec(after.payload)
    ]
    assert counts.recovered == len(offered)
    assert bool(offered) is fec
    assert counts.lost > 0


def test_fec_is_closer_to_what_was_said_than_concealment():
    payloads = sweep_payloads(10.0, fec=True)
    truth = whole(payloads).astype(float)
    packets = stream(payloads)
    lost = [n for n in range(50, 480, 9) if has_fec(packets[n + 1].payload)]
    assert len(lost) > 20
    kept = [packet for n, packet in enumerate(packets) if n not in lost]
    receiver = TrackReceiver()
    pcm = timeline(receive(receiver, kept)).astype(float)
    errors = [
        np.mean((pcm[n * FRAME : (n + 1) * FRAME] - truth[n * FRAME : (n + 1) * FRAME]) ** 2)
        for n in lost
    ]
    assert receiver.counts.recovered == len(lost)
    assert np.median(errors) < 0.5 * np.mean(truth**2)


@pytest.mark.parametrize("fec", [False, True])
def test_one_lost_packet_delays_its_successors_by_40_ms_at_most(fec):
    packets = stream(sweep_payloads(2.0, fec=fec))
    receiver = TrackReceiver()
    given_at = {}
    for n, packet in enumerate(packets):
        if n != 50:
            for chunk in receiver.receive(packet):
                given_at[chunk.start] = n
    delays = [n - start // FRAME for start, n in given_at.items()]
    assert max(delays[:50] + delays[55:]) == 0
    assert given_at[51 * FRAME] == 53
    assert given_at[52 * FRAME] == given_at[53 * FRAME] == 53


def test_a_long_burst_is_concealed_for_60_ms_and_the_rest_is_a_gap():
    packets = stream(sweep_payloads(4.0))
    receiver = TrackReceiver()
    chunks = receive(receiver, packets[:50] + packets[70:])
    counts = receiver.counts
    assert counts.lost == 20
    assert counts.concealed_samples == 3 * FRAME
    assert counts.missing_samples == 17 * FRAME
    gaps = [(a.end, b.start) for a, b in itertools.pairwise(chunks) if a.end != b.start]
    assert gaps == [(53 * FRAME, 70 * FRAME)]


def test_packets_out_of_order_give_the_same_audio():
    payloads = sweep_payloads(10.0)
    receiver = TrackReceiver()
    chunks = receive(receiver, displace(stream(payloads), 0.1, 2, seed=3))
    assert receiver.counts == ReceiveCounts(packets=500)
    assert (timeline(chunks) == whole(payloads)).all()


def test_doubled_packets_are_heard_once():
    payloads = sweep_payloads(2.0)
    receiver = TrackReceiver()
    doubled = [packet for packet in stream(payloads) for _ in range(2)]
    chunks = receive(receiver, doubled)
    assert receiver.counts == ReceiveCounts(packets=200, duplicates=100)
    assert (timeline(chunks) == whole(payloads)).all()


@pytest.mark.parametrize("packet_ms", [10, 40, 60])
def test_other_packet_lengths(packet_ms):
    payloads = sweep_payloads(4.0, False, packet_ms)
    packets = stream(payloads, packet_ms=packet_ms)
    receiver = TrackReceiver()
    chunks = receive(receiver, lose(packets, 0.05, seed=1))
    assert chunks[-1].end == len(payloads) * packet_ms * 16
    assert receiver.counts.lost > 0
    check_counts(receiver.counts, chunks, packet_ms * 16)


@pytest.mark.parametrize(
    ("sequence_number", "timestamp"), [(65_500, 0), (0, 2**32 - 48_000), (65_535, 2**32 - 1)]
)
def test_numbers_wrap_around(sequence_number, timestamp):
    payloads = sweep_payloads(4.0)
    packets = stream(payloads, sequence_number=sequence_number, timestamp=timestamp)
    receiver = TrackReceiver()
    chunks = receive(receiver, packets[:30] + packets[31:60] + packets[61:])
    assert chunks[-1].end == 4 * 16_000
    assert receiver.counts.lost == 2
    timeline(chunks)


def test_discontinuous_transmission_leaves_gaps_and_counts_no_loss():
    packets = stream(sweep_payloads(4.0))
    for number, packet in enumerate(packets[50:], start=1050):
        packet.sequence_number = number
        packet.timestamp += 10 * 48_000
        packet.arrival_seconds += 10
    receiver = TrackReceiver()
    chunks = receive(receiver, packets)
    starts = [chunk.start for chunk in chunks]
    assert starts[49:51] == [49 * FRAME, 50 * FRAME + 160_000]
    assert receiver.counts == ReceiveCounts(packets=200)


def test_a_packet_lost_in_a_pause_is_no_longer_than_a_packet():
    packets = stream(sweep_payloads(4.0))
    for packet in packets[50:]:
        packet.timestamp += 10 * 48_000
        packet.arrival_seconds += 10
    receiver = TrackReceiver()
    receive(receiver, packets[:49] + packets[50:])
    assert receiver.counts.lost == 1
    assert receiver.counts.concealed_samples == FRAME
    assert receiver.counts.missing_samples == 0


def test_another_ssrc_goes_on_behind_the_first():
    first = stream(sweep_payloads(2.0))
    second = stream(
        sweep_payloads(1.0), ssrc=99, sequence_number=7, timestamp=3, arrival_seconds=2.0
    )
    third = stream(
        sweep_payloads(1.0), ssrc=77, sequence_number=9000, timestamp=77, arrival_seconds=33.0
    )
    receiver = TrackReceiver()
    chunks = receive(receiver, first + second + third)
    assert [chunk.start for chunk in chunks[:150]] == [n * FRAME for n in range(150)]
    assert chunks[150].start == pytest.approx(33 * 16_000, abs=2)
    assert receiver.counts == ReceiveCounts(packets=200)
    timeline(chunks)


def test_stragglers_of_the_ssrc_before_do_not_turn_the_track_back():
    first = stream(sweep_payloads(1.0))
    second = stream(sweep_payloads(1.0), ssrc=99, arrival_seconds=1.0)
    receiver = TrackReceiver()
    chunks = receive(receiver, [*first[:-1], second[0], first[-1], *second[1:]])
    assert receiver.counts.late == 1
    assert chunks[-1].end == 99 * FRAME
    check_counts(receiver.counts, chunks)


def test_an_ssrc_change_gives_what_waits_behind_a_hole():
    first = stream(sweep_payloads(1.0))
    second = stream(sweep_payloads(1.0), ssrc=99, arrival_seconds=1.0)
    receiver = TrackReceiver()
    chunks = receive(receiver, [*first[:48], first[49], *second])
    assert receiver.counts.lost == 1
    assert chunks[-1].end == 100 * FRAME


@pytest.mark.parametrize("jump_seconds", [-1000.0, -0.5, 60.0, 20_000.0])
def test_a_clock_that_jumps_goes_on_behind_what_was_heard(jump_seconds):
    packets = stream(sweep_payloads(2.0), timestamp=2**31)
    for packet in packets[50:]:
        packet.timestamp = int(packet.timestamp + jump_seconds * 48_000) & 0xFFFFFFFF
    receiver = TrackReceiver()
    chunks = receive(receiver, packets)
    assert [chunk.start for chunk in chunks] == [n * FRAME for n in range(100)]


def test_a_sender_that_numbers_anew_costs_one_packet():
    packets = stream(sweep_payloads(2.0))
    for packet in packets[50:]:
        packet.sequence_number = (packet.sequence_number + 30_000) & 0xFFFF
    receiver = TrackReceiver()
    chunks = receive(receiver, packets)
    assert (receiver.counts.late, receiver.counts.lost) == (1, 0)
    assert chunks[-1].end == 100 * FRAME


def test_digital_silence_is_not_decoded():
    packets = stream(sweep_payloads(2.0))
    for packet in packets[50:75]:
        packet.audio_level = 127
        packet.payload = packet.payload[:1] + b"not to be decoded"
    receiver = TrackReceiver()
    pcm = timeline(receive(receiver, packets))
    assert not pcm[50 * FRAME : 75 * FRAME].any()
    assert pcm[40 * FRAME : 50 * FRAME].any()
    assert pcm[80 * FRAME : 90 * FRAME].any()
    assert receiver.counts == ReceiveCounts(packets=100, silent=25)


def test_nothing_is_made_up_for_a_packet_lost_in_silence():
    packets = stream(sweep_payloads(2.0))
    for packet in packets[50:]:
        packet.audio_level = 127
    receiver = TrackReceiver()
    pcm = timeline(receive(receiver, packets[:60] + packets[61:]))
    assert not pcm[50 * FRAME :].any()


def test_a_payload_without_opus_is_counted_and_bridged():
    packets = stream(sweep_payloads(2.0))
    packets[20].payload = b"\xff"  # by its first byte
    packets[40].payload = b"\xf9\x01\x02\x03"  # only libopus sees it
    packets[60].payload = bytes(3000)
    receiver = TrackReceiver()
    chunks = receive(receiver, packets)
    assert receiver.counts == ReceiveCounts(packets=100, malformed=3, concealed_samples=3 * FRAME)
    assert len(timeline(chunks)) == 2 * 16_000


def test_packets_of_padding_alone_leave_no_gap():
    packets = stream(sweep_payloads(2.0))
    for number, packet in enumerate(packets[50:], start=1051):
        packet.sequence_number = number
    padding = replace(packets[49], sequence_number=1050, payload=b"")
    receiver = TrackReceiver()
    chunks = receive(receiver, [*packets[:50], padding, *packets[50:]])
    assert chunks[-1].end == sum(len(chunk.samples) for chunk in chunks) == 2 * 16_000
    assert receiver.counts == ReceiveCounts(packets=101, malformed=1)


def test_two_receivers_share_nothing():
    payloads = encode(tone(1.0))
    alone = whole(payloads)
    one, two = TrackReceiver(), TrackReceiver()
    both = [(one.receive(p), two.receive(p)) for p in stream(payloads)]
    assert (timeline([c for chunks, _ in both for c in chunks]) == alone).all()


def odd_packets():
    real = st.sampled_from(sweep_payloads(1.0, fec=True))
    return st.lists(
        st.builds(
            RtpPacket,
            sequence_number=st.one_of(st.integers(0, 12), st.integers(0, 65_535)),
            timestamp=st.one_of(
                st.integers(0, 12).map(lambda n: n * 960), st.integers(0, 2**32 - 1)
            ),
            ssrc=st.sampled_from([1, 1, 1, 2, 3]),
            payload=st.one_of(real, real, st.binary(max_size=50)),
            audio_level=st.one_of(st.none(), st.sampled_from([0, 60, 127])),
            arrival_seconds=st.floats(0, 30),
        ),
        max_size=60,
    )


@settings(max_examples=300, deadline=None)
@given(odd_packets(), st.sets(st.integers(0, 60)))
def test_whatever_comes_time_goes_on_and_the_counts_add_up(packets, flushes):
    receiver = TrackReceiver()
    chunks: list[PcmChunk] = []
    for n, packet in enumerate(packets):
        chunks += receiver.receive(packet)
        if n in flushes:
            chunks += receiver.flush()
    chunks += receiver.flush()
    assert receiver.waiting == 0
    for before, chunk in itertools.pairwise(chunks):
        assert chunk.start >= before.end
    counts = receiver.counts
    assert all(number >= 0 for number in astuple(counts))
    assert counts.packets == len(packets)
    played = counts.packets - counts.duplicates - counts.late - counts.malformed
    concealed = counts.recovered > 0 or counts.concealed_samples > 0
    assert len(chunks) >= played
    if not concealed:
        assert len(chunks) == played
