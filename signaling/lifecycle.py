"""What happens to a call as a whole, whichever gateway sees to it: begin, place, move, end.

Each step is a change of what all share, so that of two gateways which try at the same time
one does it and the other finds it done.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog

from captions.types import as_final
from signaling.bus import Bus, Fenced, Unopened
from signaling.contained import contained
from signaling.errors import ContractError
from signaling.messages import CallRef
from signaling.node_api import NodeApi, NodeDirectory
from signaling.presence import Presence
from signaling.registry import Registry
from signaling.shared_call import (
    MOVED,
    TENANT,
    SharedCall,
    chosen,
    handed_over,
    left_behind,
    lost,
    next_epoch,
    no_longer_awaited,
    now_ms,
    placed,
    resumed,
    settled,
)
from signaling.store import CallRecord, TranscriptStore
from signaling.transcripts import Transcripts

log = structlog.get_logger(__name__)

ENDING_SECONDS: Final = 30.0
"""How long whoever ends a call may take before somebody else ends it, too."""

MOVING_SECONDS: Final = 10.0
"""How long participants have to send their audio to the next node."""


Ended = Callable[[CallRecord, int, Mapping[str, int]], Awaitable[None]]
"""Told of a call's end, its last epoch, and its newest `seq` by feed, before it is over.

