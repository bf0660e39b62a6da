"""Who may do what on a server, by its settings."""

from __future__ import annotations

from signaling.api_keys.keyring import Keyring
from signaling.authenticator import Authenticator
from signaling.store import TranscriptStore
from signaling.tokens import Authority, Everybody, SharedSecret
from surtitle.settings import Settings


def authority(settings: Settings, store: TranscriptStore) -> Authority:
    """What identifies callers. `SettingsError` where that cannot be meant."""
    secret, issuers = settings.secret, settings.issuers
    if settings.is_open:
        return Everybody()
    shared = SharedSecret(secret, previous=settings.previous_secret, issuers=issuers)
    return Authenticator(
        secret=shared if secret else None,
        jwks=settings.keys(),
        keyring=Keyring(store.api_keys),
        issuers=issuers,
    )
