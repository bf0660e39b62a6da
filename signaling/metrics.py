"""Prometheus metrics, collected when they are asked for. No label by call or person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Reading = tuple[str, str, float]
"""Name without prefix, help, value; a name that ends in `_total` is a counter."""


class Metrics(Collector):
    """Readings of everything that offers some, as one registry."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._families: list[Callable[[], Iterable[Metric]]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask `source` at each collection."""
        self._sources.append(source)

    def add_families(self, source: Callable[[], Iterable[Metric]]) -> None:
        """The same of readings that need labels, under their full names."""
        self._families.append(source)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        for source in self._sources:
            for name, text, value in source():
                family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                yield family(f"surtitle_{name}", text, value=value)
        for families in self._families:
            yield from families()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
