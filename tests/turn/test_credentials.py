"""TURN credentials as coturn's `use-auth-secret` checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from turn.credentials import TurnServers

TURN = ("turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349")
STUN = ("stun:stun.example.org:3478", "stuns:stun.example.org:5349")


def accepted(secret: str, username: str, credential: str, now: float) -> bool:
    """What coturn does: the time in the name must not be over, the rest is an HMAC."""
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    good = hmac.compare_digest(base64.b64encode(digest).decode(), credential)
    return good and int(username.split(":", 1)[0]) > now


def test_without_servers_clients_are_told_of_none():
    assert TurnServers().ice_servers("p-anna") == []


def test_a_stun_server_needs_no_credentials():
    assert TurnServers(STUN).ice_servers("p-anna") == [{"urls": list(STUN)}]


def test_a_known_credential_is_made_again():
    servers = TurnServers(("turn:t",), "north", 3600).ice_servers("p-anna", now=1_700_000_000)
    assert servers == [
        {
            "urls": ["turn:t"],
            "username": "1700003600:p-anna",
            "credential": "lZ+MTrK6tu4WkzAAaqI6ahATey8=",
        }
    ]


def test_stun_and_turn_are_told_apart_and_both_told():
    stun, turn = TurnServers((TURN[0], STUN[0], TURN[1], STUN[1]), "s").ice_servers("p-anna")
    assert stun == {"urls": list(STUN)}
    assert turn["urls"] == list(TURN)


def test_a_credential_is_good_for_its_lifetime_and_for_nobody_else():
    servers = TurnServers(TURN, "north", lifetime_seconds=600)
    (server,) = servers.ice_servers("p-anna", now=1000)
    name, credential = server["username"], server["credential"]
    assert accepted("north", name, credential, now=1599)
    assert not accepted("north", name, credential, now=1600)
    assert not accepted("south", name, credential, now=1000)
    assert not accepted("north", name.replace("anna", "ben"), credential, now=1000)
    assert not accepted("north", name.replace("1600", "9999"), credential, now=1000)


def test_without_a_time_it_is_good_from_now():
    (server,) = TurnServers(TURN, "north").ice_servers("p-anna")
    assert accepted("north", server["username"], server["credential"], time.time() + 3500)


def test_the_secret_itself_is_never_told():
    assert "north-star" not in repr(TurnServers(TURN, "north-star").ice_servers("p-anna"))
