"""What so many calls need, from what was measured. Pure: `tests.bench.scaling` reads and writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signaling.keeper import SCAN_SECONDS

CHORES_A_SECOND = 2
"""Of each gateway: what `tests.bench.shared_worker.Worker.chores` does once."""

LOOKS_A_SECOND = 1 / SCAN_SECONDS
"""Of the gateway that leads: it reads the summaries of all calls."""

REPORTS_A_SECOND = 2
"""Of each node."""

SPARE_GATEWAYS = 1
"""More than are needed, so that one may die, or be upgraded."""


MOST_GATEWAYS = 1000


class TooManyCalls(Exception):
    """However many gateways there are, what each does beside captions is too much for it."""


@dataclass(frozen=True)
class Shape:
    """Of calls; assumptions. Rates are of somebody who speaks, `changes` of a person in a call."""

    people: int = 4
    viewers: int = 2
    overlap: float = 0.1
    partials_a_second: float = 2.5
    finals_a_second: float = 0.2
    minutes: float = 30.0
    changes: float = 6.0
    busy: float = 0.6

    @property
    def speaking(self) -> float:
        return 1 + self.overlap

    @property
    def sockets(self) -> int:
        return self.people + self.viewers

    @property
    def captions(self) -> float:
        """Of a call, a second."""
        return self.speaking * (self.partials_a_second + self.finals_a_second)

    @property
    def finals(self) -> float:
        """Of a call, a second."""
        return self.speaking * self.finals_a_second


@dataclass(frozen=True)
class GatewayCosts:
    """CPU of one gateway process: of each caption that it gets, and of each that it sends."""

    caption_us: float
    delivery_us: float
    idle_cores: float
    connect_ms: float
    kib_a_socket: float
    mib: float

    @classmethod
    def of(cls, many: Mapping[str, Any], few: Mapping[str, Any]) -> GatewayCosts:
        """From two runs of `tests.bench.fanout`: many viewers a call, and few.

        Two equations: cores - idle = captions x gateways x caption + deliveries x delivery.
        """
        found = [_load(run) for run in (many, few)]
        (c1, d1, cores1), (c2, d2, cores2) = found
        by = c1 * d2 - c2 * d1
        ours, gateways = surtitle(many), many["setup"]["gateways"]
        return cls(
            caption_us=max(0.0, (cores1 * d2 - cores2 * d1) / by) * 1e6,
            delivery_us=max(0.0, (c1 * cores2 - c2 * cores1) / by) * 1e6,
            idle_cores=ours["idle_cores"] / gateways,
            connect_ms=ours["connecting_cpu_ms"],
            kib_a_socket=ours["kib_a_socket_loaded"],
            mib=ours["mib_a_server"],
        )


def surtitle(run: Mapping[str, Any]) -> dict[str, Any]:
    return next(s for s in run["servers"] if s["kind"] == "Surtitle")


def _load(run: Mapping[str, Any]) -> tuple[float, float, float]:
    """Captions times gateways and deliveries a second, and the cores that these took."""
    ours = surtitle(run)
    row = ours["rates"][0]
    captions = row["captions_a_second"] * run["setup"]["gateways"]
    return captions, row["offered_a_second"], row["server_cores"] - ours["idle_cores"]


@dataclass(frozen=True)
class Need:
    """Of `calls` on one Surtitle: one Redis, its gateways and its nodes."""

    calls: float
    nodes: int
    gateways: int
    gateway_load: float
    redis: dict[str, tuple[float, float]]
    """By what is done: how often a second, and the share of Redis's one core."""
    redis_bytes: float

    @property
    def redis_load(self) -> float:
        return sum(load for _, load in self.redis.values())


