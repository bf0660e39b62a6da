"""Tries the TURN servers that clients are told of, again and again, for `/metrics` and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import structlog
from prometheus_client.core import GaugeMetricFamily

from turn.credentials import TurnServers
from turn.probe import RelayError, Server, relay

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 30.0


class TurnWatch:
    """How each server was when it was last tried. `run` belongs in the owner's TaskGroup."""

    def __init__(self, servers: TurnServers, user: str) -> None:
        """`user` is who asks for allocations, as coturn's log has it."""
        self._servers = servers
        self._user = user
        self._urls = [url for url in servers.all_urls if _can_be_tried(url)]
        self._took: dict[str, float | None] = {}  # seconds by URL; None: it does not relay

    async def run(self) -> None:
        """Until it is cancelled; at once over where there is none to try."""
        while self._urls:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Try each once, all at the same time."""
        async with asyncio.TaskGroup() as tries:
            for url in self._urls:
                tries.create_task(self._try(url))

    def families(self) -> Iterator[GaugeMetricFamily]:
        """For Prometheus, by `server`: its URL, in which no credential is."""
        relays = GaugeMetricFamily(
            "surtitle_turn_relays",
            "Whether a packet came back through the TURN server when it was last tried.",
            labels=["server"],
        )
        seconds = GaugeMetricFamily(
            "surtitle_turn_relay_seconds",
            "How long that packet took, to the server, through it and back.",
            labels=["server"],
        )
        for url, took in self._took.items():
            relays.add_metric([url], float(took is not None))
            if took is not None:
                seconds.add_metric([url], took)
        yield relays
        yield seconds

    async def _try(self, url: str) -> None:
        before = self._took.get(url, 0.0)
        try:
            login = self._servers.credential(self._user)
            self._took[url] = await relay(url, login["username"], login["credential"])
        except RelayError as error:
            self._took[url] = None
            if before is not None:
                log.warning("a TURN server does not relay", server=url, why=str(error))
        except Exception:  # a fault of the probe's must not end the watch
            self._took[url] = None
            if before is not None:
                log.exception("a TURN server could not be tried", server=url)
        else:
            if before is None:
                log.info("a TURN server relays again", server=url)


def _can_be_tried(url: str) -> bool:
    try:
        Server.parse(url)
    except ValueError:
        return False
    return True
