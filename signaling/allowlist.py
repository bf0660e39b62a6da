"""Which addresses a call may name: SFUs (`--sfu PREFIX`), webhooks (`--webhook-allow PREFIX`).

A prefix is the beginning of a URL (`wss://sfu.example.com/janus`, or `wss://` for every host)
or a range of addresses (`10.0.0.0/8`). A host that a prefix names is trusted wherever its
name leads; any other must be in a listed range or, under a prefix without a host, lead to
public addresses only. The connection itself is made to the addresses that were checked, so
that a name cannot lead elsewhere a moment later (DNS rebinding), and no spelling of an
address gets past the check.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from signaling.errors import ContractError

_PORTS: Final = {"ws": 80, "http": 80, "wss": 443, "https": 443}

# IPv4 within IPv6, beside what `ipaddress` unwraps: NAT64 (RFC 6052, RFC 8215), and ::a.b.c.d.
_EMBEDDING: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Allowed = Callable[[Address], bool]


class AllowList:
    """What `check` passes, the sessions of `session` reach; nothing else."""

    def __init__(
        self,
        prefixes: Sequence[str],
        *,
        allow_any: bool = False,
        field: str = "source.url",
        option: str = "--sfu",
    ) -> None:
        """ValueError where a prefix is neither the beginning of a URL nor a range.

        `field` is what callers give the URL by, `option` what the prefixes come from.
        """
        self._field = field
        self._option = option
        self._any = allow_any and not prefixes
        self._ranges: list[Network] = []
        self._urls: list[SplitResult] = []
        for prefix in prefixes:
            if "://" in prefix:
                self._urls.append(_url_prefix(prefix))
            else:
                self._ranges.append(ipaddress.ip_network(prefix, strict=False))

    def check(self, url: str) -> None:
        """`ContractError` `forbidden` where no prefix allows the URL, `invalid` for none."""
        parts = self._split(url)
        if self._any or self._names_host(parts):
            return
        address = _address(parts.hostname or "")
        if address and self._in_range(address):
            return
        wide = any(_begins(prefix, parts) for prefix in self._urls if not prefix.hostname)
        # Names are looked at where they are resolved; by ranges alone they are allowed too.
        if address is None and (wide or self._ranges):
            return
        if wide and address and is_public(address):
            return
        raise ContractError("forbidden", f"{self._field}: not an address that {self._option} lists")

    def session(self, url: str) -> aiohttp.ClientSession:
        """A session for requests to what the (checked) URL names. To be closed by the caller.

        Other URLs, as of redirects, want a `check` and a session of their own.
        """
        parts = self._split(url)
        if self._any or self._names_host(parts):
            return aiohttp.ClientSession()
        wide = any(_begins(prefix, parts) for prefix in self._urls if not prefix.hostname)

        def allowed(address: Address) -> bool:
            return self._in_range(address) or (wide and is_public(address))

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(allowed, self._option),
                socket_factory=_checked_sockets(allowed),
            )
        )

    def _split(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ContractError("invalid", f"{self._field}: {error}") from None
        if parts.scheme not in _PORTS or not parts.hostname or port == 0:
            raise ContractError("invalid", f"{self._field}: not a ws, wss, http or https URL")
        if parts.username is not None or parts.password is not None:
            raise ContractError("invalid", f"{self._field}: credentials do not belong in the URL")
        return parts

    def _names_host(self, parts: SplitResult) -> bool:
        return any(_begins(prefix, parts) for prefix in self._urls if prefix.hostname)

    def _in_range(self, address: Address) -> bool:
        return any(address in network for network in self._ranges)


class _CheckedResolver(AbstractResolver):
    """Gives only the addresses that are allowed."""

    def __init__(self, allowed: _Allowed, option: str) -> None:
        self._allowed = allowed
        self._option = option
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """OSError where no address of the host is allowed."""
        found = await self._resolver.resolve(host, port, family)
        kept = [r for r in found if (a := _address(r["host"])) and self._allowed(a)]
        if not kept:
            raise OSError(None, f"{host} leads to no address that {self._option} lists")
        return kept

    async def close(self) -> None:
        """Nothing is held."""
        await self._resolver.close()


def _checked_sockets(allowed: _Allowed) -> Callable[[Any], socket.socket]:
    """What opens sockets to addresses that are allowed, however they were spelled.

    A host that is an address is never resolved, and a URL library may make one of what looks
    like a name here (`http://①27.0.0.1`).
    """

    def opened(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, there = info
        address = _address(str(there[0]))
        if address is None or not allowed(address):
            raise OSError(None, "the address is not allowed")
        return socket.socket(family, kind, protocol)

    return opened


def is_public(address: Address) -> bool:
    """Whether it can only be a host of the internet: of its own, and nobody's group.

    An IPv4 address within it (mapped, 6to4, NAT64) must be one, too.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _url_prefix(prefix: str) -> SplitResult:
    parts = urlsplit(prefix)
    if parts.scheme not in _PORTS or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{prefix} is not the beginning of a ws, wss, http or https URL")
    _ = parts.port  # ValueError where it is none
    return parts


def _begins(prefix: SplitResult, parts: SplitResult) -> bool:
    if prefix.scheme != parts.scheme:
        return False
    if not prefix.hostname:
        return True
    if prefix.hostname != parts.hostname or _port(prefix) != _port(parts):
        return False
    begin, path = prefix.path.rstrip("/"), unquote(parts.path)
    if any(segment in (".", "..") for segment in path.replace("\\", "/").split("/")):
        return not begin
    return not begin or path == begin or path.startswith(f"{begin}/")


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
