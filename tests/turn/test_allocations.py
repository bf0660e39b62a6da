"""How many UDP sockets the kernel says have a relay port."""

from __future__ import annotations

import socket

from turn.allocations import allocations


def bound(address: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_DGRAM)
    taken.bind((address, 0))
    return taken


def test_a_relay_port_counts_while_its_socket_is_open():
    with bound() as relay:
        port = relay.getsockname()[1]
        assert allocations(port, port) == 1
    assert allocations(port, port) == 0


def test_one_of_ipv6_counts_as_well():
    with bound("::1", socket.AF_INET6) as relay:
        port = relay.getsockname()[1]
        assert allocations(port, port) == 1


def test_a_port_beside_the_range_does_not_count():
    with bound() as other:
        port = other.getsockname()[1]
        assert allocations(port + 1, port) == 0
