"""How a call changes: what a node, a gateway or a death makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.messages import (
    Arrived,
    CallHealth,
    CallOver,
    CallRef,
    Departed,
    Participant,
    Publishing,
)
from signaling.shared_call import (
    MOVED,
    Person,
    SharedCall,
    WhipSession,
    handed_over,
    heard,
    left_behind,
    lost,
    next_epoch,
    no_longer_awaited,
    now_us,
    placed,
    resumed,
    settled,
    unseated,
    with_person,
    with_readers,
    with_watchers,
    without_gateway,
    without_guest,
    without_person,
)
from signaling.sources import Direct, Rtp
from signaling.store import CallRecord

NAMES = ("anna", "ben", "cleo")
WHIP = WhipSession("w", "a", "cleo", None, '"e"', frozenset(), frozenset())


def person(who: str, *, gateway: str | None = "g1", publishing: bool = False, **more) -> Person:
    socket = f"socket-{who}" if gateway else None
    return Person(Participant(who, who.title(), publishing=publishing), gateway, socket, **more)


def a_call(*people: Person, source=None, **more) -> SharedCall:
    call = settled(SharedCall(CallRecord("a", 0), source=source or Direct(), **more))
    for one in people:
        call = with_person(call, one)
    return call


def on_node(*people: Person, epoch: int = 5, **more) -> SharedCall:
    return placed(a_call(*people, **more), "node-1", epoch)


def begins(who: str, *, yes: bool = True) -> Publishing:
    return Publishing("a", who, publishing=yes)


# --- its node dies --------------------------------------------------------------------------


def test_a_call_whose_node_died_awaits_exactly_those_who_sent_audio():
    call = lost(on_node(person("anna", publishing=True), person("ben")), 777)
    assert (call.node, call.state, call.reason) == (None, "recovering", MOVED)
    assert call.awaited == {"anna"}
    anna, ben = call.people["anna"].participant, call.people["ben"].participant
    assert (anna.publishing, anna.interrupted_at_ms) == (False, 777)
    assert ben.interrupted_at_ms is None
    assert not call.captioning


def test_it_is_live_again_when_the_last_of_them_sends_to_the_next_node():
    both = [person(who, publishing=True) for who in ("anna", "ben")]
    call = placed(lost(on_node(*both), 777), "node-2", 6)
    assert call.moved_at_ms is not None
    assert call.ref == CallRef("a", 6, 0, 777)
    call = heard(call, begins("anna"), 6)
    assert call.state == "recovering"
    assert call.people["anna"].participant.interrupted_at_ms is None
    call = heard(call, begins("ben"), 6)
    assert (call.state, call.reason, call.awaited) == ("live", None, frozenset())


@pytest.mark.parametrize("people", [[], [person("anna")]])
def test_a_call_in_which_nobody_spoke_is_live_as_soon_as_it_has_a_node(people):
    call = lost(on_node(*people), 777)
    assert call.state == "recovering"
    call = placed(call, "node-2", 6)
    assert (call.state, call.moved_at_ms) == ("live", None)


def test_who_leaves_is_awaited_no_longer():
    call = placed(lost(on_node(person("anna", publishing=True)), 777), "node-2", 6)
    call = without_person(call, "anna")
    assert (call.state, call.awaited) == ("live", frozenset())


def test_a_node_that_is_well_makes_nothing_live_before_everybody_came_to_it():
    call = placed(lost(on_node(person("anna", publishing=True)), 777), "node-2", 6)
    assert heard(call, CallHealth("a", "live"), 6) == call
    assert heard(call, CallHealth("a", "degraded", "busy"), 6).state == "degraded"


def test_who_does_not_come_in_time_sends_no_more_and_a_guest_is_gone():
    guest = person("ben", gateway=None, guest=True)
    call = on_node(person("anna", publishing=True), guest, source=Rtp())
    call = no_longer_awaited(placed(lost(call, 777), "node-2", 6))
    assert set(call.people) == {"anna"}
    assert not call.people["anna"].participant.publishing
    assert call.awaited == frozenset()


def test_a_call_at_an_sfu_is_live_when_its_next_node_is_there():
    call = placed(lost(on_node(source=Rtp()), 777), "node-2", 6)
    assert call.state == "recovering", "not before"
    assert resumed(call).state == "live"
    degraded = replace(call, state="degraded", reason="busy")
    assert resumed(degraded) == degraded


def test_who_came_by_whip_is_gone_with_the_node_but_not_their_socket():
    alone = person("cleo", gateway=None, guest=True, whip=WHIP)
    assert not lost(on_node(alone), 777).people
    call = lost(on_node(replace(person("cleo", publishing=True), guest=True, whip=WHIP)), 777)
    assert call.people["cleo"].whip is None
    assert not call.people["cleo"].guest


def test_a_second_death_forgets_neither_who_is_awaited_nor_since_when():
    call = placed(lost(on_node(person("anna", publishing=True)), 777), "node-2", 6)
    call = lost(call, 999)
    assert call.awaited == {"anna"}
    assert call.people["anna"].participant.interrupted_at_ms == 777


# --- its node drains ------------------------------------------------------------------------


def test_a_call_that_is_handed_over_has_both_nodes_until_the_old_one_is_left_behind():
    call = handed_over(on_node(person("anna", publishing=True)), "node-2", 6)
    assert (call.node, call.epoch, call.leaving) == ("node-2", 6, ("node-1", 5))
    assert call.state == "live", "nothing is lost"
    assert call.people["anna"].participant.publishing
    assert call.moved_at_ms is not None
    call = left_behind(heard(call, begins("anna"), 6))
    assert (call.leaving, call.awaited) == (None, frozenset())
    assert call.people["anna"].participant.publishing


def test_the_old_node_s_word_that_audio_ceased_counts_for_nothing():
    call = handed_over(on_node(person("anna", publishing=True)), "node-2", 6)
    assert heard(call, begins("anna", yes=False), 5) == call


def test_who_did_not_move_on_sends_no_more_when_the_old_node_is_left_behind():
    call = left_behind(handed_over(on_node(person("anna", publishing=True)), "node-2", 6))
    assert not call.people["anna"].participant.publishing


def test_a_call_without_a_node_is_handed_to_nobody():
    call = a_call(person("anna"))
    assert handed_over(call, "node-2", 6) == call


# --- what nodes say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        begins("anna"),
        Arrived("a", Participant("dora", "Dora")),
        Departed("a", "ben"),
        CallHealth("a", "degraded", "busy"),
        CallOver("a", "destroyed"),
    ],
)
@pytest.mark.parametrize("epoch", [4, 6])
def test_only_the_owner_s_word_counts(event, epoch):
    call = on_node(person("anna"), person("ben", gateway=None, guest=True))
    assert heard(call, event, epoch) == call
    assert heard(call, event, 5) != call
    nowhere = replace(call, node=None)
    assert heard(nowhere, event, 5) == nowhere


def test_a_call_that_is_over_at_its_sfu_is_to_end_and_an_end_under_way_goes_on():
    call = on_node()
    assert heard(call, CallOver("a", "x"), 5).ending_since_ms == 0
    ending = replace(call, ending_since_ms=123)
    assert heard(ending, CallOver("a", "x"), 5).ending_since_ms == 123


def test_audio_of_somebody_who_has_left_is_nobody_s():
    call = on_node()
    assert heard(call, begins("anna"), 5) == call


# --- who is in it ---------------------------------------------------------------------------


def test_only_the_socket_that_sits_there_can_leave_a_seat():
    call = a_call(person("anna"))
    for gateway, socket in (("g1", "another"), ("g2", "socket-anna")):
        assert unseated(call, "anna", gateway, socket) == call
    assert unseated(call, "nobody", "g1", "socket-anna") == call
    assert not unseated(call, "anna", "g1", "socket-anna").people


def test_a_guest_stays_without_a_socket_and_a_socket_without_its_guest():
    call = a_call(replace(person("anna"), guest=True, whip=WHIP))
    standing = unseated(call, "anna", "g1", "socket-anna").people["anna"]
    assert not standing.seated
    assert standing.whip == WHIP
    seated = without_guest(call, "anna").people["anna"]
    assert (seated.seated, seated.guest, seated.whip) == (True, False, None)
    assert not without_guest(a_call(person("ben", gateway=None, guest=True)), "ben").people
    assert without_guest(seated_only := a_call(person("ben")), "ben") == seated_only


def test_with_a_gateway_go_its_sockets_and_watchers_and_nobody_else():
    call = a_call(
        person("anna"),
        person("ben", gateway="g2"),
        replace(person("cleo"), guest=True),
    )
    call = with_watchers(with_watchers(call, "g1", any_left=True), "g2", any_left=True)
    assert call.gateways == {"g1", "g2"}
    call = without_gateway(call, "g1")
    assert set(call.people) == {"ben", "cleo"}
    assert not call.people["cleo"].seated
    assert call.gateways == call.watched_by == {"g2"}


def test_a_feed_is_wanted_while_a_living_gateway_s_sockets_read_it_or_the_call_does():
    call = with_readers(a_call(person("anna")), "g1", frozenset({"de", "pt"}))
    call = with_readers(call, "g2", frozenset({"pt"}))
    assert call.feeds == {"de", "pt"}
    assert without_gateway(call, "g1").feeds == {"pt"}
    call = with_readers(call, "g2", frozenset())
    assert set(call.reads) == {"g1"}
    settings = {"captions_languages": ["fr", "spoken"]}
    assert replace(call, record=replace(call.record, settings=settings)).feeds == {"de", "pt", "fr"}


def test_a_call_is_empty_since_the_last_one_left_and_never_at_an_sfu():
    call = a_call()
    since = call.empty_since_ms
    assert since is not None
    assert settled(call).empty_since_ms == since, "it is not emptier than before"
    call = with_watchers(call, "g1", any_left=True)
    assert call.empty_since_ms is None
    assert with_watchers(call, "g1", any_left=False).empty_since_ms is not None
    assert a_call(source=Rtp()).empty_since_ms is None
    assert settled(replace(a_call(), source=Rtp())).empty_since_ms is None


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=2**62))
def test_the_next_owner_s_epoch_is_later_than_all_before_and_than_any_that_was_forgotten(epoch):
    begun = now_us()
    after = next_epoch(a_call(epoch=epoch))
    assert after > epoch
    assert after >= begun


# --- whatever happens -----------------------------------------------------------------------

who = st.sampled_from(NAMES)
gateway = st.sampled_from(["g1", "g2"])
CHANGES = st.one_of(
    st.builds(lambda w, g: lambda c: with_person(c, person(w, gateway=g)), who, gateway),
    st.builds(lambda w: lambda c: without_person(c, w), who),
    st.builds(lambda w: lambda c: without_guest(c, w), who),
    st.builds(lambda g: lambda c: without_gateway(c, g), gateway),
    st.builds(lambda g, some: lambda c: with_watchers(c, g, any_left=some), gateway, st.booleans()),
    st.builds(lambda w, on: lambda c: heard(c, begins(w, yes=on), c.epoch), who, st.booleans()),
    st.builds(lambda w: lambda c: heard(c, Arrived("a", Participant(w, w)), c.epoch), who),
    st.builds(lambda w: lambda c: heard(c, Departed("a", w), c.epoch), who),
    st.just(lambda c: lost(c, 777) if c.node else placed(c, "node-2", c.epoch + 1)),
    st.just(lambda c: c if c.leaving else handed_over(c, "node-3", c.epoch + 1)),
    st.just(lambda c: left_behind(c) if c.leaving else c),
    st.just(no_longer_awaited),
    st.just(resumed),
)


@settings(deadline=None)
@given(st.lists(CHANGES, max_size=30), st.booleans())
def test_whatever_happens_the_parts_of_a_call_agree(changes, at_sfu):
    call = a_call(source=Rtp() if at_sfu else None)
    for change in changes:
        before, call = call, change(call)
        assert call.epoch >= before.epoch
        assert call.awaited <= call.people.keys(), "nobody waits for who is not there"
        assert (call.empty_since_ms is None) == (not call.empty)
        assert settled(call) == call, "all that follows has been drawn"
        assert all(one.seated or one.guest for one in call.people.values()), "or they are gone"
        assert all(bool(one.socket) == bool(one.gateway) for one in call.people.values())
        if call.leaving:
            assert call.leaving[1] < call.epoch
        if call.state == "recovering" and call.node and not at_sfu:
            assert call.awaited, "else it would be live"
