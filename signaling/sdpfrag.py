"""What a `PATCH` of WHIP says: candidates as an SDP fragment (RFC 8840, 9).

Read leniently where clients differ: a candidate before the first `m=` line is nobody's in
particular, and unknown attributes are skipped. Pure: text in, `Fragment` out.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from signaling.errors import ContractError

LARGEST_FRAGMENT: Final = 16 * 1024
"""Bytes of a fragment: twice what 64 candidates of a browser take."""

MOST_CANDIDATES: Final = 64
"""Of one fragment. A browser on a host with many networks has some twenty."""

_LINE: Final = re.compile(r"([a-z])=(.*)", re.ASCII)
_MID: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)

# RFC 8839, 5.1. What follows the type (`raddr`, `generation`, …) no check needs.
_CANDIDATE: Final = re.compile(
    r"(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,5}) (?P<transport>[!-~]+)"
    r" (?P<priority>[0-9]{1,10}) (?P<address>[!-~]+) (?P<port>[0-9]{1,5}) typ (?P<type>[!-~]+)"
    r"(?: .*)?",
    re.ASCII,
)
_TYPES: Final = frozenset({"host", "srflx", "prflx", "relay"})


@dataclass(frozen=True, slots=True)
class Fragment:
    """`candidates` are pairs of MID (None where it names none) and candidate, UDP only.

    `ufrags` are the ICE sessions that it is for; empty where it does not say. `ended`: no
    more candidates will come.
    """

    ufrags: frozenset[str]
    candidates: tuple[tuple[str | None, str], ...]
    ended: bool


def parse_fragment(text: str) -> Fragment:
    """The fragment; `ContractError` `invalid` or `too_large` where it is none."""
    if len(text) > LARGEST_FRAGMENT:
        raise ContractError("too_large", f"a fragment has at most {LARGEST_FRAGMENT} bytes")
    ufrags: set[str] = set()
    candidates: list[tuple[str | None, str]] = []
    ended = False
    for section in _sections(text):
        mid: str | None = None
        found: list[str] = []
        for name, value in section:
            match name:
                case "mid":
                    mid = _matching(_MID, "mid", value)
                case "ice-ufrag":
                    ufrags.add(_matching(_UFRAG, "ice-ufrag", value))
                case "ice-pwd":
                    _matching(_PASSWORD, "ice-pwd", value)
                case "candidate":
                    found.append(value)
                case "end-of-candidates":
                    ended = True
        if len(candidates) + len(found) > MOST_CANDIDATES:
            raise ContractError("too_large", f"at most {MOST_CANDIDATES} candidates at once")
        candidates += [(mid, usable) for usable in map(_usable, found) if usable]
    return Fragment(frozenset(ufrags), tuple(candidates), ended)


def _sections(text: str) -> list[list[tuple[str, str]]]:
    """The attributes before the first `m=` line, then those of each."""
    sections: list[list[tuple[str, str]]] = [[]]
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for line in lines:
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise ContractError("invalid", "the body is not an SDP fragment")
        if found[1] == "m":
            sections.append([])
        elif found[1] == "a":
            name, _, value = found[2].partition(":")
            sections[-1].append((name, value))
    if not any(sections):
        raise ContractError("invalid", "the SDP fragment has no attributes")
    return sections


def _matching(pattern: re.Pattern[str], name: str, value: str) -> str:
    if not pattern.fullmatch(value):
        raise ContractError("invalid", f"the fragment's {name} cannot be read")
    return value


def _usable(value: str) -> str | None:
    """The candidate as far as ICE needs it; None for what we cannot connect to.

    TCP, names and other components are skipped without a word (RFC 9725, 4.3.2).
    """
    found = _CANDIDATE.fullmatch(value)
    if not found or int(found["port"]) > 65535:
        raise ContractError("invalid", "a candidate of the fragment cannot be read")
    if found["transport"].lower() != "udp" or found["component"] != "1":
        return None
    if found["type"] not in _TYPES or not _is_address(found["address"]):
        return None
    return found[0][: found.end("type")]


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False
