"""Reading a call through everything that can go wrong on the way: a gateway, a bus, a cable."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from captions import types
from signaling.bus import MemoryBus
from signaling.registry import NodeStatus
from surtitle.client import CallState, Client, SurtitleError
from surtitle.client.feed import WAITING_FINALS
from tests.client.cable import Cable
from tests.lone_gateway import EPOCH, lone_gateway

CALL = "a"


def spoken(utterance: int, revision: int = 1, *, final: bool = False, feed: str = "spoken"):
    return types.Caption(
        call=CALL,
        utterance=f"u-{utterance}",
        revision=revision,
        participant="p-anna",
        speaker="Anna",
        language="en",
        source_language="en",
        text=f"{utterance} {revision}",
        stable=0,
        final=final,
        feed=feed,
        start_ms=utterance,
        end_ms=utterance + 1,
    )


class World:
    """A gateway behind a cable, and the bus on which somebody speaks."""

    def __init__(self, bus: MemoryBus, cable: Cable, gateway) -> None:
        self.bus, self.cable, self.gateway = bus, cable, gateway

    async def say(self, *utterances: int) -> None:
        for number in utterances:
            await self.bus.publish_final(EPOCH, spoken(number, 9, final=True))

    async def begin(self, utterance: int, revision: int = 1) -> None:
        await self.bus.publish_partial(EPOCH, spoken(utterance, revision))

    @property
    def seats(self) -> int:
        """How many watch."""
        room = self.gateway._sockets._open_calls.live.get(CALL)
        return len(room.seats) if room else 0

    async def get_a_node(self) -> None:
        """From now on there is room for calls."""
        await self.gateway._registry.report(NodeStatus("node-1", capacity=100))

    async def lose(self, *utterances: int) -> None:
        """Say what the listeners of the bus never hear, as slow ones do not."""
        channels, self.bus._captions = self.bus._captions, _Deaf()
        await self.say(*utterances)
        self.bus._captions = channels


class _Deaf:
    def publish(self, *_: object) -> None:
        pass


@asynccontextmanager
async def world(folder: Path):
    async with lone_gateway(folder, [CALL]) as (gateway, bus), Cable(gateway.url) as cable:
        yield World(bus, cable, gateway)


async def take(watch, count: int) -> list:
    async with asyncio.timeout(20):
        return [await anext(watch) for _ in range(count)]


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what both sides keep to themselves gives no event
            await asyncio.sleep(0.01)


def seqs(captions) -> list[int]:
    return [caption.seq for caption in captions if caption.final]


async def test_what_was_said_comes_first_and_then_what_is_said(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.say(1, 2)
        captions = client.captions(CALL)
        assert seqs(await take(captions, 2)) == [1, 2]
        await there.begin(3)
        (partial,) = await take(captions, 1)
        assert (partial.text, partial.final, partial.seq) == ("3 1", False, None)
        await there.say(3)
        (final,) = await take(captions, 1)
        assert (final.key, final.revision, final.seq) == (partial.key, 9, 3)
        assert captions.state == CallState("live", captioning=False)


async def test_a_cable_that_is_pulled_in_the_middle_of_a_caption_costs_no_final_and_doubles_none(
    tmp_path,
):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        captions = client.captions(CALL)
        await there.say(1)
        heard = await take(captions, 1)
        await there.begin(2)
        heard += await take(captions, 1)
        assert [c.text for c in heard] == ["1 9", "2 1"]
        await there.cable.pull()
        await there.say(2, 3)
        await there.cable.plug()
        heard += await take(captions, 2)
        await there.say(4)
        heard += await take(captions, 1)
        assert seqs(heard) == [1, 2, 3, 4]
        assert there.cable.connections > 2


async def test_a_missed_final_is_asked_for_and_comes_in_its_place(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        captions = client.captions(CALL, partials=False)
        await there.say(1)
        await take(captions, 1)
        await there.lose(2, 3)
        await there.say(4)
        assert seqs(await take(captions, 3)) == [2, 3, 4]
        assert there.cable.connections <= 3


async def test_who_reads_on_another_day_says_where_they_were(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.say(1, 2, 3)
        first = client.captions(CALL)
        assert seqs(await take(first, 2)) == [1, 2]
        again = client.captions(CALL, since=2)
        assert seqs(await take(again, 1)) == [3]


async def test_another_feed_is_read_by_its_language(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.bus.publish_final(EPOCH, spoken(1, 9, final=True, feed="pt"))
        (caption,) = await take(client.captions(CALL, language="pt"), 1)
        assert caption.feed == "pt"


async def test_reading_ends_when_the_call_does_behind_its_last_caption(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        events = client.events(CALL)
        heard = await take(events, 1)
        await there.say(1)
        await client.calls.end(CALL)
        async with asyncio.timeout(20):
            heard += [event async for event in events]
        assert [getattr(event, "state", None) or event.seq for event in heard] == [
            "live",
            1,
            "ended",
        ]
        assert [event async for event in events] == []


async def test_a_call_that_ends_with_a_hole_is_read_to_its_end_all_the_same(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        captions = client.captions(CALL)
        await there.say(1)
        await take(captions, 1)
        await there.lose(2)
        await there.gateway._transcripts.flush()
        await there.gateway._sockets.emit(
            "caption", spoken(3, 9, final=True).numbered(3).to_wire(), f"call/{CALL}"
        )
        await client.calls.end(CALL)
        async with asyncio.timeout(20):
            assert 2 in seqs([caption async for caption in captions])


async def test_a_reader_who_was_cancelled_reads_on_and_has_lost_nothing(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        captions = client.captions(CALL, partials=False)
        await there.say(1)
        await take(captions, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(captions), 0.05)
        await there.say(2, 3)
        assert seqs(await take(captions, 2)) == [2, 3]


async def test_a_reader_who_is_slow_gets_every_final_and_holds_few_of_them(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        captions = client.captions(CALL, partials=False)
        await there.say(1)
        await take(captions, 1)
        total = WAITING_FINALS + 700
        for first in range(2, total + 1, 100):
            await there.say(*range(first, min(first + 100, total + 1)))
            await asyncio.sleep(0.02)  # the gateway cuts off who does not read: the socket does
        feed = captions._watching.feed
        await until(lambda: feed._newest == total)
        assert len(feed._due) <= WAITING_FINALS
        assert seqs(await take(captions, total - 1)) == list(range(2, total + 1))


async def test_a_client_that_was_left_is_closed_for_good(tmp_path):
    async with world(tmp_path) as there:
        async with Client(there.cable.url) as client:
            await there.say(1)
            captions = client.captions(CALL)
            await take(captions, 1)
        await client.close()
        with pytest.raises(RuntimeError):
            client.captions(CALL)
        with pytest.raises(SurtitleError, match="closed"):
            await anext(captions)
        with pytest.raises(RuntimeError):
            await client.__aenter__()


async def test_who_stops_reading_is_gone_from_the_call(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.say(1)
        async for caption in client.captions(CALL):
            assert caption.seq == 1
            break
        gc.collect()
        async with client.captions(CALL) as captions:
            await take(captions, 1)
        await until(lambda: not there.gateway._sockets.connected)


async def test_a_client_that_is_closed_tells_those_who_wait_for_a_caption(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        events = client.events(CALL)
        await anext(events)
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(SurtitleError, match="closed"):
            await waiting


async def test_an_error_of_the_caller_s_own_comes_out_as_it_is(tmp_path):
    async with world(tmp_path) as there:
        await there.say(1)
        with pytest.raises(ZeroDivisionError):
            await _divide(there.cable.url)


async def _divide(url: str) -> None:
    async with Client(url) as client:
        async for caption in client.captions(CALL):
            assert caption.seq / 0


async def test_a_server_that_is_not_there_is_waited_for_as_long_as_wanted(tmp_path):
    async with world(tmp_path) as there:
        await there.say(1)
        await there.cable.pull()
        async with Client(there.cable.url, reconnect_seconds=1) as client:
            with pytest.raises(SurtitleError) as refused:
                await anext(client.captions(CALL))
            assert refused.value.code == "unavailable"
            with pytest.raises(SurtitleError, match="unavailable"):
                await client.health()
        async with Client(there.cable.url) as client:
            reading = asyncio.create_task(take(client.captions(CALL), 1))
            await asyncio.sleep(0.1)
            await there.cable.plug()
            assert seqs(await reading) == [1]


async def test_what_the_server_refuses_is_raised_as_it_is(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        with pytest.raises(SurtitleError) as refused:
            await anext(client.captions("not an id"))
        assert refused.value.code == "invalid"
        with pytest.raises(SurtitleError) as refused:
            await client.calls.get("nobody-was-there")
        assert (refused.value.code, refused.value.retry_after_ms) == ("not_found", None)


async def test_a_call_that_ends_while_the_cable_is_out_is_known_to_have_ended(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.get_a_node()
        await client.calls.create(CALL)
        events = client.events(CALL)
        assert (await take(events, 1))[0].state == "live"
        await there.cable.pull()
        async with Client(there.gateway.url) as other:
            await other.calls.end(CALL)
        await there.cable.plug()
        async with asyncio.timeout(20):
            assert [event.state async for event in events] == ["ended"]


async def test_a_call_of_yesterday_is_not_taken_for_the_end_of_today_s(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        await there.get_a_node()
        await client.calls.create(CALL)
        await client.calls.end(CALL)
        events = client.events(CALL)
        assert (await take(events, 1))[0].state == "live"
        await there.cable.pull()
        await until(lambda: not there.seats)
        await there.cable.plug()
        await until(lambda: there.seats)
        reading = asyncio.create_task(take(events, 1))
        await client.calls.create(CALL)
        await client.calls.end(CALL)
        assert (await reading)[0].state == "ended"


async def test_a_server_that_has_too_much_to_do_is_asked_again_when_it_said(tmp_path):
    async with world(tmp_path) as there, Client(there.cable.url) as client:
        creating = asyncio.create_task(client.calls.create(CALL))
        async with Client(there.cable.url, retry_seconds=0) as hasty:
            with pytest.raises(SurtitleError) as refused:
                await hasty.calls.create(CALL)
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after_ms > 0
        assert not creating.done()
        await there.get_a_node()
        async with asyncio.timeout(20):
            assert (await creating).call == CALL