@dataclass(frozen=True)
class Model:
    shape: Shape
    gateway: GatewayCosts
    shared: Mapping[str, Any]
    """What `tests.bench.shared_load` found."""

    def nodes(self, calls: float, speaking_at_once: float) -> int:
        return math.ceil(calls * self.shape.speaking / (speaking_at_once * self.shape.busy))

    def need(self, calls: float, speaking_at_once: float) -> Need:
        """`speaking_at_once`: what one node bears."""
        nodes = self.nodes(calls, speaking_at_once)
        gateways = 1
        while self._gateway_load(calls, nodes, gateways) > self.shape.busy:
            gateways += 1
            if gateways > MOST_GATEWAYS:
                raise TooManyCalls
        gateways += SPARE_GATEWAYS
        load = self._gateway_load(calls, nodes, gateways)
        kept = self.shape.finals * self.shape.minutes * 60 / 2
        redis = self.shared["redis"]
        size = redis["bytes_a_call"] + min(2000, kept) * redis["bytes_a_final"]
        return Need(calls, nodes, gateways, load, self._redis(calls, nodes, gateways), size * calls)

    def apart(self, calls: int, speaking_at_once: float) -> tuple[int, Need]:
        """How many Surtitles with a Redis each, and what each of them needs."""
        count = 1
        while not self.fits(calls / count, speaking_at_once):
            count += 1
        return count, self.need(calls / count, speaking_at_once)

    def fits(self, calls: float, speaking_at_once: float) -> bool:
        """Whether one Redis, and gateways, bear so many."""
        try:
            return self.need(calls, speaking_at_once).redis_load <= self.shape.busy
        except TooManyCalls:
            return False

    def _gateway_load(self, calls: float, nodes: int, gateways: int) -> float:
        """Of the one that leads, which has the most to do."""
        shape, cost = self.shape, self.gateway
        a_call = gateways * (1 - (1 - 1 / gateways) ** shape.sockets)
        captions = calls * shape.captions * a_call * cost.caption_us
        deliveries = calls * shape.captions * shape.sockets * cost.delivery_us
        joins = calls * shape.sockets / (shape.minutes * 60) * cost.connect_ms * 1000
        chores = CHORES_A_SECOND * self._of_nodes("chores", "process_us", nodes)
        looks = LOOKS_A_SECOND * self._of_summaries("process_us", calls)
        return cost.idle_cores + ((captions + deliveries + joins) / gateways + chores + looks) / 1e6

    def _redis(self, calls: float, nodes: int, gateways: int) -> dict[str, tuple[float, float]]:
        shape, redis = self.shape, self.shared["redis"]
        begun = calls / (shape.minutes * 60)
        done = {
            "partials": (calls * (shape.captions - shape.finals), redis["partial"]["redis_us"]),
            "finals": (calls * shape.finals, redis["final"]["redis_us"]),
            "finals written": (calls * shape.finals, redis["written"]["redis_us"]),
            "changes of a call": (
                begun * shape.people * shape.changes,
                redis["change"]["redis_us"],
            ),
            "placements": (begun, self._of_nodes("reserve", "redis_us", nodes)),
            "heartbeats of nodes": (
                REPORTS_A_SECOND * nodes,
                self._of_nodes("report", "redis_us", nodes),
            ),
            "chores of gateways": (
                CHORES_A_SECOND * gateways,
                self._of_nodes("chores", "redis_us", nodes),
            ),
            "summaries of all calls": (LOOKS_A_SECOND, self._of_summaries("redis_us", calls)),
        }
        return {what: (often, often * us / 1e6) for what, (often, us) in done.items()}

    def _of_nodes(self, what: str, field: str, nodes: int) -> float:
        return line(
            {int(n): row[what][field] for n, row in self.shared["redis"]["nodes"].items()}, nodes
        )

    def _of_summaries(self, field: str, calls: float) -> float:
        rows = self.shared["redis"]["summaries"].items()
        return line({int(n): row[field] for n, row in rows}, calls)


def line(points: Mapping[int, float], at: float) -> float:
    """Between the fewest and the most that were measured, and on beyond; never below the least."""
    low, high = min(points), max(points)
    if low == high:
        return points[low]
    slope = (points[high] - points[low]) / (high - low)
    return max(min(points.values()), points[low] + slope * (at - low))
