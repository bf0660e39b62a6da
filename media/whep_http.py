"""WHEP's HTTP (draft-ietf-wish-whep): an offer in, a session with its answer out.

Everything that comes back is hostile until it has been checked: addresses by the allow-list,
sizes before anything is parsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import structlog
from aiortc.sdp import SessionDescription

from media.sdp import check_port, has_opus, missing_keys, visible_lines
from signaling.allowlist import AllowList
from signaling.errors import Code, ContractError

log = structlog.get_logger(__name__)

LARGEST_ANSWER: Final = 64 * 1024
"""Bytes."""

REQUEST_SECONDS: Final = 10.0
"""With its redirects."""

DELETE_SECONDS: Final = 3.0
MOST_REDIRECTS: Final = 3

_MOST_LINES: Final = 1000
_MOST_CANDIDATES: Final = 64

_CODES: Final[dict[int, Code]] = {
    401: "forbidden",
    403: "forbidden",
    404: "not_found",
    409: "conflict",  # nobody publishes yet
    410: "not_found",
}


@dataclass(frozen=True, slots=True)
class Session:
    """What a server made of an offer: `url` ends it, None where it gave none."""

    url: str | None
    answer: str


class WhepClient:
    """One WHEP resource. Requests are independent of each other."""

    def __init__(self, url: str, token: str | None, allow: AllowList) -> None:
        self._url = url
        self._token = token
        self._allow = allow

    async def begin(self, offer: str) -> Session:
        """Send the offer. `Link` headers with ICE servers are not used.

        `ContractError`: `forbidden`, `not_found`, `conflict` where the stream is not live
        yet (with `retry_after_ms` where the server says), `unavailable` in all other cases.
        """
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._begin(offer)
        except TimeoutError:
            raise ContractError("unavailable", "the WHEP server does not answer", 1000) from None

    async def _begin(self, offer: str) -> Session:
        url = self._url
        for _ in range(1 + MOST_REDIRECTS):
            async with self._request("POST", url, REQUEST_SECONDS, offer) as response:
                location = response.headers.get("Location")
                if response.status in (307, 308) and location:
                    url = self._resolved(url, location)
                    continue
                if response.status != 201:
                    raise _refusal(response)
                session_url = self._resolved(url, location) if location else None
                return Session(session_url, checked_answer(await _body(response)))
        raise ContractError("unavailable", "the WHEP server redirects too often")

    async def end(self, session: Session) -> None:
        """Delete the session; a server that cannot be told will notice by itself."""
        if session.url is None:
            return
        try:
            async with self._request("DELETE", session.url, DELETE_SECONDS):
                return
        except ContractError as error:
            log.info("WHEP session not deleted", why=error.logged)

    def _resolved(self, base: str, location: str) -> str:
        """An address that the server gave, checked."""
        try:
            url = urljoin(base, location)
            scheme = urlsplit(url).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            raise ContractError("unavailable", "the WHEP server names an address that is none")
        self._allow.check(url)
        return url

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, seconds: float, body: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/sdp", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/sdp"
        if self._token and _origin(url) == _origin(self._url):
            headers["Authorization"] = f"Bearer {self._token}"
        self._allow.check(url)
        try:
            async with (
                self._allow.session(url) as http,
                http.request(
                    method,
                    url,
                    data=body.encode() if body is not None else None,
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=seconds),
                ) as response,
            ):
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The token is in no such message; the address may be.
            message = f"the WHEP server cannot be reached: {type(error).__name__}"
            raise ContractError("unavailable", message, 1000) from None


def checked_answer(sdp: str) -> str:
    """An answer that gives audio. `ContractError` `unavailable` where it is anything else.

    Candidates whose addresses are mDNS names go: nothing is looked up for a server.
    """
    lines = visible_lines(sdp)
    if (
        len(lines) > _MOST_LINES
        or sum(line.startswith("m=") for line in lines) != 1
        or sum(line.startswith("a=candidate:") for line in lines) > _MOST_CANDIDATES
    ):
        raise _bad_answer("too many lines or candidates, or not one m-line")
    checked = "\r\n".join(lines) + "\r\n"
    try:
        media = SessionDescription.parse(checked).media[0]
        for candidate in media.ice_candidates:
            check_port(candidate)
    except Exception as error:  # aiortc's parser raises whatever its input leads it to
        raise _bad_answer(f"{error!r:.200}") from None
    if media.kind != "audio" or media.direction not in ("sendonly", "sendrecv"):
        raise _bad_answer("it gives no audio")
    if not has_opus(media):
        raise _bad_answer("it has no Opus")
    missing = missing_keys(media)
    if missing:
        raise _bad_answer(f"it has no {missing}")
    return checked


def _bad_answer(why: str) -> ContractError:
    return ContractError("unavailable", f"the WHEP server's answer cannot be used: {why}", 1000)


async def _body(response: aiohttp.ClientResponse) -> str:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _bad_answer("it is compressed")
    body = b""
    async for piece in response.content.iter_chunked(8192):
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise _bad_answer(f"more than {LARGEST_ANSWER} bytes")
    return body.decode(errors="replace")


def _refusal(response: aiohttp.ClientResponse) -> ContractError:
    code = _CODES.get(response.status, "unavailable")
    message = f"the WHEP server answered {response.status}"
    if response.status == 406:  # the draft lets it make an offer of its own instead
        message += ": counter-offers are not supported"
    asked = response.headers.get("Retry-After", "")
    return ContractError(code, message, int(asked[:6]) * 1000 if asked.isdecimal() else None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
