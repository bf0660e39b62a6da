"""What clients say of their own connections becomes metrics."""

from __future__ import annotations

import pytest

from signaling.errors import ContractError
from signaling.messages import checked
from signaling.metrics import Metrics
from signaling.quality import Quality, Report
from tests.signaling.test_metrics import check_families, parsed


def test_what_receivers_say_of_a_client_s_streams_is_summed():
    quality, metrics = Quality(), Metrics()
    metrics.add(quality.readings)
    received = {"type": "remote-inbound-rtp", "roundTripTime": 0.5, "jitter": 0.25}
    for stats in (
        [received, {"type": "outbound-rtp", "jitter": 9.0}],
        [received | {"fractionLost": 0.125, "id": "R1"}, {"type": "transport"}],
        [],
    ):
        quality.take(checked(Report, {"stats": stats}))
    families = parsed(metrics.text())
    check_families(families)
    values = {
        name.removeprefix("surtitle_client_"): f.samples[0].value for name, f in families.items()
    }
    assert values == {
        "reports": 3,
        "streams": 2,
        "round_trip_seconds": 1.0,
        "jitter_seconds": 0.5,
        "lost_ratio": 0.125,
    }


@pytest.mark.parametrize(
    "stats",
    [
        "none",
        [7],
        [{}],
        [{"type": "remote-inbound-rtp", "roundTripTime": -1}],
        [{"type": "remote-inbound-rtp", "jitter": float("nan")}],
        [{"type": "remote-inbound-rtp", "fractionLost": 1.5}],
        [{"type": "x"}] * 501,
    ],
)
def test_what_is_no_report_is_refused(stats):
    with pytest.raises(ContractError):
        checked(Report, {"stats": stats})