Where whoever ends it dies on the way, somebody else ends it again, and it is told again.
"""


class CallEnded(ContractError):
    """Just when something was to be done in it."""

    def __init__(self) -> None:
        super().__init__("conflict", "the call has ended")


class Lifecycle:
    """Every method raises `ContractError` with what the caller is to be told."""

    def __init__(
        self,
        *,
        bus: Bus,
        registry: Registry,
        presence: Presence,
        nodes: NodeDirectory,
        store: TranscriptStore,
        transcripts: Transcripts,
        language: str = "auto",
        ended: Ended | None = None,
        admit: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`language` is the BCP 47 tag of who does not say theirs, in a call that does not.

        `admit` is asked before a call of a tenant begins; it may raise `ContractError`.
        """
        self._admit = admit
        self._bus = bus
        self._registry = registry
        self._presence = presence
        self._nodes = nodes
        self._store = store
        self._transcripts = transcripts
        self._language = language
        self._tell_ended = ended

    def language(self, shared: SharedCall) -> str:
        """The BCP 47 tag of participants who do not say what they speak."""
        return str(shared.record.settings.get("language", self._language))

    def node(self, shared: SharedCall) -> NodeApi:
        """The node that has the call; `conflict` before it was placed."""
        if shared.node is None:
            if shared.epoch:
                raise ContractError("overloaded", "no media node has room for the call", 2000)
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return self._nodes.node(shared.node)

    def ref(self, shared: SharedCall) -> CallRef:
        """The call as its node knows it; `conflict` before it was placed."""
        if shared.ref is None:
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return shared.ref

    async def begin(
        self, call: str, settings: dict[str, Any], check: Callable[[], None], tenant: str = ""
    ) -> SharedCall:
        """The call as it is; where there is none, it begins, or goes on where it was known.

        `tenant` is who then began it. `check` may raise behind the last wait before that.
        """
        while True:
            record = await self._record(call, settings, tenant)
            if record and self._admit:
                await self._admit(tenant)
            check()
            shared = await self._presence.change(call, partial(_begun, record))
            if shared and shared.ending_since_ms is None:
                return shared
            if shared:
                await self.gone(call)

    async def _record(self, call: str, settings: dict[str, Any], tenant: str) -> CallRecord | None:
        if await self._presence.read(call):
            return None
        known = await self._store.call(call)
        began = {TENANT: tenant} if tenant else {}
        if known is None:
            return CallRecord(call, now_ms(), settings={**settings, **began})
        # But for its SFU: what that wanted to know was not kept.
        kept = {name: value for name, value in chosen(known.settings).items() if name != "source"}
        return replace(known, ended_at_ms=None, settings={**(settings or kept), **began})

    async def place(self, call: str) -> SharedCall:
        """The call with a node, the least loaded one where it has none."""
        now = await self._presence.read(call)
        if now and now.node:
            return now
        first = now is None or now.state != "recovering"
        last_seq = await self._last_seq(call)
        node = await self._registry.reserve()
        epoch = 0

        def onto_node(now: SharedCall | None) -> SharedCall:
            nonlocal epoch
            if now is None or now.ending_since_ms is not None:
                raise CallEnded
            if now.node:
                return now
            epoch = next_epoch(now)
            return placed(now, node, epoch)

        try:
            shared = await self._presence.change(call, onto_node)
            assert shared
            # Told apart by what was written: a change may be tried again though it was made.
            if shared.epoch != epoch:
                await self._registry.give_back(node)
                return shared
            await self._bus.open_call(call, epoch, last_seq)
            if first:  # from now on it counts as begun
                await self._store.save_call(shared.record)
        except BaseException:
            with contained("place on a node not given back"):
                await self._unplace(call, epoch)
                await self._registry.give_back(node)
            raise
        return shared

    async def recover(self, call: str, died: str | None, seen_at_ms: int) -> None:
        """Give a call whose node died to another; `seen_at_ms` is that one's last heartbeat.

        Where none has room the call stays without, and this is to be tried again with None.
        """

        def without_node(now: SharedCall | None) -> SharedCall | None:
            return lost(now, seen_at_ms) if now and now.node == died and died else now

        await self._presence.change(call, without_node)
        shared = await self.place(call)
        await self._finish_open(shared)
        if shared.source.kind != "direct":
            await self._join_sfu(shared)
        log.info("call moved from a node that died", node=shared.node)

    async def hand_over(self, call: str) -> None:
        """Take a call from a node that drains, without losing a word of it.

        The next node has it before the one that drains has spoken its last words: that one may
        publish until then, and no longer.
        """
        last_seq = await self._last_seq(call)
        node = await self._registry.reserve()
        before: CallRef | None = None
        old_node, epoch = "", 0

        def onto_next(now: SharedCall | None) -> SharedCall | None:
            nonlocal before, old_node, epoch
            if now is None or now.node is None or now.leaving or now.ending_since_ms is not None:
                return now
            before, old_node, epoch = now.ref, now.node, next_epoch(now)
            return handed_over(now, node, epoch)

        try:
            shared = await self._presence.change(call, onto_next)
        except BaseException:
            await self._registry.give_back(node)
            raise
        if before is None or shared is None or shared.epoch != epoch:
            await self._registry.give_back(node)
            return
        try:
            if shared.source.kind != "direct":
                await self._join_sfu(shared)
            else:
                await self._moved_over(call, shared.epoch)
        finally:
            await self._leave_behind(call, old_node, before)
            await self._bus.open_call(call, shared.epoch, last_seq)
        log.info("call moved from a node that drains", node=node)

    async def rejoin(self, call: str) -> None:
        """Join a call's SFU from its next node, where whoever was to do that did not."""
        shared = await self._presence.read(call)
        if shared and shared.astray:
            await self._join_sfu(shared)

    async def reopen(self, call: str) -> None:
        """Let the bus, which lost its memory, take what is said in a call that goes on."""
        shared = await self._presence.read(call)
        if shared is None or not shared.reopen:
            return
        if shared.epoch:
            await self._bus.open_call(call, shared.epoch, await self._store.last_seq(call))
        await self._presence.change(call, lambda now: replace(now, reopen=False) if now else None)

    async def settle(self, call: str) -> None:
        """Put an end to a move that has taken too long."""
        shared = await self._presence.change(
            call, lambda now: no_longer_awaited(now) if now and now.awaited else now
        )
        if shared and shared.leaving:
            node, epoch = shared.leaving
            if shared.source.kind != "direct":
                await self._join_sfu(shared)
            await self._leave_behind(call, node, replace(self.ref(shared), epoch=epoch))
            await self._bus.open_call(call, shared.epoch, await self._last_seq(call))

    async def end(self, call: str, *, only_if_empty: bool = False) -> None:
        """End a call for everybody; every last word becomes final and is sent first."""
        mine = secrets.token_hex(8)

        def ending(now: SharedCall | None) -> SharedCall | None:
            since_ms = now.ending_since_ms if now else None
            if now is None or (since_ms and now_ms() - since_ms < ENDING_SECONDS * 1000):
                return now
            if only_if_empty and not now.empty:
                return now
            return replace(now, ending_since_ms=now_ms(), ending_by=mine)

        shared = await self._presence.change(call, ending)
        if shared is None:
            return
        if shared.ending_by != mine:
            if shared.ending_since_ms is not None:
                await self.gone(call)
            return
        await self._end_on_nodes(shared)
        with contained("open utterances not finished"):
            await self._finish_open(shared)
        now = await self._presence.read(call)
        if now is None or now.ending_by != mine:
            return  # this took so long that somebody else did the rest
        ended = replace(shared.record, ended_at_ms=now_ms())
        if shared.epoch:
            with contained("end of a call not kept"):
                await self._store.save_call(ended)
        with contained("listeners not ended"):
            await self._bus.end_call(call)
        if shared.epoch and self._tell_ended:
            with contained("end of a call not announced"):
                await self._tell_ended(ended, shared.epoch, await self._bus.numbers(call))
        await self._presence.change(
            call, lambda now: None if now and now.ending_by == mine else now
        )
        with contained("ended call not forgotten"):
            await self._transcripts.flush()
            await self._bus.forget(call)

    async def gone(self, call: str) -> None:
        """Wait until a call that another gateway ends is over; `unavailable` if it takes long."""
        try:
            async with asyncio.timeout(ENDING_SECONDS / 3), self._presence.follow(call) as versions:
                if await self._presence.read(call) is None:
                    return
                async for version in versions:
                    if version is None:
                        return
        except TimeoutError:
            raise ContractError("unavailable", "the call is just ending", 1000) from None

    async def close_media(self, shared: SharedCall, participant: str) -> None:
        """Stop a participant's audio, behind their last word; contained."""
        with contained("media not closed"):  # the node may have left with the call
            if shared.ref:
                await self.node(shared).close_media(shared.ref, participant)
            if shared.leaving:
                node, epoch = shared.leaving
                before = replace(self.ref(shared), epoch=epoch)
                await self._nodes.node(node).close_media(before, participant)

    async def _finish_open(self, shared: SharedCall) -> None:
        """What a node that died left open becomes final as people saw it last."""
        for caption in await self._bus.left_open(shared.call):
            if caption.final or not shared.epoch:
                continue
            final, person = as_final(caption), shared.people.get(caption.participant)
            if person and person.participant.anonymous:  # by now
                final = replace(final, speaker=person.participant.speaker)
            try:
                await self._bus.publish_final(shared.epoch, final)
            except (Fenced, Unopened):
                log.info("an open utterance has no final: the call has another owner")
                return

    async def _end_on_nodes(self, shared: SharedCall) -> None:
        if shared.leaving:
            node, epoch = shared.leaving
            await self._leave_behind(
                shared.call, node, CallRef(shared.call, epoch, shared.record.started_at_ms)
            )
        if shared.ref:
            with contained("call not ended on its node"):
                await self.node(shared).end(shared.ref)
            with contained("call not released"):
                await self._registry.give_back(shared.node or "")

    async def _leave_behind(self, call: str, node: str, ref: CallRef) -> None:
        left = False

        def leave(now: SharedCall | None) -> SharedCall | None:
            nonlocal left
            if now is None or now.leaving != (node, ref.epoch):
                return now
            left = True
            return left_behind(now)

        with contained("call not ended on the node that drains"):
            await self._nodes.node(node).end(ref)
        with contained("move of a call not told"):
            await self._presence.change(call, leave)
        with contained("call not released"):
            if left:
                await self._registry.give_back(node)

    async def _moved_over(self, call: str, epoch: int) -> None:
        """Wait until everybody's audio has come to the next node, or long enough."""
        try:
            async with asyncio.timeout(MOVING_SECONDS), self._presence.follow(call) as versions:
                now = await self._presence.read(call)
                while now and now.awaited and now.epoch == epoch:
                    now = await anext(versions)
        except TimeoutError:
            log.info("not everybody moved over in time")

    async def _join_sfu(self, shared: SharedCall) -> None:
        """Join a call's SFU from its next node; without that it has none."""
        language = self.language(shared)
        details: Mapping[str, Any] = shared.source_details
        try:
            details = await self.node(shared).start(self.ref(shared), shared.source, language)
        except ContractError as error:
            if error.code != "conflict":  # as where it is there, since somebody else saw to it
                log.warning("SFU not joined by the next node", code=error.code, why=error.logged)
                await self._presence.change(shared.call, partial(_without_node, shared))
                await self._registry.give_back(shared.node or "")
                raise

        def joined(now: SharedCall | None) -> SharedCall | None:
            if now is None or now.epoch != shared.epoch:
                return now
            return resumed(replace(now, source_details=dict(details)))

        await self._presence.change(shared.call, joined)

    async def _unplace(self, call: str, epoch: int) -> None:
        def without(now: SharedCall | None) -> SharedCall | None:
            if now is None or not epoch or now.epoch != epoch:
                return now
            return replace(now, node=None)

        await self._presence.change(call, without)

    async def _last_seq(self, call: str) -> dict[str, int]:
        """By feed; from the store where the bus may not know."""
        try:
            return await self._store.last_seq(call)
        except Exception:
            if await self._bus.last_seq(call, "spoken") is None:
                raise
            log.warning("the store is out of reach; the bus knows the call's numbers")
            return {}


def _without_node(before: SharedCall, now: SharedCall | None) -> SharedCall | None:
    """The call as it is to be tried again elsewhere, unless it has moved on since."""
    if now is None or now.epoch != before.epoch:
        return now
    return replace(now, node=None, state="recovering", reason=MOVED)


def _begun(record: CallRecord | None, now: SharedCall | None) -> SharedCall | None:
    if now or record is None:
        return now
    return settled(SharedCall(record))
