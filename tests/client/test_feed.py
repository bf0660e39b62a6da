"""Whatever the network does to captions, what a reader is given is true."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from surtitle.client.caption import Caption
from surtitle.client.feed import WAITING_FINALS, Feed


def caption(utterance: str = "u-1", revision: int = 1, **more) -> Caption:
    seq = more.get("seq")
    fields = {
        "call": "c",
        "utterance": utterance,
        "revision": revision,
        "participant": "p-anna",
        "speaker": "Anna",
        "language": "en",
        "source_language": "en",
        "text": f"{utterance}.{revision}",
        "stable": 0,
        "final": seq is not None,
        "feed": "spoken",
        "seq": None,
        "start_ms": 0,
        "end_ms": 0,
    }
    return Caption(**fields | more)


def final(seq: int) -> Caption:
    return caption(f"u-{seq}", 9, seq=seq)


@st.composite
def published(draw) -> list[Caption]:
    """What a server published of a call, in order: partials of each utterance, most finals."""
    captions, seq = [], 0
    for index in range(draw(st.integers(0, 12))):
        revisions = [caption(f"u-{index}", n + 1) for n in range(1 + draw(st.integers(0, 4)))]
        if draw(st.booleans()):
            seq += 1
            revisions[-1] = replace(revisions[-1], final=True, seq=seq)
        captions += revisions
    return captions


@st.composite
def arrived(draw) -> tuple[list[Caption], list[Caption]]:
    """What was published; and some of it lost, some of it twice, in any order."""
    everything = draw(published())
    heard = draw(st.lists(st.sampled_from(everything))) if everything else []
    return everything, heard


def read(feed: Feed) -> list[Caption]:
    captions = []
    while taken := feed.take():
        captions.append(taken)
    return captions


def finals_of(captions) -> list[Caption]:
    return [one for one in captions if one.final]


@given(arrived(), st.data())
def test_a_reader_gets_revisions_that_rise_and_nothing_behind_a_final(captions, data):
    feed, revisions = Feed("spoken"), {}
    for one in captions[1]:
        feed.receive(one)
        if data.draw(st.booleans()):
            for taken in read(feed):
                assert revisions.get(taken.key, 0) < taken.revision
                revisions[taken.key] = 1000 if taken.final else taken.revision


@given(arrived(), st.integers(1, 4))
def test_answers_fill_every_hole_and_each_final_comes_once_and_in_order(captions, page):
    everything, heard = captions
    finals = finals_of(everything)
    feed, given_out = Feed("spoken"), []
    for one in heard:
        feed.receive(one)
        given_out += finals_of(read(feed))
    assert [one.seq for one in given_out] == list(range(1, len(given_out) + 1))
    assert feed.has_hole == (len({one.seq for one in finals_of(heard)}) != len(given_out))
    while feed.settled < len(finals):
        before = feed.settled
        feed.receive_answer(finals[before : before + page], len(finals))
        assert feed.settled > before
        given_out += finals_of(read(feed))
    assert given_out == finals
    assert not feed.has_hole


@given(arrived())
def test_a_second_hearing_of_everything_gives_nothing_more(captions):
    feed = Feed("spoken")
    for one in captions[1]:
        feed.receive(one)
    read(feed)
    for one in captions[1]:
        feed.receive(one)
    assert read(feed) == []


@given(arrived())
def test_who_reads_late_gets_the_newest_of_what_is_open_and_every_final(captions):
    feed = Feed("spoken")
    for one in captions[1]:
        feed.receive(one)
    highest = {}
    for one in captions[1]:
        if one.key not in highest or one.revision > highest[one.key].revision:
            highest[one.key] = one
    partials = [one for one in read(feed) if not one.final]
    assert {one.key: one for one in partials} == {
        key: one for key, one in highest.items() if not one.final
    }
    assert len(partials) == len({one.key for one in partials})


def test_what_the_server_no_longer_has_holds_nothing_up():
    feed = Feed("spoken")
    feed.receive(final(5))
    assert read(feed) == []
    feed.receive_answer([final(4), final(5)], 5)
    assert [one.seq for one in read(feed)] == [4, 5]
    feed.receive_answer([], 9)
    assert (feed.settled, feed.has_hole) == (9, False)


def test_what_was_read_another_time_does_not_come_again():
    feed = Feed("spoken", since=7)
    feed.receive_answer([final(8)], 8)
    assert [one.seq for one in read(feed)] == [8]


def test_captions_of_another_feed_are_not_this_reader_s():
    feed = Feed("pt")
    feed.receive(caption())
    feed.receive(replace(final(1), feed="pt", language="pt"))
    assert [one.language for one in read(feed)] == ["pt"]


def test_without_partials_there_are_finals_alone():
    feed = Feed("spoken", partials=False)
    feed.receive(caption("u-1"))
    feed.receive(final(1))
    feed.receive(caption("u-2"))
    assert [one.seq for one in read(feed)] == [1]


def test_a_number_that_was_given_twice_hides_nothing():
    feed = Feed("spoken")
    feed.receive(final(1))
    feed.receive(replace(final(1), utterance="another"))
    assert len(read(feed)) == 2


def test_what_a_slow_reader_leaves_waiting_is_bounded_and_asked_for_again():
    feed, total = Feed("spoken"), 3 * WAITING_FINALS
    for seq in range(1, total + 1):
        feed.receive(final(seq))
    assert not feed.has_room
    seqs = [one.seq for one in read(feed)]
    assert len(seqs) == WAITING_FINALS
    assert feed.has_hole
    assert feed.has_room
    feed.receive_answer(map(final, range(feed.settled + 1, total + 1)), total)
    seqs += [one.seq for one in read(feed)]
    assert seqs == list(range(1, total + 1))
