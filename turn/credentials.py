"""Time-limited TURN credentials, as coturn's `use-auth-secret` checks them.

Source: draft-uberti-behave-turn-rest-00.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any, Final

from turn.regions import Regions

LIFETIME_SECONDS: Final = 12 * 3600
"""As long as `surtitle token` makes tokens good for: who is moved late in a call connects anew."""


@dataclass(frozen=True, slots=True)
class TurnServers:
    """Which STUN and TURN servers clients are told of, and the secret shared with coturn.

    `urls` are `stun:`, `turn:` or `turns:` URLs of everybody; those of `regions` come behind
    them. `lifetime_seconds` is how long a credential is good for. `region_header` is a header
    of a proxy that says where a client is; trusted where it is set.
    """

    urls: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    lifetime_seconds: int = LIFETIME_SECONDS
    regions: Regions = field(default_factory=Regions)
    region_header: str = ""

    @property
    def all_urls(self) -> tuple[str, ...]:
        """Of everybody and of all regions, each once."""
        of_regions = (url for urls in self.regions.servers.values() for url in urls)
        return tuple(dict.fromkeys((*self.urls, *of_regions)))

    def ice_servers(
        self, user: str, now: float | None = None, region: str = ""
    ) -> list[dict[str, Any]]:
        """`RTCIceServer` objects for `user`, those near `region` first; empty where none is set."""
        servers: list[dict[str, Any]] = []
        credential = self.credential(user, now)
        for urls in (self.urls, *self.regions.nearest(region)):
            stun = [url for url in urls if url.startswith("stun")]
            turn = [url for url in urls if url.startswith("turn")]
            servers += [{"urls": stun}] if stun else []
            servers += [{"urls": turn, **credential}] if turn else []
        return servers

    def credential(self, user: str, now: float | None = None) -> dict[str, str]:
        """`username` and `credential`, by themselves good from now on."""
        expiry = int((time.time() if now is None else now) + self.lifetime_seconds)
        username = f"{expiry}:{user}"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return {"username": username, "credential": base64.b64encode(digest).decode()}
