"""Whose request it is, through proxies that are trusted and past what anybody may write."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from signaling.limits.addresses import Addresses


class Transport:
    def __init__(self, peer):
        self._peer = peer

    def get_extra_info(self, name, default=None):
        return self._peer if name == "peername" else default


def key(peer: str, *forwarded: str, trusted=()) -> str | None:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    request = make_mocked_request("GET", "/", headers, transport=Transport((peer, 1)))
    return Addresses(trusted).key(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "counted"),
    [
        ("192.0.2.7", [], [], "192.0.2.7"),
        ("2001:db8:1:2:3::4", [], [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], [], "fe80::/64"),
        ("::ffff:192.0.2.7", [], [], "192.0.2.7"),
        ("127.0.0.1", [], [], None),
        ("::1", [], [], None),
        # a proxy of this machine
        ("127.0.0.1", ["192.0.2.7"], [], "192.0.2.7"),
        ("::1", ["2001:db8::9"], [], "2001:db8::/64"),
        # what a client wrote stands left of what the proxy did
        ("127.0.0.1", ["10.9.9.9, 192.0.2.7"], [], "192.0.2.7"),
        ("127.0.0.1", ["10.9.9.9", "192.0.2.7"], [], "192.0.2.7"),
        # one who says to be this machine is still counted
        ("127.0.0.1", ["127.0.0.1"], [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.7, 127.0.0.1"], [], "192.0.2.7"),
        # proxies that are not trusted say nothing
        ("10.0.0.5", ["192.0.2.7"], [], "10.0.0.5"),
        ("10.0.0.5", ["192.0.2.7"], ["10.0.0.0/8"], "192.0.2.7"),
        ("10.0.0.5", ["192.0.2.7, 10.0.0.6"], ["10.0.0.0/8"], "192.0.2.7"),
        ("10.0.0.5", ["192.0.2.7, 203.0.113.1, 10.0.0.6"], ["10.0.0.0/8"], "203.0.113.1"),
        # ports, brackets, nonsense
        ("127.0.0.1", ["192.0.2.7:4711"], [], "192.0.2.7"),
        ("127.0.0.1", ["[2001:db8::9]:4711"], [], "2001:db8::/64"),
        ("127.0.0.1", ["unknown"], [], "127.0.0.1"),
        ("127.0.0.1", [", ,"], [], None),
        ("10.0.0.5", ["unknown, 10.0.0.6"], ["10.0.0.0/8"], "10.0.0.6"),
    ],
)
def test_a_client_is_counted_by_the_address_that_nobody_can_make_up(
    peer, forwarded, trusted, counted
):
    assert key(peer, *forwarded, trusted=trusted) == counted


def test_what_is_no_range_of_addresses_is_no_trusted_proxy():
    with pytest.raises(ValueError, match="proxy"):
        Addresses(["proxy.example.com"])
