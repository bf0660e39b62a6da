"""Whose servers somebody is told of, by the operator's word on what is near to what."""

from __future__ import annotations

import pytest

from turn.credentials import TurnServers
from turn.regions import Regions

EU, US, AP = (f"turn:{region}.example.org:3478?transport=udp" for region in ("eu", "us", "ap"))
EU_TLS = "turns:eu.example.org:443?transport=tcp"
SERVERS = (f"eu={EU},{EU_TLS}", f"us={US}", f"ap={AP}")


def told(where: str, *near: str) -> list[str]:
    return [url for urls in Regions.parse(SERVERS, near).nearest(where) for url in urls]


def test_who_is_nowhere_known_is_told_of_all_as_they_were_set():
    assert told("") == told("atlantis") == [EU, EU_TLS, US, AP]


def test_without_a_word_on_nearness_ones_own_region_comes_first():
    assert told("ap") == [AP, EU, EU_TLS, US]


def test_what_is_near_comes_first_and_what_is_not_named_does_not_come():
    assert told("us", "us=us,ap") == [US, AP]
    assert told("eu", "us=us,ap") == [EU, EU_TLS, US, AP]


def test_several_places_may_be_near_to_the_same():
    near = ("DE, fr=eu,us", "jp=ap")
    assert told("de", *near) == told("FR", *near) == [EU, EU_TLS, US]
    assert told("JP", *near) == [AP]


def test_a_word_on_anywhere_is_for_those_of_whom_nothing_else_is_said():
    near = ("*=us", "de=eu")
    assert told("", *near) == told("br", *near) == [US]
    assert told("de", *near) == [EU, EU_TLS]
    # A region with servers of its own is known.
    assert told("ap", *near) == [AP, EU, EU_TLS, US]


def test_a_region_may_be_set_bit_by_bit():
    bits = Regions.parse((f"eu={EU}", f"EU={EU_TLS}"), ())
    assert bits.nearest("eu") == [(EU, EU_TLS)]


@pytest.mark.parametrize(
    ("servers", "near", "why"),
    [
        (("eu",), (), "'eu'"),
        (("eu=",), (), "nothing behind"),
        (("=turn:t",), (), "no name"),
        (("eu,us=turn:t",), (), "no name"),
        (("eu=turn:t",), ("de",), "nothing behind"),
        (("eu=turn:t",), ("de=eu,,us",), "nothing behind"),
        (("eu=turn:t",), ("de=eu,mars",), "no servers are in mars"),
    ],
)
def test_what_cannot_be_meant_is_refused(servers, near, why):
    with pytest.raises(ValueError, match=why):
        Regions.parse(servers, near)


def test_each_region_is_a_server_of_its_own_behind_those_of_everybody():
    stun = "stun:stun.example.org"
    servers = TurnServers((stun,), "north", 600, Regions.parse(SERVERS, ("de=eu,us",)))
    everybody, near, far = servers.ice_servers("p-anna", 1000, region="de")
    assert everybody == {"urls": [stun]}
    assert near["urls"] == [EU, EU_TLS]
    assert far["urls"] == [US]
    assert near["username"] == far["username"] == "1600:p-anna"
    assert near["credential"] == far["credential"]
    assert servers.all_urls == (stun, EU, EU_TLS, US, AP)
