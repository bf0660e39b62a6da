"""Which addresses media uses: ICE candidates name these and no others.

aioice gathers on all of the host's addresses except exactly 127.0.0.1, and has no option
for it; its one function that lists them is replaced here and nowhere else.
"""

from __future__ import annotations

import aioice.ice
import ifaddr


def host_addresses() -> list[str]:
    """All IPv4 addresses of this host, loopback too."""
    found = [
        str(ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4 and not str(ip.ip).startswith("169.254.")
    ]
    return sorted(found, key=lambda address: address.startswith("127."))


def use_addresses(addresses: list[str]) -> None:
    """Let every connection made from now on gather on `addresses` only."""

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:  # noqa: FBT001 - aioice's
        return [a for a in addresses if (use_ipv6 if ":" in a else use_ipv4)]

    aioice.ice.get_host_addresses = get_host_addresses
