"""What clients say of their own connections (W3C webrtc-stats), kept as metrics and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field

from signaling.messages import ClientMessage
from signaling.metrics import Reading

MOST_STATS: Final = 500
"""Of one report; a browser in a call of twenty has some 300."""

Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Stats(ClientMessage):
    """One `RTCStats` of a report. What is not said here is not kept."""

    type: Annotated[str, Field(max_length=64)]
    roundTripTime: Seconds | None = None  # noqa: N815 - WebRTC's name, as those below
    jitter: Seconds | None = None
    fractionLost: Share | None = None  # noqa: N815


class Report(ClientMessage):
    """`POST /api/calls/{call}/quality`: the values of an `RTCStatsReport`."""

    stats: list[Stats] = Field(max_length=MOST_STATS)


class Quality:
    """Sums over all reports: whoever reads the metrics divides them."""

    def __init__(self) -> None:
        self._reports = 0
        self._received = 0
        self._round_trip_seconds = self._jitter_seconds = self._lost = 0.0

    def take(self, report: Report) -> None:
        """Add what receivers told the client of what it sends (`remote-inbound-rtp`)."""
        self._reports += 1
        for stats in report.stats:
            if stats.type == "remote-inbound-rtp":
                self._received += 1
                self._round_trip_seconds += stats.roundTripTime or 0
                self._jitter_seconds += stats.jitter or 0
                self._lost += stats.fractionLost or 0

    def readings(self) -> Iterable[Reading]:
        """For the metrics."""
        yield "client_reports_total", "Reports of clients on their connections.", self._reports
        yield "client_streams_total", "Streams that those reports were of.", self._received
        yield (
            "client_round_trip_seconds_total",
            "Round trip times of those streams, summed.",
            self._round_trip_seconds,
        )
        yield (
            "client_jitter_seconds_total",
            "Jitter of those streams, summed.",
            self._jitter_seconds,
        )
        yield (
            "client_lost_ratio_total",
            "Shares of packets that those streams had lost, summed.",
            self._lost,
        )
