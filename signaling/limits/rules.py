"""The limits that an operator may set, and what whoever goes past one is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

from signaling.errors import Code, ContractError

BURST_SECONDS: Final = 10
"""What may come at once of a limit per second; of one per minute it is a minute's worth."""

FULL_RETRY_MS: Final = 5000
"""When to try again where too much is open."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and one more each `interval_seconds`."""

    interval_seconds: float
    burst: int


def _limit(default: int, code: Code = "rate_limited") -> Any:
    return field(default=default, metadata={"code": code})


@dataclass(frozen=True, slots=True)
class Limits:
    """Each by name; 0 is none. `docs/limits.md` says what each is for.

    What one client or tenant may do is `rate_limited`, what a call or a gateway has room for
    `overloaded`.
    """

    connections_per_address: int = _limit(2000)
    connections_per_subject: int = _limit(2000)
    silent_connections_per_address: int = _limit(500)
    connects_per_address_per_minute: int = _limit(6000)
    probes_per_address_per_minute: int = _limit(600)
    page_requests_per_address_per_minute: int = _limit(30_000)
    reads_per_address_per_minute: int = _limit(6000)
    writes_per_address_per_minute: int = _limit(3000)
    brought_per_address_per_minute: int = _limit(12_000)
    whip_requests_per_address_per_minute: int = _limit(3000)
    uploads_per_address_per_minute: int = _limit(600)
    events_per_socket_per_second: int = _limit(50)
    audio_events_per_socket_per_second: int = _limit(500)
    message_bytes: int = _limit(256 * 1024, "too_large")
    offers_per_participant_per_minute: int = _limit(60)
    calls_per_tenant_per_minute: int = _limit(6000)
    streams_per_tenant: int = _limit(10_000)
    streams_per_gateway: int = _limit(10_000, "overloaded")
    tracks_per_call: int = _limit(500, "overloaded")
    audio_seconds_per_session: int = _limit(24 * 3600, "too_large")

    @classmethod
    def of(cls, pairs: Iterable[str], environment: Mapping[str, str] | None = None) -> Self:
        """`name=value` each, which stand above variables `SURTITLE_LIMIT_<NAME>`. ValueError."""
        given = {}
        for name in NAMES:
            variable = f"SURTITLE_LIMIT_{name.upper()}"
            if environment and environment.get(variable):
                given[name] = environment[variable]
        for pair in pairs:
            name, _, value = pair.partition("=")
            given[name.strip().replace("-", "_")] = value.strip()
        for name, value in given.items():
            if name not in NAMES:
                raise ValueError(f"{name!r} is no limit; there are {', '.join(NAMES)}")
            if not (value.isascii() and value.isdigit() and len(value) <= 12):
                raise ValueError(f"{name}: a whole number, 0 for no limit")
        return replace(cls(), **{name: int(value) for name, value in given.items()})

    def rate(self, name: str) -> Rate | None:
        """A limit per minute or per second; None where there is none."""
        count = self.most(name)
        if not count:
            return None
        if name.endswith("_per_second"):
            return Rate(1 / count, BURST_SECONDS * count)
        return Rate(60 / count, count)

    def most(self, name: str) -> int:
        """The number; 0: no limit."""
        return int(getattr(self, name))

    def refusal(self, name: str, retry_seconds: float | None = None) -> ContractError:
        """What whoever goes past the limit is told."""
        why = f"at most {self.most(name)} {name.replace('_', ' ')}"
        code = CODES[name]
        if code == "too_large":
            return ContractError(code, why)
        retry_ms = FULL_RETRY_MS if retry_seconds is None else max(1, round(retry_seconds * 1000))
        return ContractError(code, why, retry_ms)


CODES: Final[Mapping[str, Code]] = {one.name: one.metadata["code"] for one in fields(Limits)}
NAMES: Final = tuple(CODES)
