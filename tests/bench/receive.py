"""RTP to PCM: what a packet costs, and what is left of the audio under loss.

`make bench-receive` prints Markdown; with `--chart FILE` it draws it too. Beside the node's
own receiver runs aiortc's track as it is (jitter buffer, decoder thread) with PyAV to 16 kHz,
on the same packets in the same process. Both stand on real ICE and DTLS transports with real
SRTP, and get their datagrams in real time as from ICE's socket; the socket is not measured.
All loss is seeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from aiortc import RTCCertificate

from media.rtp import RtpPacket
from tests.media.packets import displace, encode, lose, stream
from tests.media.receiving import Receiving
from tests.recordings import our_voices

PACKETS_A_SECOND = 50


async def pace(plans: list[tuple[Receiving, list[list[bytes]]]]) -> float:
    """Each 20 ms the datagrams of that tick; the time of the first."""
    begin = time.monotonic() + 0.05
    for tick in range(max(len(ticks) for _, ticks in plans)):
        await asyncio.sleep(max(0.0, begin + tick / PACKETS_A_SECOND - time.monotonic()))
        for receiving, ticks in plans:
            for datagram in ticks[tick] if tick < len(ticks) else ():
                receiving.arrive(datagram)
    await asyncio.sleep(0.3)
    return begin


def speech(seconds: float, *, fec: bool) -> list[bytes]:
    """Our voices without end."""
    pcm = np.concatenate([recording.pcm() for recording in our_voices()[:6]])
    return encode(np.resize(pcm, int(seconds * 48_000)), fec=fec)


async def cost(kind: str, tracks: int, seconds: float, certificate: RTCCertificate) -> float:
    """Microseconds of CPU a packet, of all threads."""
    packets = stream(speech(seconds, fec=False))
    plans = []
    for _ in range(tracks):
        receiving = Receiving(kind, certificate)
        await receiving.start()
        plans.append((receiving, [[receiving.protected(packet)] for packet in packets]))
    before = time.process_time()
    await pace(plans)
    used = time.process_time() - before
    for receiving, _ in plans:
        assert receiving.heard
        await receiving.stop()
    return used / (tracks * len(packets)) * 1e6


@dataclass
class Outcome:
    """Shares in percent, delays in milliseconds behind the time the audio was sent."""

    network: str
    receiver: str
    missing: float = 0.0
    made_up: float = 0.0
    gaps: float = 0.0
    delay_p50: float = 0.0
    delay_p99: float = 0.0
    delay_max: float = 0.0
    delays: list[float] = field(default_factory=list, repr=False)


NETWORKS = {
    "no loss": lambda packets, seed: packets,
    "1% lost": lambda packets, seed: lose(packets, 0.01, seed),
    "3% lost": lambda packets, seed: lose(packets, 0.03, seed),
    "5% lost": lambda packets, seed: lose(packets, 0.05, seed),
    "10% lost": lambda packets, seed: lose(packets, 0.10, seed),
    "5% late by 20–40 ms": lambda packets, seed: displace(packets, 0.05, 2, seed),
}

ROUND_TRIP_SECONDS = 0.03

KINDS = {"aiortc": False, "surtitle": False, "surtitle, FEC": True, "surtitle, NACK": False}
"""Whether the sender adds FEC. With NACK it sends again what is asked for, once, and as much
of that is lost."""


def ticks_of(packets: list[RtpPacket], datagrams: dict[int, bytes]) -> list[list[bytes]]:
    """A packet comes with its own tick, or with that of the last one it comes behind."""
    first, latest = packets[0].timestamp, 0
    ticks: dict[int, list[bytes]] = {}
    for packet in packets:
        latest = max(latest, (packet.timestamp - first) // 960)
        ticks.setdefault(latest, []).append(datagrams[packet.sequence_number])
    return [ticks.get(n, []) for n in range(latest + 1)]


async def losses(seconds: float, seeds: int, certificate: RTCCertificate) -> list[Outcome]:
    payloads = {fec: speech(seconds, fec=fec) for fec in (False, True)}
    plans, runs = [], []
    for network, change in NETWORKS.items():
        for kind, fec in KINDS.items():
            outcome = Outcome(network, kind)
            for seed in range(seeds):
                asked = ROUND_TRIP_SECONDS if kind.endswith("NACK") else None
                receiving = Receiving(kind, certificate, asked)
                await receiving.start()
                sent = stream(payloads[fec])
                datagrams = {p.sequence_number: receiving.protected(p) for p in sent}
                came = change(sent, seed)
                plans.append((receiving, ticks_of(came, datagrams)))
                if asked:
                    for packet in came:
                        del datagrams[packet.sequence_number]
                    again = change([p for p in sent if p.sequence_number in datagrams], seed + 99)
                    receiving.resend = {n: datagrams[n] for n in (p.sequence_number for p in again)}
                runs.append((outcome, receiving))
    begin = await pace(plans)
    for _, receiving in runs:
        await receiving.stop()
    total = len(payloads[False]) * 320
    for outcome, receiving in runs:
        summarize(outcome, receiving, begin, total, seeds)
    return list({id(outcome): outcome for outcome, _ in runs}.values())


def summarize(outcome: Outcome, receiving: Receiving, begin: float, total: int, seeds: int) -> None:
    counts = receiving.track.counts
    counted = total - 16_000  # what is still in a buffer at the end is not missing
    got = sum(max(0, min(start + n, counted) - start) for start, n, _ in receiving.heard)
    gaps = 100 * (counted - got) / counted
    made_up = 100 * counts.concealed_samples / total
    outcome.gaps += gaps / seeds
    outcome.made_up += made_up / seeds
    outcome.missing += (gaps + made_up) / seeds
    outcome.delays += [(when - begin - start / 16_000) * 1000 for start, _, when in receiving.heard]
    outcome.delay_p50, outcome.delay_p99 = np.percentile(outcome.delays, [50, 99])
    outcome.delay_max = max(outcome.delays)


async def measure(tracks: int, rounds: int) -> dict:
    certificate = RTCCertificate.generateCertificate()
    costs: dict[str, list[float]] = {"aiortc": [], "surtitle": []}
    for _ in range(rounds):  # in turns, so that both meet the same machine
        for kind, found in costs.items():
            found.append(await cost(kind, tracks, 4.0, certificate))
    micros = {kind: statistics.median(found) for kind, found in costs.items()}
    outcomes = await losses(20.0, 2, certificate)
    for outcome in outcomes:
        del outcome.delays[:]
    return {
        "tracks": tracks,
        "microseconds_a_packet": micros,
        "tracks_a_core": {k: 1e6 / (m * PACKETS_A_SECOND) for k, m in micros.items()},
        "rounds": costs,
        "networks": [asdict(outcome) for outcome in outcomes],
    }


def markdown(result: dict) -> str:
    lines = ["| receiver | µs a packet | tracks a core |", "| --- | ---: | ---: |"]
    for kind, micros in result["microseconds_a_packet"].items():
        lines.append(f"| {kind} | {micros:.0f} | {result['tracks_a_core'][kind]:.0f} |")
    lines += [
        "",
        "| network | receiver | audio missing | of it concealed | gaps | delay p50 | p99 | most |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for o in result["networks"]:
        shares = " | ".join(f"{o[name]:.1f}%" for name in ("missing", "made_up", "gaps"))
        delays = " | ".join(f"{o[f'delay_{name}']:.0f} ms" for name in ("p50", "p99", "max"))
        lines.append(f"| {o['network']} | {o['receiver']} | {shares} | {delays} |")
    return "\n".join(lines)


def draw(result: dict, path: Path) -> None:
    """Tracks a core, audio missing and delay, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colors = dict(zip(KINDS, ("#8a8f98", "#1f5fbf", "#2a9d8f", "#d9622b"), strict=True))
    figure, (tracks, missing, delay) = plt.subplots(
        1, 3, figsize=(12, 3.6), width_ratios=(1, 2, 2), layout="constrained"
    )
    for kind, count in result["tracks_a_core"].items():
        bar = tracks.bar(kind, count, color=colors[kind])
        tracks.bar_label(bar, fmt="%.0f")
    tracks.set_title("tracks a core")
    lossy = [name for name in NETWORKS if "los" in name]
    x = [0.0 if name == "no loss" else float(name.split("%")[0]) for name in lossy]
    by = {(o["network"], o["receiver"]): o for o in result["networks"]}
    for axes, field_, title in (
        (missing, "missing", "audio missing before concealment, %"),
        (delay, "delay_p99", "delay of audio, p99, ms"),
    ):
        for kind, color in colors.items():
            y = [by[name, kind][field_] for name in lossy]
            axes.plot(x, y, marker="o", color=color, label=kind)
        axes.set_title(title)
        axes.set_xlabel("packets lost, %")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    missing.legend(frameon=False)
    for axes in (tracks, missing, delay):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=60, help="at once, for the cost")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--chart", type=Path, help="draw the figures here (PNG)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    result = asyncio.run(measure(options.tracks, options.rounds))
    print(markdown(result))
    if options.chart:
        draw(result, options.chart)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
