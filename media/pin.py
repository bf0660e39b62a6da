"""Whose packets a port of plain RTP takes: one sender's, known beforehand or the first heard."""

from __future__ import annotations

import ipaddress
from typing import Final

import structlog

from media.udp import Address
from signaling.errors import ContractError

log = structlog.get_logger(__name__)

RELEASE_SECONDS: Final = 60.0
"""A sender that was not given and is silent for so long gives way to another: one that began
anew has another port."""


def parsed(sender: str) -> tuple[str, int | None]:
    """`ADDRESS` or `ADDRESS:PORT`, IPv6 with a port in brackets; `ContractError` otherwise."""
    host, port = sender, ""  # the port with its colon
    if sender.startswith("["):
        host, bracket, port = sender[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _invalid(sender)
    elif sender.count(":") == 1:
        host, _, port = sender.partition(":")
        port = ":" + port
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise _invalid(sender) from None
    if not port:
        return address, None
    number = port[1:]
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 65536):
        raise _invalid(sender)
    return address, int(number)


def _invalid(sender: str) -> ContractError:
    return ContractError("invalid", f"sender is not ADDRESS or ADDRESS:PORT: {sender:.64}")


class Pin:
    """Takes everybody's packets until it is `set`, unless a sender is given."""

    def __init__(self, sender: str | None, release_seconds: float = RELEASE_SECONDS) -> None:
        """`ContractError` where `sender` is no address."""
        self._given = sender is not None
        self._host: str | None = None
        self._port: int | None = None
        if sender is not None:
            self._host, self._port = parsed(sender)
        self._release_seconds = release_seconds
        self._heard_seconds = 0.0

    def takes(self, sender: Address) -> bool:
        """Whether packets from there are looked at."""
        if self._host is None:
            return True
        return sender[0] == self._host and (self._port is None or sender[1] == self._port)

    def set(self, sender: Address) -> None:
        """No other sender's packets are taken from now on, unless there is a sender already."""
        if self._host is None:
            self._host, self._port = sender
            log.info("RTP is taken from its first sender only", host=self._host, port=self._port)

    def alive(self, now_seconds: float) -> None:
        """Something valid came from whom it takes packets of."""
        self._heard_seconds = now_seconds

    def expire(self, now_seconds: float) -> None:
        """Let another sender in where the one that was heard first has gone."""
        if self._given or self._host is None:
            return
        if now_seconds - self._heard_seconds > self._release_seconds:
            log.info("RTP may come from another sender", host=self._host, port=self._port)
            self._host = self._port = None
