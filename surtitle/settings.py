"""What can be set; the command line and `SURTITLE_…` variables fill it in."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from pydantic import TypeAdapter, ValidationError

from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.files.memory import FileRules
from signaling.jwks import Jwks
from signaling.limits.addresses import Addresses
from signaling.limits.rules import Limits
from signaling.messages import TOLD_BY_ITSELF, WebhookEvent
from signaling.tenure import GRACE_SECONDS
from signaling.webhooks.targets import Targets
from turn.credentials import LIFETIME_SECONDS, TurnServers
from turn.regions import Regions

_MOST_WORKERS: Final = 4

_EVENT: Final = TypeAdapter[WebhookEvent](WebhookEvent)

_TAG: Final = re.compile(r"auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")

VOICES: Final = Path(__file__).parent / "voices"
"""Our own recordings, for the demo and the page's recorded speaker."""


class UserError(Exception):
    """What a command tells its user in one line before it exits with 1."""


class SettingsError(UserError):
    """Settings that do not go together; the message says what to do."""


def data_folder() -> Path:
    """Where the embedded store is unless told otherwise (XDG Base Directory)."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Where models are put together."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "surtitle"


@dataclass(frozen=True, slots=True)
class Settings:
    """Of `surtitle run`, `gateway` and `node`: each uses what is its own.

    `capacity` is in speakers, 0 for what the machine suggests. Without a `final_model` the model
    makes finals, too. `control_url` is where gateways reach a node; by itself where it listens.
    `language` is of who does not say what they speak; without `translators` those that are
    installed translate. `largest_file` and `files_memory` are in MiB, `turn_lifetime` and
    `token_grace` in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    model: str = "auto"
    final_model: str = ""
    device: str = "auto"
    data: Path = field(default_factory=data_folder)
    secret: str = ""
    previous_secret: str = ""
    jwks: str = ""
    jwks_allow: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    token_grace: float = GRACE_SECONDS
    node_id: str = "node-1"
    advertise: str = ""
    capacity: int = 0
    origins: tuple[str, ...] = ()
    sfu: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret: str = ""
    turn_lifetime: int = LIFETIME_SECONDS
    turn_regions: tuple[str, ...] = ()
    turn_near: tuple[str, ...] = ()
    region_header: str = ""
    redis: str = ""
    mongo: str = ""
    control_url: str = ""
    language: str = "auto"
    translators: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()
    webhook_secret: str = ""
    webhook_events: tuple[str, ...] = ()
    webhook_allow: tuple[str, ...] = ()
    largest_file: int = 200
    files_memory: int = 1024
    files_at_once: int = 1
    limits: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return not self.secret and not self.jwks

    @property
    def file_rules(self) -> FileRules:
        """What files may take of a gateway."""
        return FileRules(self.largest_file * 2**20, self.files_memory * 2**20, self.files_at_once)

    @property
    def rules(self) -> Limits:
        """The limits; `SettingsError` where they cannot be meant."""
        try:
            return Limits.of(self.limits, os.environ)
        except ValueError as error:
            raise SettingsError(f"--limit NAME=NUMBER: {error}.") from None

    @property
    def addresses(self) -> Addresses:
        """Whose requests these are; `SettingsError` where proxies are no ranges of addresses."""
        try:
            return Addresses(self.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"--trusted-proxy: {error} (10.0.0.0/8).") from None

    @property
    def turn(self) -> TurnServers:
        """The STUN and TURN servers that clients are told of; ValueError where none is meant."""
        return TurnServers(
            self.turn_urls,
            self.turn_secret,
            self.turn_lifetime,
            Regions.parse(self.turn_regions, self.turn_near),
            self.region_header,
        )

    def check(self) -> None:
        """Raise `SettingsError` for what cannot be meant."""
        if not self.secret and not _is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} can be reached from other machines, so --secret must be set "
                "(SURTITLE_SECRET): without one everybody may do everything."
            )
        if not _TAG.fullmatch(self.language):
            raise SettingsError(
                f"--language {self.language!r} is no language: auto, or a tag such as de or pt-BR."
            )
        try:
            AllowList(self.sfu)
        except ValueError as error:
            raise SettingsError(
                f"--sfu: {error}. It takes the beginning of a URL (wss://sfu.example.com) or a "
                "range of addresses (10.0.0.0/8)."
            ) from None
        if self.files_memory < self.largest_file:
            raise SettingsError("--files-memory must have room for the --largest-file.")
        self._check_turn()
        if self.previous_secret and not self.secret:
            raise SettingsError("--previous-secret is beside --secret, the one that is in use.")
        self.keys()
        self.targets()
        self.rules, self.addresses  # noqa: B018 - they raise

    def keys(self) -> Jwks | None:
        """Public keys of tokens; `SettingsError` where their URL cannot be meant."""
        if not self.jwks:
            return None
        try:
            return Jwks(self.jwks, allow=self.jwks_allow)
        except ValueError as error:
            raise SettingsError(
                f"--jwks-allow: {error}. It takes the beginning of a URL "
                "(https://login.internal) or a range of addresses (10.0.0.0/8)."
            ) from None
        except ContractError as error:
            raise SettingsError(
                f"--jwks: {error.message.removeprefix('jwks: ')}. It leads by https to a public "
                "host, or to loopback, or where --jwks-allow says."
            ) from None

    def _check_turn(self) -> None:
        try:
            urls = self.turn.all_urls
        except ValueError as error:
            raise SettingsError(
                f"--turn-region, --turn-near: {error}. They take "
                "eu=turn:eu.example.org,turns:… and de,fr=eu,us."
            ) from None
        for url in urls:
            if not url.startswith(("stun:", "stuns:", "turn:", "turns:")):
                raise SettingsError(f"--turn-url: {url!r} is no stun:, turn: or turns: URL.")
        if any(url.startswith("turn") for url in urls) and not self.turn_secret:
            raise SettingsError("--turn-url needs --turn-secret, coturn's static-auth-secret.")

    def targets(self) -> Targets:
        """The webhooks; `SettingsError` where they cannot be meant."""
        if self.webhooks and not self.webhook_secret:
            raise SettingsError(
                "--webhook needs --webhook-secret (SURTITLE_WEBHOOK_SECRET), whsec_ and 24 to 64 "
                'bytes in base64: echo "whsec_$(openssl rand -base64 32)".'
            )
        try:
            return Targets(
                self.webhooks,
                secret=self.webhook_secret,
                events=[_EVENT.validate_python(name) for name in self.webhook_events]
                or TOLD_BY_ITSELF,
                allow=self.webhook_allow,
                server_secret=self.secret,
                previous_server_secret=self.previous_secret,
            )
        except ValidationError:
            raise SettingsError(
                f"--webhook-event: one of {', '.join(get_args(WebhookEvent))}."
            ) from None
        except ValueError as error:
            raise SettingsError(
                f"--webhook-secret, --webhook-allow: {error}; the latter takes the beginning of a "
                "URL (http://hooks.internal:8000) or a range of addresses (10.0.0.0/8)."
            ) from None
        except ContractError as error:
            raise SettingsError(
                f"--webhook: {error.message.removeprefix('webhook.url: ')}. It leads by https to a "
                "public host, or where --webhook-allow says."
            ) from None

    def workers_on(self, device: str) -> int:
        """Batches recognized at once: on a GPU one, else by cores.

        Several of one thread do more than one of several threads.
        """
        return 1 if device == "cuda" else min(_MOST_WORKERS, _cores())

    def threads_on(self, device: str) -> int:
        """CPU threads of each worker; of many cores half are left, since media needs some."""
        return max(1, min(4, _cores() // (2 * self.workers_on(device))))

    def batch_on(self, device: str) -> int:
        """Windows recognized together at most."""
        return 16 if device == "cuda" else 4

    def capacity_on(self, device: str) -> int:
        """Speakers at once; see `docs/benchmarks.md` for what this rests on."""
        if self.capacity:
            return self.capacity
        return 32 if device == "cuda" else 4 * _cores()


def _cores() -> int:
    return os.cpu_count() or 1


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
