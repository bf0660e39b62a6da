"""Where a request comes from: the address of a client, also behind proxies that are trusted.

`X-Forwarded-For` is a list to which each proxy adds whom it was asked by; what is left of the last
that is not trusted anybody may have written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_MOST_PROXIES: Final = 16


class Addresses:
    """Reads the addresses of clients. Proxies on loopback are trusted always."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """`trusted` are ranges of proxies' addresses (`10.0.0.0/8`); ValueError for others."""
        self._trusted = tuple(ipaddress.ip_network(one) for one in (*_LOOPBACK, *trusted))
        self._warned = False

    def key(self, request: web.Request) -> str | None:
        """What the client is counted by: an IPv4 address, or the /64 of an IPv6 one (RFC 6177).

        None of a client of this machine itself, which is not limited by address: it came without
        any proxy, who would have said for whom it asks.
        """
        peer = _parsed(request.remote or "")  # also of a connection that is closed by now
        if peer is None:
            return None
        told = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        forwarded = [part.strip() for part in told if part.strip()]
        if not forwarded:
            return None if peer.is_loopback else _counted(peer)
        if not self._trusts(peer) and not self._warned:
            self._warned = True
            log.warning("X-Forwarded-For of a proxy that is not trusted: see --trusted-proxy")
        return _counted(self._client(peer, forwarded))

    def peer_key(self, peername: Any) -> str | None:
        """Likewise of a connection that has said nothing; None of a proxy's, which has many."""
        peer = _parsed(str(peername[0])) if isinstance(peername, tuple) and peername else None
        return None if peer is None or self._trusts(peer) else _counted(peer)

    def _client(self, peer: Address, forwarded: list[str]) -> Address:
        for text in reversed(forwarded[-_MOST_PROXIES:]):
            if not self._trusts(peer):
                break
            before = _parsed(text)
            if before is None:
                break
            peer = before
        return peer

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _counted(address: Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _parsed(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
