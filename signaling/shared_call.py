"""A call as all gateways and its node share it, and how it changes: pure, no I/O.

Whoever changes a call applies one of the functions here to what it is (`Presence.change`);
every gateway that has somebody in it sees each version.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from captions.types import SPOKEN
from signaling.messages import (
    Arrived,
    CallEvent,
    CallHealth,
    CallOver,
    CallRef,
    Departed,
    Participant,
    Publishing,
    State,
)
from signaling.sources import AnySource, Direct
from signaling.store import CallRecord

TENANT: Final = "tenant"
TENANTS: Final = "tenants"
"""Of a call's settings, not by choice: whose token began it; pairs of who came by another's."""

MOVED = "the captioner moved to another node"


@dataclass(frozen=True, slots=True)
class WhipSession:
    """One publisher by WHIP. `subject` is of the token that made it; `etag` of its ICE session.

    `mids` and `ufrags` are those of its offer that are for the audio.
    """

    id: str
    call: str
    participant: str
    subject: str | None
    etag: str
    mids: frozenset[str]
    ufrags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a call. `gateway` and `socket` are None for who has no socket of their own.

    `guest`: they are in it without one, or besides: by an SFU, or by WHIP (`whip`).
    """

    participant: Participant
    gateway: str | None = None
    socket: str | None = None
    guest: bool = False
    whip: WhipSession | None = None

    @property
    def seated(self) -> bool:
        """Whether they have a socket."""
        return self.socket is not None


@dataclass(frozen=True, slots=True)
class SharedCall:
    """One version of a call. `version` rises with each change, also from one life to the next.

    `node` is None until it has been placed, or while no node has room for it; a later `epoch`
    is a later owner. `created` says that its settings were chosen, by `POST /api/calls`.
    `watched_by` are the gateways that have watchers in it, `reads` the feeds that sockets of each
    gateway read beside what is spoken, `awaited` the participants whose
    audio the present node has not got yet, though the one before had. `leaving` is the node
    that still speaks the last words of a call that was moved without need (a drain). Times are
    milliseconds since the Unix epoch, `interrupted_at_ms` the last sign of life of a node that
    died, `moved_at_ms` when the present node got the call from another. `ending_by` is whoever ends
    it since `ending_since_ms`, by a name of that once. `reopen`: the bus knows nothing of it any
    more, since what was shared was lost.
    """

    record: CallRecord
    version: int = 0
    created: bool = False
    source: AnySource = field(default_factory=Direct)
    source_details: Mapping[str, Any] = field(default_factory=dict)
    node: str | None = None
    epoch: int = 0
    state: State = "live"
    reason: str | None = None
    people: Mapping[str, Person] = field(default_factory=dict)
    watched_by: frozenset[str] = frozenset()
    reads: Mapping[str, frozenset[str]] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()
    leaving: tuple[str, int] | None = None
    interrupted_at_ms: int | None = None
    moved_at_ms: int | None = None
    empty_since_ms: int | None = None
    ending_since_ms: int | None = None
    ending_by: str | None = None
    reopen: bool = False

    @property
    def call(self) -> str:
        """Its id."""
        return self.record.call

    @property
    def ref(self) -> CallRef | None:
        """The call as its node knows it, None without one."""
        if self.node is None:
            return None
        started_at_ms = self.record.started_at_ms
        return CallRef(
            self.call, self.epoch, started_at_ms, self.interrupted_at_ms, version=self.version
        )

    @property
    def participants(self) -> dict[str, Participant]:
        """Who is in it, by id."""
        return {who: person.participant for who, person in self.people.items()}

    @property
    def feeds(self) -> frozenset[str]:
        """The languages that its captions are wanted in, beside what is spoken."""
        always = self.record.settings.get("captions_languages", ())
        return frozenset(always).union(*self.reads.values()) - {SPOKEN}

    @property
    def captioning(self) -> bool:
        """Whether anybody's speech is being captioned."""
        return any(p.publishing and p.captioned for p in self.participants.values())

    @property
    def empty(self) -> bool:
        """Whether nobody is in it, watches it, or can be expected to come by its SFU."""
        return not self.people and not self.watched_by and self.source.kind == "direct"

    @property
    def astray(self) -> bool:
        """Whether its node was to join its SFU, and has not done so (yet)."""
        moved = self.state == "recovering" and self.reason == MOVED
        return moved and self.node is not None and self.source.kind != "direct"

    @property
    def gateways(self) -> frozenset[str]:
        """The gateways that have sockets in it."""
        seated = {person.gateway for person in self.people.values() if person.gateway}
        return self.watched_by | seated

    def roster(self) -> list[dict[str, Any]]:
        """The participants of the public contract."""
        return [participant.to_wire() for participant in self.participants.values()]


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def next_epoch(call: SharedCall) -> int:
    """The epoch of the next owner: microseconds since the Unix epoch.

    So it is later than all before, also where what was known of them is lost.
    """
    return max(call.epoch + 1, now_us())


