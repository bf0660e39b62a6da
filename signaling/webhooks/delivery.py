"""One event on its way to one target, and where it waits. No text is in it, ever.

Whatever passes `tests/signaling/deliveries_contract.py` may stand in as `Deliveries`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from signaling.messages import WebhookEvent

DeliveryState = Literal["waiting", "sent", "dead"]

SENT_KEPT_MS: Final = 86_400_000
"""How long it is remembered what was sent, so that it is not sent again."""

DEAD_KEPT_MS: Final = 7 * 86_400_000
"""How long what was given up can be looked at and tried again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`id` is the `webhook-id`, the same of the same event and target.

    `target` is a `Target.id` and `origin` what may be shown of it. `about` says what the event is
    of, by names and numbers: its text, if it has one, is looked up when it is sent. Times are
    milliseconds since the Unix epoch: `due_at_ms` of the next attempt, `settled_at_ms` of the last
    where there is none. `status` is the last answer's, `error` why the last attempt failed.
    """

    id: str
    event: WebhookEvent
    call: str
    target: str
    origin: str
    created_at_ms: int
    due_at_ms: int
    about: Mapping[str, Any] = field(default_factory=dict)
    state: DeliveryState = "waiting"
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    settled_at_ms: int | None = None


def message_id(target: str, event: WebhookEvent, *what: object) -> str:
    """The id of the message that tells a target of an event; `what` names that once."""
    named = "\n".join((target, event, *map(str, what)))
    return f"msg_{hashlib.sha256(named.encode(errors='replace')).hexdigest()[:32]}"


class Deliveries(Protocol):
    """Deliveries of all gateways, each taken by one of them at a time."""

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep them; one that is there already, whatever its state, changes nothing."""

    async def due(self, now_ms: int) -> list[str]:
        """The targets that something is due for, whose has waited longest first."""

    async def next_due_ms(self, after_ms: int) -> int | None:
        """When the next is due later than that, None where none is."""

    async def claim(self, target: str, now_ms: int, until_ms: int, limit: int) -> list[Delivery]:
        """Take what is due for a target, the oldest first; each counts as one more attempt.

        Nobody else gets it before `until_ms`, nor after where it is settled by then.
        """

    async def settle(self, delivery: Delivery) -> None:
        """Keep how it is now; nothing of one that is not there any more."""

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """The one with this id."""

    async def listed(self, state: DeliveryState, call: str | None, limit: int) -> list[Delivery]:
        """The newest first, of one call or of all."""

    async def count(self) -> dict[DeliveryState, int]:
        """How many wait and how many are dead."""

    async def forget(self, delivery_id: str) -> None:
        """Keep nothing of it: what it tells of was erased."""

    async def disable(self, target: str, now_ms: int, why: str) -> None:
        """Nothing more goes to a target that says it is gone; what waits for it is dead."""

    async def enable(self, target: str) -> None:
        """Try it again."""

    async def disabled(self, targets: Collection[str]) -> set[str]:
        """Which of these are."""
