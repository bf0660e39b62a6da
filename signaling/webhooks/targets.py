"""Whom events are told to: those the server names, and the one that a call names."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from pydantic import ValidationError

from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.messages import TOLD_BY_ITSELF, CallWebhook, WebhookEvent
from signaling.seal import WEBHOOKS, Seal
from signaling.store import CallRecord

log = structlog.get_logger(__name__)

SETTING: Final = "webhook"
"""Of a call's settings: where it is told of, sealed."""

_KEY_BYTES: Final = range(24, 65)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that is told of `events`, signed with `secret` (`whsec_…`)."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: frozenset[WebhookEvent] = frozenset(TOLD_BY_ITSELF)

    @property
    def id(self) -> str:
        """The same for the same URL; says nothing of it."""
        return hashlib.sha256(self.url.encode(errors="replace")).hexdigest()[:32]

    @property
    def origin(self) -> str:
        """What may be shown of the URL: paths and queries may be secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def check_secret(secret: str) -> None:
    """ValueError where it is none: `whsec_` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or len(key) not in _KEY_BYTES:
        raise ValueError("whsec_ and 24 to 64 bytes in base64 are a secret")


class Targets:
    """The server's own, and what reads those of calls.

    `allow` are prefixes of the operator's own networks, as `AllowList` has them: without them a
    URL must be https and lead to public addresses. `server_secret` seals what calls named, and
    `previous_server_secret` opens it, too.
    """

    def __init__(
        self,
        urls: Sequence[str] = (),
        *,
        secret: str = "",
        events: Sequence[WebhookEvent] = TOLD_BY_ITSELF,
        allow: Sequence[str] = (),
        server_secret: str = "",
        previous_server_secret: str = "",
    ) -> None:
        """`secret` signs for `urls`, and for calls that name none. ValueError for odd ones.

        `ContractError` where a URL may not be named.
        """
        self.allow = AllowList(("https://", *allow), field="webhook.url", option="--webhook-allow")
        if secret:
            check_secret(secret)
        elif urls:
            raise ValueError("a webhook needs a secret to be signed with")
        for url in urls:
            self._check(url)
        self._own = tuple(Target(url, secret, frozenset(events)) for url in urls)
        self._secret = secret
        self._seal = Seal(server_secret, WEBHOOKS, previous_server_secret)

    def of(self, record: CallRecord | None) -> list[Target]:
        """All that are told of a call; a URL once, with the events that the call says."""
        named = self._named(record)
        targets = {target.id: target for target in self._own}
        if named:
            targets[named.id] = named
        return list(targets.values())

    def find(self, target: str, record: CallRecord | None) -> Target | None:
        """The one with this id; None where it is none any more."""
        return next((found for found in self.of(record) if found.id == target), None)

    def sealed(self, webhook: CallWebhook, kept: object = None) -> str:
        """What to keep of it; `kept` itself where it says the same. `ContractError` where off."""
        self._check(webhook.url)
        try:
            check_secret(webhook.secret or self._secret)
        except ValueError as error:
            raise ContractError("invalid", f"webhook.secret: {error}") from None
        before = self._opened(kept)
        if isinstance(kept, str) and before == webhook:
            return kept
        return self._seal.close(webhook.model_dump_json())

    def _check(self, url: str) -> None:
        if _scheme(url) not in ("http", "https"):
            raise ContractError("invalid", "webhook.url: not an http or https URL")
        self.allow.check(url)

    def _named(self, record: CallRecord | None) -> Target | None:
        webhook = self._opened(record.settings.get(SETTING) if record else None)
        secret = webhook and (webhook.secret or self._secret)
        if not webhook or not secret:
            return None
        return Target(webhook.url, secret, frozenset(webhook.events))

    def _opened(self, sealed: Any) -> CallWebhook | None:
        if not isinstance(sealed, str):
            return None
        try:
            return CallWebhook.model_validate_json(self._seal.open(sealed))
        except (ValueError, ValidationError):
            log.warning("a call's webhook cannot be read: the server had another secret")
            return None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # as of brackets that hold no address
        return ""
