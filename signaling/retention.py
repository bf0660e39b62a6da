"""When a call is to be forgotten: one rule for every store."""

from __future__ import annotations

from typing import Final

from signaling.store import CallRecord

DAY_MS: Final = 86_400_000
"""Milliseconds of a day; UTC knows no others here."""

_LATEST_MS: Final = 253_402_300_799_000  # the end of the year 9999, where dates end


def expires_at_ms(record: CallRecord, last_sign_ms: int | None = None) -> int | None:
    """When what is kept of a call is due to go, in milliseconds since the Unix epoch.

    `settings["retention_days"]` after its end. A call whose end nobody kept (its gateway
    died, or the store was away) counts from `last_sign_ms`, the newest that was heard or
    seen of it; None where that is not given, since it may be live. None where nothing
    limits how long it is kept, too.
    """
    days = record.settings.get("retention_days")
    if not isinstance(days, int | float):
        return None
    since_ms = last_sign_ms if record.ended_at_ms is None else record.ended_at_ms
    if since_ms is None:
        return None
    return min(int(max(since_ms, record.started_at_ms) + days * DAY_MS), _LATEST_MS)
