"""How many allocations a coturn has, as the kernel sees them.

coturn 4.6 can neither drain nor tell this without its CLI, which is off. Each allocation is a
UDP socket bound to a relay port and no other, and `/proc/net/udp` lists those of this network
namespace (proc(5)): so it is to be asked in coturn's own container.
"""

from __future__ import annotations

from pathlib import Path

_TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


def allocations(min_port: int, max_port: int) -> int:
    """UDP sockets of this network namespace with a relay port."""
    return sum(
        min_port <= port <= max_port
        for table in _TABLES
        if table.exists()
        for port in _ports(table.read_text())
    )


def _ports(table: str) -> list[int]:
    """Local ports: the second column is ADDRESS:PORT in hexadecimal."""
    return [int(line.split()[1].rpartition(":")[2], 16) for line in table.splitlines()[1:]]
