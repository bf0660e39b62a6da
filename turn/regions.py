"""Which regions' TURN servers somebody is told of, nearest first, by where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ANYWHERE: Final = "*"
"""In `near`: who is where nothing else is said of."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The operator's word on what is near to what; nothing is measured.

    `servers` are URLs by region, `near` regions of servers by where somebody is, nearest first:
    a region, a country, whatever the client or a proxy says. Names are compared in lower case.
    """

    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, servers: tuple[str, ...], near: tuple[str, ...]) -> Regions:
        """Of `REGION=URL,URL` and `WHERE,WHERE=REGION,REGION`; ValueError says what is wrong."""
        urls: dict[str, tuple[str, ...]] = {}
        for setting in servers:
            (region,), urls_there = _sides(setting, names=1)
            urls[region] = urls.get(region, ()) + urls_there
        order: dict[str, tuple[str, ...]] = {}
        for setting in near:
            places, regions = _sides(setting)
            regions = tuple(region.lower() for region in regions)
            if unknown := set(regions) - urls.keys():
                raise ValueError(f"no servers are in {', '.join(sorted(unknown))}")
            order |= dict.fromkeys(places, regions)
        return cls(urls, order)

    def nearest(self, where: str = "") -> list[tuple[str, ...]]:
        """URLs of each region that somebody there is told of, nearest first.

        Those that `near` names and no others; where it says nothing of them their own region
        first, if it has servers, and then all others as they were set.
        """
        where = where.lower()
        chosen = self.near.get(where)
        if chosen is None and where not in self.servers:
            chosen = self.near.get(ANYWHERE)
        if chosen is None:
            chosen = tuple(sorted(self.servers, key=lambda region: region != where))
        return [self.servers[region] for region in chosen]


def _sides(setting: str, names: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    left, _, right = setting.partition("=")
    keys = tuple(key.strip().lower() for key in left.split(","))
    values = tuple(value.strip() for value in right.split(","))
    if not all((*keys, *values)) or (names and len(keys) != names):
        raise ValueError(f"{setting!r} has no name, or nothing behind it")
    return keys, values
