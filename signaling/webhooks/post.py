"""One attempt: a signed POST to a target, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp
from standardwebhooks.webhooks import Webhook

from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.webhooks.targets import Target

_LONGEST_WAIT_SECONDS: Final = 24 * 3600.0
"""A target's wish to be left alone is heard up to here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the answer's, None without one; `error` None where it was taken.

    `retry_after_seconds` is how long the target wants to be left alone, `gone` that it wants
    nothing ever again.
    """

    status: int | None = None
    error: str | None = None
    retry_after_seconds: float = 0.0

    @property
    def gone(self) -> bool:
        """Whether it says that nothing shall come any more."""
        return self.status == HTTPStatus.GONE


async def post(
    target: Target, message_id: str, body: str, *, allow: AllowList, timeout_seconds: float
) -> Outcome:
    """Signed as Standard Webhooks has it. Of the answer only the head is read.

    Nothing is raised for what the target does; an error names no more than its kind.
    """
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Surtitle",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(target.secret).sign(message_id, now, body),
    }
    timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=timeout_seconds / 3)
    try:
        allow.check(target.url)
        async with (
            allow.session(target.url) as session,
            session.post(
                target.url,
                data=body.encode(),
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as reply,
        ):
            reply.close()  # whatever else it sends
            return _outcome(reply)
    except ContractError:
        return Outcome(error="the address may not be called")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return Outcome(error=f"no answer: {type(error).__name__}")


def _outcome(reply: aiohttp.ClientResponse) -> Outcome:
    status = reply.status
    if 200 <= status < 300:
        return Outcome(status)
    wait_seconds = _retry_after_seconds(reply.headers.get("Retry-After", ""))
    return Outcome(status, f"answered {status}", wait_seconds)


def _retry_after_seconds(header: str) -> float:
    """Seconds or a date (RFC 9110, 10.2.3); 0 without either."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT_SECONDS)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)
