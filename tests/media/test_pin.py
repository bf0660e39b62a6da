from __future__ import annotations

import pytest

from media.pin import RELEASE_SECONDS, Pin, parsed
from signaling.errors import ContractError


@pytest.mark.parametrize(
    ("sender", "meant"),
    [
        ("192.0.2.1", ("192.0.2.1", None)),
        ("192.0.2.1:4000", ("192.0.2.1", 4000)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("2001:DB8:0::1", ("2001:db8::1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:4000", ("2001:db8::1", 4000)),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_port(sender, meant):
    assert parsed(sender) == meant


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "sfu.example.com",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:+1",
        "192.0.2.1:٣",
        "192.0.2",
        "[2001:db8::1",
        "[2001:db8::1]4000",
        "[]:1",
    ],
)
def test_anything_else_is_said_to_be_invalid(sender):
    with pytest.raises(ContractError) as refused:
        Pin(sender)
    assert refused.value.code == "invalid"


def test_a_sender_that_was_not_given_gives_way_only_after_a_long_silence():
    pin = Pin(None)
    first, other = ("192.0.2.1", 1), ("192.0.2.1", 2)
    assert pin.takes(first)
    pin.set(first)
    pin.alive(0.0)
    pin.expire(RELEASE_SECONDS)
    assert pin.takes(first)
    assert not pin.takes(other)
    pin.alive(RELEASE_SECONDS)
    pin.expire(2 * RELEASE_SECONDS)
    assert not pin.takes(other)
    pin.expire(2 * RELEASE_SECONDS + 1)
    assert pin.takes(other)


def test_a_sender_that_was_given_never_gives_way():
    pin = Pin("192.0.2.1")
    pin.expire(1e9)
    assert pin.takes(("192.0.2.1", 5))
    assert not pin.takes(("192.0.2.2", 5))
