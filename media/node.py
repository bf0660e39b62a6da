"""A media node: the calls it has been given, and its heartbeat. Answers to `NodeApi`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import structlog

from captions.engine import Engine
from captions.load import Level
from captions.scheduler import Scheduler, SchedulerRules
from captions.translation import Translation
from captions.types import Caption
from captions.window import ModelInfo
from captions.worker import State
from media.call import NodeCall
from media.condition import recognizer_state, translation_trouble, trouble
from media.counts import NodeCounts
from media.receiver import ReceiveCounts
from media.source import CallSource
from signaling.audio import AudioFormat, AudioLine
from signaling.bus import Bus
from signaling.errors import ContractError, Unreachable
from signaling.messages import CallRef, Candidate, Participant
from signaling.presence import Presence
from signaling.registry import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    NodeStatus,
    Orders,
    Registry,
)
from signaling.shared_call import lost, now_ms
from signaling.sources import AnySource

log = structlog.get_logger(__name__)

SourceFactory = Callable[[AnySource], CallSource]
"""Makes the source of a call; `ContractError` where it may or can not be."""


class Node:
    """`async with` reports it to the registry and, at the end, drains and withdraws it."""

    def __init__(
        self,
        *,
        node_id: str,
        capacity: int,
        engine: Engine,
        bus: Bus,
        registry: Registry,
        sources: SourceFactory,
        presence: Presence,
        final_engine: Engine | None = None,
        translation: Translation | None = None,
        rules: SchedulerRules | None = None,
        drain_seconds: float = 0.0,
    ) -> None:
        """`capacity` is the number of speakers that this machine captions at once.

        `final_engine` makes the finals, where there is one. `drain_seconds` is how long gateways
        may take at the end to give the calls to other nodes, where there are some.
        """
        self.url = ""
        self.proof = ""
        """Where its control API is, for the registry; empty within one process."""
        self.asked_to_drain = asyncio.Event()
        """Set when an operator asks for it, by the registry."""
        self._presence = presence
        self._drain_seconds = drain_seconds
        self._memory = ""  # of the registry, by name
        self._reported = time.monotonic()
        self._emptied = asyncio.Event()
        self.id = node_id
        self.capacity = capacity
        self.draining = False
        self.counts = NodeCounts()
        self.engine = engine
        self.final_engine = final_engine
        self.translation = translation or Translation()
        self.scheduler = Scheduler(engine, final_engine, rules)
        self._bus = bus
        self._registry = registry
        self._sources = sources
        self._calls: dict[str, NodeCall] = {}
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._told: dict[NodeCall, str | None] = {}  # each call's trouble, as gateways know it
        self._stirred = asyncio.Event()

    @property
    def streams(self) -> int:
        """Speakers that are being captioned, but for those in the background."""
        return sum(call.streams for call in self._calls.values())

    @property
    def background_streams(self) -> int:
        """Recordings that are being captioned; they have no part in the capacity."""
        return sum(call.background_streams for call in self._calls.values())

    @property
    def received(self) -> ReceiveCounts:
        """What became of all packets of all tracks, open and ended."""
        total = ReceiveCounts()
        total.add(self.counts.received)
        for call in self._calls.values():
            call.add_received(total)
        return total

    @property
    def recognizer(self) -> str:
        """How the recognizer is, in the words of `/health`."""
        return recognizer_state(self.engine.state, self._final_state)

    @property
    def saturated(self) -> bool:
        """Whether it can caption no more than it does, and takes no new calls."""
        level, state = self.scheduler.level, self.engine.state
        return level is Level.SATURATED or state == "open_circuit"

    @property
    def _model(self) -> ModelInfo:
        finals = self.final_engine or self.engine
        return replace(self.engine.info, translates=finals.info.translates)

    def _pairs(self) -> Iterator[str]:
        yield from sorted("-".join(pair) for pair in self.translation.pairs)
        if self._model.translates:
            yield "*-en"

    @property
    def _final_state(self) -> State:
        return self.final_engine.state if self.final_engine else "ready"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        engines = [engine for engine in (self.engine, self.final_engine) if engine]
        for engine in engines:
            engine.on_state = self._stirred.set
        for translator in self.translation.translators:
            translator.on_state = self._stirred.set
        await self._disown()
        await self._report()
        self._tasks = [
            self._group.create_task(self.scheduler.run()),
            self._group.create_task(self._beat()),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drain()
        for task in self._tasks:
            task.cancel()
        try:
            await self._registry.withdraw(self.id)
        except Unreachable:
            log.warning("the lease runs out by itself: the registry is out of reach")
        await self._group.__aexit__(None, None, None)

    async def _disown(self) -> None:
        """What a process of this name had before is lost with it: others are to take it."""
        for name, summary in (await self._presence.summaries()).items():
            if summary.node == self.id:
                await self._presence.change(
                    name,
                    lambda call: lost(call, now_ms()) if call and call.node == self.id else call,
                )

    async def drain(self) -> None:
        """Take no new calls and let go those there are; every last word becomes final.

        They go on at other nodes, where there are some with room for them.
        """
        self.draining = True
        await self._try_to_report()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                while self._calls and await self._others_take_calls():
                    self._emptied.clear()
                    await self._emptied.wait()
        await asyncio.gather(*(call.close() for call in list(self._calls.values())))

    async def start(self, call: CallRef, source: AnySource, language: str) -> Mapping[str, Any]:
        """See `NodeApi`."""
        sfu = self._sources(source)
        return await self._begun(call).attach(sfu, language)

    async def offer(self, call: CallRef, participant: Participant, sdp: str) -> str:
        """See `NodeApi`."""
        return await self._begun(call).offer(participant, sdp, call.version)

    async def listen(
        self,
        call: CallRef,
        participant: Participant,
        audio: AudioFormat,
        begins_at_ms: int,
        *,
        background: bool = False,
    ) -> AudioLine:
        """See `NodeApi`."""
        return await self._begun(call).listen(
            participant, audio, begins_at_ms, call.version, background=background
        )

    async def candidate(self, call: CallRef, participant: str, candidate: Candidate) -> None:
        """See `NodeApi`."""
        await self._call(call).direct.candidate(participant, candidate)

    async def close_media(self, call: CallRef, participant: str) -> None:
        """See `NodeApi`."""
        if call.call in self._calls:
            await self._calls[call.call].close_media(participant, call.version)

    async def update(self, call: CallRef, participant: Participant) -> None:
        """See `NodeApi`."""
        if call.call in self._calls:
            self._calls[call.call].update(participant, call.version)

    async def publish(self, call: CallRef, finals: Sequence[Caption]) -> list[Caption]:
        """See `NodeApi`."""
        return await self._begun(call).publish(finals)

    async def forget_words(self, call: CallRef) -> None:
        """See `NodeApi`."""
        if call.call in self._calls:
            self._calls[call.call].forget_words()

    async def end(self, call: CallRef) -> None:
        """See `NodeApi`."""
        there = self._calls.get(call.call)
        if there and there.ref.epoch <= call.epoch:
            await there.close()

    def _begun(self, ref: CallRef) -> NodeCall:
        call = self._calls.get(ref.call)
        if call and call.ref.epoch > ref.epoch:
            raise ContractError("conflict", "the call has moved", 1000)
        if call and call.ref.epoch == ref.epoch:
            return call
        if self.draining:
            raise ContractError("unavailable", "the node is draining", 1000)
        if call:  # it has been elsewhere since
            call.abandon()
        call = self._calls[ref.call] = NodeCall(
            ref=ref,
            scheduler=self.scheduler,
            bus=self._bus,
            presence=self._presence,
            counts=self.counts,
            model=self._model,
            translation=self.translation,
        )
        self._group.create_task(self._run(call))
        return call

    def _call(self, ref: CallRef) -> NodeCall:
        call = self._calls.get(ref.call)
        if call is None or call.ref.epoch != ref.epoch:
            raise ContractError("conflict", "send an offer first")
        return call

    async def _run(self, call: NodeCall) -> None:
        try:
            await call.run()
        except Exception:  # one call's fault must not be another's: logged and counted here
            self.counts.calls_failed += 1
            log.exception("call failed")
        finally:
            if self._calls.get(call.ref.call) is call:
                del self._calls[call.ref.call]
            self._emptied.set()

    async def _beat(self) -> None:
        """Tell how the node is, now and then, and at once where a recognizer died or is back."""
        while True:
            self._stirred.clear()
            level = self.scheduler.look()
            await self._try_to_report()
            self._tell_health(trouble(self.engine.state, self._final_state, level))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._stirred.wait()

    def _tell_health(self, why: str | None) -> None:
        """Tell each call's gateways what they do not know yet; new calls count as live."""
        before, self._told = self._told, {}
        for call in list(self._calls.values()):
            if call.lost:
                continue  # worse, and told already; told again of this when that is over
            its = why or call.unheard
            if its is None and call.translates:
                its = translation_trouble(self.translation)
            self._told[call] = its
            if before.get(call) != its:
                call.tell_health(its)

    async def _try_to_report(self) -> None:
        try:
            orders = await self._report()
            away_seconds = time.monotonic() - self._reported
            self._reported = time.monotonic()
            if self._memory not in ("", orders.memory):
                log.warning("what is shared was lost: telling it anew")
                for call in self._calls.values():
                    call.restore()
            elif away_seconds > LEASE_SECONDS:
                await self._drop_what_moved()
            self._memory = orders.memory
            if orders.drain:
                self.asked_to_drain.set()
        except Unreachable:
            log.info("heartbeat not sent: the registry is out of reach")

    async def _drop_what_moved(self) -> None:
        """After a time without a lease: the calls that others have by now are theirs."""
        log.warning("the lease had run out")
        for call in list(self._calls.values()):
            shared = await self._presence.read(call.ref.call)
            mine = shared and (self.id, call.ref.epoch) in (
                (shared.node, shared.epoch),
                shared.leaving,
            )
            if not mine:
                call.abandon()

    async def _others_take_calls(self) -> bool:
        try:
            nodes = await self._registry.nodes()
        except Unreachable:
            return False
        return any(node.takes_calls for node in nodes if node.status.id != self.id)

    async def _report(self) -> Orders:
        # A call of a recording has a place of its own: nobody live is refused for it.
        background = self.background_streams
        status = NodeStatus(
            self.id,
            self.capacity + background,
            self.streams + background,
            self.draining,
            url=self.url,
            saturated=self.saturated,
            english_only=self._model.english_only,
            translates=tuple(self._pairs()),
            proof=self.proof,
        )
        return await self._registry.report(status)
