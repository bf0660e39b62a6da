"""coturn's configuration: one template, `turnserver.conf`, for production and for tests.

The standard library only, since coturn's image has nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Final

_TEMPLATE: Final = Path(__file__).with_name("turnserver.conf")


@dataclass(frozen=True, slots=True)
class PeerRange:
    """Addresses that may be relayed to, both ends included."""

    first: ipaddress.IPv4Address | ipaddress.IPv6Address
    last: ipaddress.IPv4Address | ipaddress.IPv6Address

    @classmethod
    def parse(cls, text: str) -> PeerRange:
        """Of an address, FIRST-LAST, or a network such as 10.1.0.0/16; ValueError else."""
        if "/" in text:
            network = ipaddress.ip_network(text)
            return cls(network[0], network[-1])
        first, _, last = text.partition("-")
        found = cls(ipaddress.ip_address(first), ipaddress.ip_address(last or first))
        if found.first.version != found.last.version or int(found.first) > int(found.last):
            raise ValueError(f"{text!r} does not appear to be a range of addresses")
        return found

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Coturn:
    """What differs between places.

    `secrets` are all good at once: the one that gateways use, and the one before. `max_bps` is
    in bytes a second of an allocation. `allowed_peers` are private addresses that may be
    relayed to: those of media nodes. Where one of them is a loopback address, as in tests,
    others of loopback stay forbidden. `total_quota` 0 is as many allocations as ports.
    Raises ValueError for what cannot be meant.
    """

    secrets: tuple[str, ...] = field(repr=False)
    realm: str
    folder: str = "/run/coturn"
    port: int = 3478
    tls_port: int = 5349
    certificate: str = ""
    key: str = ""
    listening_ip: str = ""
    relay_ip: str = ""
    external_ip: str = ""
    min_port: int = 49160
    max_port: int = 49259
    allowed_peers: tuple[PeerRange, ...] = ()
    user_quota: int = 12
    total_quota: int = 0
    max_bps: int = 3_000_000

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("TURN_SECRET is needed")
        if not self.realm:
            raise ValueError("TURN_REALM is needed")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("TURN_CERTIFICATE and TURN_KEY are needed together")
        if not 0 < self.min_port <= self.max_port < 2**16:
            raise ValueError("TURN_MIN_PORT to TURN_MAX_PORT are no ports")
        # A line break in a value would begin another option.
        texts = (self.realm, self.folder, self.certificate, self.key, self.listening_ip)
        for text in (*self.secrets, *texts, self.relay_ip, self.external_ip):
            if text != "".join(text.split()):
                raise ValueError("a setting has more than one line, or spaces")

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Coturn:
        """Of `TURN_…` variables, as docs/turn.md names them; those left out stay as they are."""
        secrets = (variables.get("TURN_SECRET", ""), variables.get("TURN_SECRET_OLD", ""))
        given: dict[str, object] = {"secrets": secrets if secrets[1] else secrets[:1]}
        for name, read in _VARIABLES.items():
            if text := variables.get(f"TURN_{name.upper()}", ""):
                try:
                    given[name] = read(text)
                except ValueError as error:
                    raise ValueError(f"TURN_{name.upper()}: {error}") from None
        return cls(**{"realm": "", **given})  # type: ignore[arg-type]

    def configuration(self) -> str:
        """The text of `turnserver.conf`. It holds secrets."""
        return Template(_TEMPLATE.read_text()).substitute(
            realm=self.realm,
            secrets=_lines("static-auth-secret", *self.secrets),
            port=self.port,
            addresses="\n".join(self._addresses()),
            tls="\n".join(self._tls()),
            min_port=self.min_port,
            max_port=self.max_port,
            user_quota=self.user_quota,
            total_quota=self.total_quota or self.max_port - self.min_port + 1,
            max_bps=self.max_bps,
            folder=self.folder,
            allowed="\n".join(self._allowed()),
        )

    def _addresses(self) -> Iterator[str]:
        if self.listening_ip:
            yield _lines("listening-ip", *self.listening_ip.split(","))
        if self.relay_ip:
            yield _lines("relay-ip", *self.relay_ip.split(","))
        if self.external_ip:
            yield f"external-ip={self.external_ip}"

    def _tls(self) -> Iterator[str]:
        if not self.certificate:
            yield "no-tls"
            return
        yield f"tls-listening-port={self.tls_port}"
        yield f"cert={self.certificate}"
        yield f"pkey={self.key}"

    def _allowed(self) -> Iterator[str]:
        for peers in self.allowed_peers:
            yield f"allowed-peer-ip={peers}"
        if any(peers.first.is_loopback for peers in self.allowed_peers):
            # Above the lists, which coturn asks only then: they forbid the rest of loopback.
            yield "allow-loopback-peers"


def _lines(option: str, *values: str) -> str:
    return "\n".join(f"{option}={value}" for value in values)


def _ranges(text: str) -> tuple[PeerRange, ...]:
    return tuple(PeerRange.parse(each) for each in text.split())


_VARIABLES: Final[Mapping[str, Callable[[str], object]]] = {
    **dict.fromkeys(("realm", "folder", "certificate", "key"), str),
    **dict.fromkeys(("listening_ip", "relay_ip", "external_ip"), str),
    **dict.fromkeys(("port", "tls_port", "min_port", "max_port"), int),
    **dict.fromkeys(("user_quota", "total_quota", "max_bps"), int),
    "allowed_peers": _ranges,
}
