"""Whether a TURN server relays: a packet from one allocation to another of the same server.

RFC 8656, by aioice. Each allocation permits the other, so the packet goes the whole way: to the
server, from its one relayed address to its other, and back to here.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aioice import stun
from aioice.turn import TurnClientProtocol, TurnClientTcpProtocol, TurnClientUdpProtocol

PROBE_SECONDS: Final = 5.0

_AGAIN_SECONDS: Final = 0.5
_LIFETIME_SECONDS: Final = 600
_REASONS: Final = {
    401: "it does not believe our credential: is --turn-secret its static-auth-secret, and its "
    "clock right?",
    403: "it may not relay to itself: let TURN_ALLOWED_PEERS name its own relay address, too",
    486: "it says that we have too many allocations (TURN_USER_QUOTA)",
    508: "it has no relay port left (TURN_MIN_PORT, TURN_MAX_PORT, TURN_TOTAL_QUOTA)",
}
_URL: Final = re.compile(
    r"(?P<scheme>turns?):(?P<host>\[[0-9a-f:.]+\]|[^?:\[\]]+)(:(?P<port>\d+))?"
    r"(\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)


class RelayError(Exception):
    """The server relays nothing; the message says why, and what may mend it."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a `turn:` or `turns:` URL leads (RFC 7065)."""

    host: str
    port: int
    transport: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Server:
        """ValueError for any other URL, and for TURN over DTLS, which aioice does not speak."""
        found = _URL.fullmatch(url)
        if not found:
            raise ValueError(f"{url!r} is no URL of a TURN server")
        tls = found["scheme"].lower() == "turns"
        transport = (found["transport"] or ("tcp" if tls else "udp")).lower()
        if tls and transport == "udp":
            raise ValueError(f"{url!r} is TURN over DTLS, which cannot be tried")
        port = int(found["port"] or (5349 if tls else 3478))
        return cls(found["host"].strip("[]"), port, transport, tls)


async def relay(
    url: str, username: str, credential: str, *, seconds: float = PROBE_SECONDS
) -> float:
    """Seconds that a packet took to the server, through it and back. `RelayError`, ValueError.

    Takes two allocations and gives them back. Certificates are verified; `SSL_CERT_FILE` names an
    authority of one's own.
    """
    server = Server.parse(url)
    try:
        async with (
            asyncio.timeout(seconds),
            _allocation(server, username, credential) as here,
            _allocation(server, username, credential) as there,
        ):
            return await _travel(here, there)
    except TimeoutError:
        raise RelayError("nothing comes back: is it up, and its ports open?") from None
    except ssl.SSLCertVerificationError as error:
        raise RelayError(f"its certificate is not good: {error.verify_message}") from None
    except stun.TransactionFailed as error:
        code = error.response.error_code or 0
        raise RelayError(_REASONS.get(code, f"it refuses: {error}")) from None
    except (OSError, stun.TransactionError) as error:
        raise RelayError(f"it cannot be reached: {error}") from None


class _Arrivals(asyncio.DatagramProtocol):
    """What an allocation receives."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        if not self.packets.full():
            self.packets.put_nowait(data)


@asynccontextmanager
async def _allocation(
    server: Server, username: str, credential: str
) -> AsyncIterator[TurnClientProtocol]:
    client = await _connected(server, username, credential)
    try:
        await client.connect()
        yield client
    except asyncio.CancelledError:
        # Nobody waits for an answer any more; what is allocated expires.
        if client.refresh_task:
            client.refresh_task.cancel()
        raise
    else:
        await client.delete()
    finally:
        client.transport.close()


async def _connected(server: Server, username: str, credential: str) -> TurnClientProtocol:
    loop, address = asyncio.get_running_loop(), (server.host, server.port)
    login = (address, username, credential, _LIFETIME_SECONDS, _LIFETIME_SECONDS)
    client: TurnClientProtocol
    if server.transport == "udp":
        _, client = await loop.create_datagram_endpoint(
            lambda: TurnClientUdpProtocol(*login), remote_addr=address
        )
    else:
        context = ssl.create_default_context() if server.tls else None
        _, client = await loop.create_connection(
            lambda: TurnClientTcpProtocol(*login), *address, ssl=context
        )
    return client


async def _travel(here: TurnClientProtocol, there: TurnClientProtocol) -> float:
    assert here.relayed_address
    assert there.relayed_address
    there.receiver = arrivals = _Arrivals()
    # Both bind a channel, by which they permit each other; what that sends is dropped, or early.
    await there.send_data(b"", here.relayed_address)
    await here.send_data(b"", there.relayed_address)
    sent: dict[bytes, float] = {}
    while True:  # UDP may lose one
        packet = os.urandom(16)
        sent[packet] = time.monotonic()
        await here.send_data(packet, there.relayed_address)
        try:
            async with asyncio.timeout(_AGAIN_SECONDS):
                while (came := await arrivals.packets.get()) not in sent:
                    continue
        except TimeoutError:
            continue
        return time.monotonic() - sent[came]
