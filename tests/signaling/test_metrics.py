"""The exposition that Prometheus reads."""

from __future__ import annotations

import re

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from signaling.limits.rules import NAMES
from signaling.metrics import CONTENT_TYPE, Metrics


def parsed(text: bytes | str):
    text = text.decode() if isinstance(text, bytes) else text
    return {family.name: family for family in text_string_to_metric_families(text)}


def check_families(families) -> None:
    """What holds of every metric of ours."""
    for name, family in families.items():
        assert re.fullmatch(r"surtitle_[a-z][a-z0-9_]*", name)
        assert family.type in ("counter", "gauge"), name
        assert family.documentation, name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            if name == "surtitle_limits_hit":
                assert set(sample.labels) == {"limit"}
                assert sample.labels["limit"] in NAMES
            else:
                assert sample.labels == {}, "no label by call or person"
            assert sample.value >= 0


def test_readings_become_metrics_with_their_kind_help_and_value():
    metrics = Metrics()
    metrics.add(lambda: [("streams", "Speakers.", 3), ("finals_total", "Finals.", 7)])
    families = parsed(metrics.text())
    check_families(families)
    assert families["surtitle_streams"].type == "gauge"
    assert families["surtitle_streams"].documentation == "Speakers."
    assert families["surtitle_streams"].samples[0].value == 3
    assert families["surtitle_finals"].type == "counter"
    assert families["surtitle_finals"].samples[0].name == "surtitle_finals_total"
    assert families["surtitle_finals"].samples[0].value == 7


def test_values_are_read_when_they_are_asked_for():
    metrics, value = Metrics(), [1.0]
    metrics.add(lambda: [("backlog_seconds", "Waiting.", value[0])])
    assert b"surtitle_backlog_seconds 1.0" in metrics.text()
    value[0] = 2.5
    assert b"surtitle_backlog_seconds 2.5" in metrics.text()


def test_several_sources_are_all_asked():
    metrics = Metrics()
    metrics.add(lambda: [("a", "A.", 1)])
    metrics.add(lambda: iter([("b", "B.", 2)]))
    assert set(parsed(metrics.text())) == {"surtitle_a", "surtitle_b"}


def test_without_sources_there_is_nothing():
    assert Metrics().text() == b""


@pytest.mark.asyncio(loop_scope="session")
async def test_the_server_s_metrics_keep_the_rules_and_hold_what_is_promised(server):
    async with aiohttp.ClientSession(server.url) as http, http.get("/metrics") as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == CONTENT_TYPE
        families = parsed(await reply.text())
    check_families(families)
    assert {
        "surtitle_calls",
        "surtitle_participants",
        "surtitle_sockets",
        "surtitle_streams",
        "surtitle_capacity_streams",
        "surtitle_caption_finals",
        "surtitle_audio_lost_seconds",
    } <= set(families)
