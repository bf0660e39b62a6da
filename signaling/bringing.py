"""Brings finals of an outside recognizer into a call, by its node, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from captions.types import SPOKEN, Caption
from signaling.brought import BringCaptions, finals_of, key_digest, utterances
from signaling.bus import Bus
from signaling.errors import ContractError
from signaling.lifecycle import CallEnded
from signaling.rooms import Rooms
from signaling.shared_call import SharedCall, billed, heard_from, now_ms
from signaling.store import TranscriptStore
from signaling.tokens import Identity
from signaling.transcripts import Transcripts

_HEARD_SECONDS: Final = 5.0
"""How often an empty call is told anew that something comes."""


class KeyReused(Exception):
    """The idempotency key stands for other captions."""


class Bringing:
    """Every method raises `ContractError` with what the caller is to be told."""

    def __init__(
        self, rooms: Rooms, bus: Bus, transcripts: Transcripts, store: TranscriptStore
    ) -> None:
        self._rooms = rooms
        self._bus = bus
        self._transcripts = transcripts
        self._store = store

    async def bring(
        self, call: str, who: Identity, key: str, brought: BringCaptions
    ) -> list[Caption]:
        """The finals as they are numbered; the same for the same key.

        `not_found` of a call that never was, `conflict` of one that is over. `KeyReused`.
        """
        shared = await self._rooms.going_on(call)
        if shared is None and await self._store.call(call) is None:
            raise ContractError("not_found", "no such call")
        digest, fingerprint = key_digest(who.subject, key), brought.fingerprint(key)
        claimed = await self._bus.claim(call, digest, fingerprint)
        if claimed not in (None, fingerprint):
            raise KeyReused
        if claimed:
            known = await self._known(call, utterances(digest, len(brought.captions)))
            if known:
                return known
        if shared is None:
            raise CallEnded
        finals = finals_of(call, digest, brought, shared.participants)
        shared = await self._placed(await self._billed(shared, finals, who.tenant))
        return await self._publish(shared, finals)

    async def _known(self, call: str, utterances: list[str]) -> list[Caption] | None:
        """What an earlier try has brought, None where it did not get so far."""
        finals = {c.utterance: c for c in await self._transcripts.since(call, SPOKEN, 0)}
        known = [finals[utterance] for utterance in utterances if utterance in finals]
        return known if len(known) == len(utterances) else None

    async def _billed(
        self, shared: SharedCall, finals: Sequence[Caption], tenant: str
    ) -> SharedCall:
        """Who did not come in by a token of their own spoke by that of who brings their words."""
        speakers = {final.participant for final in finals} - shared.people.keys()

        def by_tenant(now: SharedCall | None) -> SharedCall:
            if now is None or now.ending_since_ms is not None:
                raise CallEnded
            for speaker in sorted(speakers):
                now = billed(now, speaker, tenant)
            return now

        return (
            shared if by_tenant(shared) == shared else await self._rooms.set(shared.call, by_tenant)
        )

    async def _placed(self, shared: SharedCall) -> SharedCall:
        """With a node; and an empty call goes on for a while from now."""
        since_ms = shared.empty_since_ms
        if since_ms is not None and now_ms() - since_ms > _HEARD_SECONDS * 1000:
            shared = await self._rooms.set(shared.call, _heard_from)
        waits = shared.state == "recovering" and shared.source.kind != "direct"
        if shared.node is None and not waits:  # for a node that joins its SFU, too
            shared = await self._rooms.lifecycle.place(shared.call)
        return shared

    async def _publish(self, shared: SharedCall, finals: list[Caption]) -> list[Caption]:
        node, ref = self._rooms.lifecycle.node(shared), self._rooms.lifecycle.ref(shared)
        try:
            return await node.publish(ref, finals)
        except ContractError as error:
            if error.code != "conflict":
                raise
            if await self._rooms.going_on(shared.call) is None:
                raise CallEnded from None
            raise ContractError("unavailable", "the call has just moved", 1000) from None


def _heard_from(now: SharedCall | None) -> SharedCall:
    if now is None or now.ending_since_ms is not None:
        raise CallEnded
    return heard_from(now)