def settled(call: SharedCall) -> SharedCall:
    """What follows from the rest: since when the call is empty, and whether it is all back."""
    awaited = call.awaited & call.people.keys()
    call = replace(call, awaited=awaited)
    back = call.node and not awaited and call.source.kind == "direct"
    if back and call.state == "recovering" and call.reason == MOVED:
        call = replace(call, state="live", reason=None)
    if not call.empty:
        return replace(call, empty_since_ms=None)
    return call if call.empty_since_ms is not None else replace(call, empty_since_ms=now_ms())


def billed(call: SharedCall, who: str, tenant: str) -> SharedCall:
    """Whose token somebody came in by, kept where it is not that of who began the call.

    In its record, so that it is known behind the end of the call, and of who has left. Watching
    begins no call: before it was placed, whoever comes in (or creates it: `who` is empty) does.
    """
    settings = call.record.settings
    if tenant and not call.epoch and TENANT not in settings:
        record = replace(call.record, settings={**settings, TENANT: tenant})
        return replace(call, record=record)
    others = dict(settings.get(TENANTS, ()))
    if not who or tenant in ("", settings.get(TENANT, "")):
        others.pop(who, None)
    else:
        others[who] = tenant
    if others == dict(settings.get(TENANTS, ())):
        return call
    kept = {**settings, TENANTS: [list(pair) for pair in others.items()]}
    return replace(call, record=replace(call.record, settings=kept))


def tenant_of(record: CallRecord, who: str) -> str:
    """Whose token a participant came in by; who began the call, where it was none."""
    own = str(record.settings.get(TENANT, ""))
    return str(dict(record.settings.get(TENANTS, ())).get(who, own))


def chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What callers chose of a call's settings."""
    return {name: value for name, value in settings.items() if name not in (TENANT, TENANTS)}


def with_person(call: SharedCall, person: Person) -> SharedCall:
    """Somebody came, or changed."""
    return settled(replace(call, people={**call.people, person.participant.id: person}))


def without_person(call: SharedCall, who: str) -> SharedCall:
    """Somebody is gone."""
    people = {key: person for key, person in call.people.items() if key != who}
    return settled(replace(call, people=people))


def unseated(call: SharedCall, who: str, gateway: str, socket: str) -> SharedCall:
    """A participant's socket is gone; a guest stays, and whoever sits elsewhere by now."""
    person = call.people.get(who)
    if person is None or (person.gateway, person.socket) != (gateway, socket):
        return call
    if person.guest:
        return with_person(call, replace(person, gateway=None, socket=None))
    return without_person(call, who)


def without_guest(call: SharedCall, who: str) -> SharedCall:
    """A guest is gone; who has a socket besides stays."""
    person = call.people.get(who)
    if person is None or not person.guest:
        return call
    if person.seated:
        return with_person(call, replace(person, guest=False, whip=None))
    return without_person(call, who)


def without_gateway(call: SharedCall, gateway: str) -> SharedCall:
    """A gateway died: its sockets are gone with it."""
    call = with_readers(call, gateway, frozenset())
    call = replace(call, watched_by=call.watched_by - {gateway})
    for who, person in list(call.people.items()):
        if person.gateway == gateway and person.socket:
            call = unseated(call, who, gateway, person.socket)
    return settled(call)


def with_watchers(call: SharedCall, gateway: str, *, any_left: bool) -> SharedCall:
    """A gateway has watchers in it, or none any more."""
    watched_by = call.watched_by | {gateway} if any_left else call.watched_by - {gateway}
    return settled(replace(call, watched_by=watched_by))


def with_readers(call: SharedCall, gateway: str, feeds: frozenset[str]) -> SharedCall:
    """What a gateway's sockets read beside what is spoken."""
    reads = {name: read for name, read in call.reads.items() if name != gateway}
    return replace(call, reads={**reads, gateway: feeds} if feeds else reads)


def heard_from(call: SharedCall) -> SharedCall:
    """Something came from outside: a call that is empty waits anew for somebody."""
    return replace(call, empty_since_ms=now_ms()) if call.empty else call


