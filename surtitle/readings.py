"""What a node shows to Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from captions.types import SAMPLE_RATE
from media.node import Node
from signaling.metrics import Reading


def node_readings(node: Node) -> Iterable[Reading]:
    """All that it counts, by name."""
    scheduler, counts = node.scheduler, node.counts
    done = scheduler.counts
    engines = [engine for engine in (node.engine, node.final_engine) if engine]
    yield "streams", "Speakers being captioned.", node.streams
    yield "background_streams", "Recordings being captioned.", node.background_streams
    yield "capacity_streams", "Speakers that can be captioned at once.", node.capacity
    yield "audio_seconds_total", "Audio received, in seconds.", counts.audio_seconds
    yield "audio_lost_seconds_total", "Speech never recognized, in seconds.", done.lost_seconds
    yield (
        "recognized_seconds_total",
        "Audio given to the recognizer, partials included, in seconds.",
        done.recognized_seconds,
    )
    yield "caption_finals_total", "Finals published.", counts.finals
    yield (
        "caption_finals_fenced_total",
        "Finals of calls that had another owner by then.",
        counts.finals_fenced,
    )
    yield "caption_partials_total", "Partials published.", counts.partials
    yield "backlog_seconds", "Audio of finals that wait, in seconds.", scheduler.backlog_seconds
    yield "waiting_partials", "Speakers whose partial waits.", scheduler.waiting_partials
    yield "load_level", "0 normal, 1 slower, 2 only finals, 3 saturated.", scheduler.level
    yield "partials_dropped_total", "Partials given up under load.", done.partials_dropped
    yield (
        "recognizer_restarts_total",
        "Recognizer processes replaced.",
        sum(engine.restarts for engine in engines),
    )
    yield (
        "recognizer_windows_total",
        "Windows recognized, partials included.",
        sum(engine.windows for engine in engines),
    )
    yield (
        "recognizer_cpu_seconds_total",
        "Time of the CPU that recognition took, in seconds.",
        sum(engine.cpu_seconds for engine in engines),
    )
    yield "recognizer_failures_total", "Windows never recognized.", done.failures
    translation = node.translation
    yield "translations_total", "Texts translated, partials included.", translation.texts
    yield "translations_failed_total", "Texts that no translator could do.", translation.failed
    yield (
        "translator_restarts_total",
        "Translator processes replaced.",
        sum(translator.restarts for translator in translation.translators),
    )
    received = node.received
    yield "rtp_packets_total", "RTP packets received.", received.packets
    yield "rtp_packets_lost_total", "RTP packets that did not come in time.", received.lost
    yield "rtp_packets_malformed_total", "RTP packets without Opus.", received.malformed
    yield (
        "rtp_packets_refused_total",
        "RTP packets of who does not want to be captioned: not decoded.",
        received.refused,
    )
    yield "rtp_packets_recovered_total", "Lost packets recovered by FEC.", received.recovered
    yield (
        "audio_concealed_seconds_total",
        "Audio made up for lost packets, in seconds.",
        received.concealed_samples / SAMPLE_RATE,
    )
    yield (
        "audio_missing_seconds_total",
        "Audio lost on the way and left as a gap, in seconds.",
        received.missing_samples / SAMPLE_RATE,
    )
    yield (
        "audio_dropped_seconds_total",
        "Audio that came faster than it was taken, in seconds, of tracks that have ended.",
        counts.dropped_seconds,
    )
    yield "speakers_failed_total", "Speakers ended by a fault.", counts.speakers_failed
    yield "calls_failed_total", "Calls ended by a fault.", counts.calls_failed
    yield "call_events_dropped_total", "Events of calls never told.", counts.events_dropped