def placed(call: SharedCall, node: str, epoch: int) -> SharedCall:
    """The call has a node, its first or the next; `awaited` says whom that one must still get."""
    moved_at_ms = now_ms() if call.awaited or call.leaving else None
    return settled(replace(call, node=node, epoch=epoch, moved_at_ms=moved_at_ms))


def lost(call: SharedCall, interrupted_at_ms: int, reason: str = MOVED) -> SharedCall:
    """Its node died: nothing is captioned until it has another.

    Who came by WHIP is gone: nobody can ask them for another offer.
    """
    for who, person in list(call.people.items()):
        if person.whip:
            call = without_guest(call, who)
    awaited = call.awaited | _with_audio(call)
    people = {
        who: replace(person, participant=interrupted(person.participant, interrupted_at_ms))
        if who in awaited
        else person
        for who, person in call.people.items()
    }
    return settled(
        replace(
            call,
            node=None,
            people=people,
            awaited=awaited,
            state="recovering",
            reason=reason,
            interrupted_at_ms=interrupted_at_ms,
            leaving=None,
        )
    )


def handed_over(call: SharedCall, node: str, epoch: int) -> SharedCall:
    """A node that drains gives the call to another, and still speaks the last words."""
    if call.node is None:
        return call
    leaving = (call.node, call.epoch)
    call = replace(call, awaited=_with_audio(call), interrupted_at_ms=None, leaving=leaving)
    return placed(call, node, epoch)


def left_behind(call: SharedCall) -> SharedCall:
    """The node that drained has spoken its last word; whoever did not move on sends no more."""
    return no_longer_awaited(replace(call, leaving=None))


def resumed(call: SharedCall) -> SharedCall:
    """The next node is at the call's SFU."""
    if call.state != "recovering":
        return call
    return settled(replace(call, state="live", reason=None))


def no_longer_awaited(call: SharedCall) -> SharedCall:
    """Those who have not come to the next node by now will not: guests are gone."""
    for who in call.awaited:
        person = call.people.get(who)
        if person and not person.seated:
            call = without_person(call, who)
        elif person:
            participant = replace(person.participant, publishing=False)
            call = with_person(call, replace(person, participant=participant))
    return settled(replace(call, awaited=frozenset()))


def _with_audio(call: SharedCall) -> frozenset[str]:
    """Whose audio a node that takes over must get again."""
    return frozenset(who for who, p in call.people.items() if p.guest or p.participant.publishing)


def interrupted(participant: Participant, at_ms: int) -> Participant:
    """Somebody whose audio was lost, by no fault of theirs."""
    if participant.interrupted_at_ms is not None:
        at_ms = participant.interrupted_at_ms
    return replace(participant, publishing=False, interrupted_at_ms=at_ms)


def as_they_wish(who: Participant, person: Person) -> Participant:
    """Somebody as they are known elsewhere, with the wishes that they told here."""
    wishes = person.participant
    return replace(who, captioned=wishes.captioned, anonymous=wishes.anonymous)


def heard(call: SharedCall, event: CallEvent, epoch: int) -> SharedCall:
    """A node's word on the call; that of an owner before changes nothing."""
    if epoch != call.epoch or call.node is None:
        return call
    match event:
        case Publishing():
            call = _publishing(call, event)
        case Arrived(_, participant):
            call = _arrived(call, participant)
        case Departed(_, who):
            call = without_guest(call, who)
        case CallHealth():
            call = _health(call, event)
        case CallOver():
            call = replace(call, ending_since_ms=call.ending_since_ms or 0)
    return call


def _health(call: SharedCall, event: CallHealth) -> SharedCall:
    if event.state == "live" and call.state == "recovering" and call.awaited:
        return call  # the node is well, but not everybody has come to it yet
    return replace(call, state=event.state, reason=event.reason)


def _publishing(call: SharedCall, event: Publishing) -> SharedCall:
    person = call.people.get(event.participant)
    if person is None:
        return call
    participant = replace(person.participant, publishing=event.publishing)
    if event.publishing:
        participant = replace(participant, interrupted_at_ms=None)
        call = replace(call, awaited=call.awaited - {event.participant})
    return with_person(call, replace(person, participant=participant))


def _arrived(call: SharedCall, participant: Participant) -> SharedCall:
    before = call.people.get(participant.id)
    call = replace(call, awaited=call.awaited - {participant.id})
    if before is None:
        return with_person(call, Person(participant, guest=True))
    if not before.seated:  # what they say of themselves on a socket stands above an SFU's word
        named = replace(before.participant, name=participant.name)
        before = replace(before, participant=named)
    return with_person(call, replace(before, guest=before.guest or call.source.kind != "direct"))
