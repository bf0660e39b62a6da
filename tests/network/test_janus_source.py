"""The source for Janus against a real Janus, whose people are real WebRTC peers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from captions.types import SAMPLE_RATE, Caption
from media.janus.errors import JanusLost
from media.janus.messages import Person
from media.janus.room import DISPLAY
from media.source import (
    CallSource,
    Connected,
    Joined,
    Left,
    Lost,
    Recovered,
    TrackStarted,
    participant_id,
)
from media.sources.janus import JanusSource
from media.track import Track
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Janus as JanusSettings
from tests.media.source_contract import Ear, SourceContract, listening
from tests.network.janus import Janus
from tests.network.publisher import Client, Publisher, Tone

BLOCK = SAMPLE_RATE // 10


def source_for(janus: Janus, **settings) -> JanusSource:
    chosen = {"url": janus.url, "room": janus.room, **settings}
    return JanusSource(JanusSettings(**chosen), AllowList([janus.url]))


class JanusStage:
    """See `Stage`."""

    def __init__(self, janus: Janus) -> None:
        self._janus = janus
        self._people: dict[str, Publisher] = {}

    def source(self) -> CallSource:
        return source_for(self._janus)

    def refused_source(self) -> CallSource:
        return source_for(self._janus, room=self._janus.pin_room, pin="wrong")

    async def enter(self, name: str) -> None:
        self._people[name] = Publisher(self._janus.url, self._janus.room, name)
        await self._people[name].enter()

    async def leave(self, name: str) -> None:
        await self._people.pop(name).leave()

    async def lose(self) -> None:
        await self._janus.kill()
        await self.clear()

    async def restore(self) -> None:
        await self._janus.start()

    async def clear(self) -> None:
        for publisher in self._people.values():
            await publisher.vanish()
        self._people.clear()


class TestJanus(SourceContract):
    @pytest_asyncio.fixture
    async def stage(self, janus: Janus) -> AsyncIterator[JanusStage]:
        stage = JanusStage(janus)
        yield stage
        await stage.clear()


class Ears(Ear):
    """Also keeps what pitches have been heard of whom, by tenths of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.pitches: dict[str, Counter[int]] = {}
        self.tracks: list[tuple[str, Track]] = []

    async def _listen(self, participant: str, track: Track) -> None:
        self.tracks.append((participant, track))
        block = np.zeros(0, np.int16)
        async for chunk in track:
            self.heard_samples[participant] = self.heard_samples.get(participant, 0) + len(
                chunk.samples
            )
            block = np.concatenate([block, chunk.samples])
            while len(block) >= BLOCK:
                self._hear(participant, block[:BLOCK])
                block = block[BLOCK:]
            await self._wake()

    def _hear(self, participant: str, block: np.ndarray) -> None:
        loudest = int(np.abs(block.astype(np.int32)).max())
        self.loudest[participant] = max(self.loudest.get(participant, 0), loudest)
        if loudest > 1000:
            spectrum = np.abs(np.fft.rfft(block * np.hanning(BLOCK)))
            hz = int(spectrum.argmax()) * SAMPLE_RATE // BLOCK
            self.pitches.setdefault(self.names.get(participant, "?"), Counter())[hz] += 1

    def hears_pitch(self, name: str, hz: int, times: int = 3) -> bool:
        return self.pitches.get(name, Counter())[hz] >= times


@contextlib.asynccontextmanager
async def ears(source: JanusSource) -> AsyncIterator[Ears]:
    """As `listening`, with pitches."""
    ear = Ears()
    async with listening(source, ear):
        yield ear


def person(janus: Janus, name: str | None, hz: float = 440, **more) -> Publisher:
    more.setdefault("room", janus.room)
    return Publisher(janus.url, more.pop("room"), name, Tone(hz), **more)


async def refusal(source: JanusSource) -> ContractError:
    with pytest.raises(ContractError) as refused:
        async with listening(source):
            raise AssertionError("it was let in")
    return refused.value


def media_lines(source: JanusSource) -> int:
    return len(source._room._audio._peer.connection.getTransceivers())


# --- who speaks --------------------------------------------------------------------------


async def test_two_people_are_never_taken_for_each_other(janus):
    async with (
        ears(source_for(janus)) as ear,
        person(janus, "Anna", 440),
        person(janus, "Bert", 1000),
    ):
        await ear.until(
            lambda e: e.hears_pitch("Anna", 440, 10) and e.hears_pitch("Bert", 1000, 10)
        )
        assert not ear.pitches["Anna"][1000]
        assert not ear.pitches["Bert"][440]


async def test_whoever_gets_the_line_of_somebody_who_left_is_heard_under_their_own_name(janus):
    source = source_for(janus)
    async with ears(source) as ear, person(janus, "Cara", 600):
        for cycle in range(20):
            name, hz = (("Anna", 440), ("Bert", 1000))[cycle % 2]
            ear.pitches.clear()
            async with person(janus, name, hz):
                await ear.until(lambda e, n=name, h=hz: e.hears_pitch(n, h))
            await ear.until(lambda e: set(e.names.values()) == {"Cara"})
            others = {p for n, found in ear.pitches.items() for p in found if n == name}
            assert not others & ({440, 600, 1000} - {hz})
        assert media_lines(source) == 2
        assert set(ear.pitches["Cara"]) & {440, 1000} == set()


async def test_whoever_stops_sending_and_begins_again_is_heard_again(janus):
    source, freed = source_for(janus), 0
    async with ears(source) as ear, person(janus, "Anna") as anna, person(janus, "Bert", 1000):
        for _ in range(20):
            await ear.until(lambda e: e.hears_pitch("Anna", 440))
            await anna.unpublish()
            freed += 1
            await janus.freed(anna.client.handle, freed)
            await ear.until(lambda e: list(e.open.values()) == [e.id_of("Bert")])
            assert ear.id_of("Anna")
            ear.pitches.clear()
            if not await anna.publish_again():
                await anna.leave()
                await anna.enter()
                freed = 0
        await ear.until(lambda e: e.hears_pitch("Anna", 440) and e.hears_pitch("Bert", 1000))
        assert media_lines(source) == 2
        assert not ear.pitches["Anna"][1000]


async def test_many_who_come_and_go_at_once_are_all_told_and_heard(janus):
    tones = {f"P{n}": 400 + 100 * n for n in range(6)}
    async with ears(source_for(janus)) as ear:
        for _ in range(3):
            people = [person(janus, name, hz) for name, hz in tones.items()]
            await asyncio.gather(*(each.enter() for each in people))
            await ear.until(lambda e: all(e.hears_pitch(n, hz) for n, hz in tones.items()))
            await asyncio.gather(*(each.leave() for each in people))
            await ear.until(lambda e: not e.names and not e.open)
        for name, hz in tones.items():
            assert not set(ear.pitches[name]) & (set(tones.values()) - {hz})
        assert not ear.of(Lost)


async def test_somebody_with_two_streams_has_two_tracks(janus):
    async with ears(source_for(janus)) as ear, person(janus, "Anna", 440) as anna:
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        await anna.add(Tone(1000))
        await ear.until(lambda e: e.hears_pitch("Anna", 1000))
        assert len(ear.open) == 2
        assert len(ear.of(Joined)) == 1


async def test_somebody_janus_does_not_know_costs_nobody_else_their_captions(janus):
    source = source_for(janus)
    async with ears(source) as ear:
        source._room._people["ghost"] = Person("ghost", "Ghost", ("0",))
        async with person(janus, "Anna"), person(janus, "Bert", 1000):
            await ear.until(lambda e: e.hears_pitch("Anna", 440) and e.hears_pitch("Bert", 1000))
        assert not ear.of(Lost)


# --- names and ids -----------------------------------------------------------------------


async def test_odd_names_are_shown_as_one_clean_line(janus):
    odd = person(janus, " Zoë\u202e\n<b>Ω</b>\t\x07")
    nameless = person(janus, None)
    async with ears(source_for(janus)) as ear, odd, nameless:
        await ear.until(lambda e: len(e.names) == 2)
        assert ear.names[odd.feed] == "Zoë <b>Ω</b>"
        assert ear.names[nameless.feed].startswith("Participant ")


async def test_an_id_that_is_no_identifier_of_the_contract_becomes_one(janus):
    async with ears(source_for(janus)) as ear, person(janus, "Anna", feed="anna@example.com/ä"):
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        assert ear.id_of("Anna") == participant_id("anna@example.com/ä")


async def test_whoever_changes_their_name_is_told_again(janus):
    async with ears(source_for(janus)) as ear, person(janus, "Anna") as anna:
        await ear.until(lambda e: e.id_of("Anna"))
        await anna.rename("Anne")
        await ear.until(lambda e: e.names == {anna.feed: "Anne"})


async def test_listeners_are_in_the_call_where_janus_announces_them(janus):
    anna = person(janus, "Anna", room=janus.announcing_room)
    bert = person(janus, "Bert", room=janus.announcing_room)
    await anna.join()
    async with ears(source_for(janus, room=janus.announcing_room)) as ear:
        await bert.join()
        await ear.until(lambda e: set(e.names.values()) == {"Anna", "Bert"})
        await anna.leave()
        await ear.until(lambda e: set(e.names.values()) == {"Bert"})
        await bert.vanish()
        await ear.until(lambda e: not e.names)
        assert not ear.of(TrackStarted)


@pytest.mark.parametrize("as_number", [True, False])
async def test_rooms_and_people_may_have_numbers(numeric_janus, as_number):
    room = numeric_janus.room if as_number else str(numeric_janus.room)
    anna = person(numeric_janus, "Anna")
    async with ears(source_for(numeric_janus, room=room)) as ear, anna:
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        assert ear.names == {str(anna.feed): "Anna"}


# --- being let in, and thrown out --------------------------------------------------------


async def test_a_room_with_a_pin_opens_to_the_pin_alone(janus):
    for pin in ({}, {"pin": "wrong"}):
        assert (await refusal(source_for(janus, room=janus.pin_room, **pin))).code == "forbidden"
    source = source_for(janus, room=janus.pin_room, pin=janus.pin)
    anna = person(janus, "Anna", room=janus.pin_room, pin=janus.pin)
    async with ears(source) as ear, anna:
        await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_a_room_with_tokens_opens_to_a_token_alone(janus):
    async with Client(janus.url) as owner:
        await owner.request(request="create", room="guarded", allowed=["t-1", "t-2"])
        assert (await refusal(source_for(janus, room="guarded", token="t-3"))).code == "forbidden"
        source = source_for(janus, room="guarded", token="t-1")
        anna = person(janus, "Anna", room="guarded", token="t-2")
        async with ears(source) as ear, anna:
            await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_a_janus_with_an_api_secret_opens_to_it_alone(tmp_path):
    async with Janus(tmp_path / "secret", api_secret="s-1") as janus:
        assert (await refusal(source_for(janus, api_secret="s-2"))).code == "forbidden"
        assert (await refusal(source_for(janus))).code == "forbidden"
        source = source_for(janus, api_secret="s-1")
        async with ears(source) as ear, person(janus, "Anna", secret="s-1"):
            await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_a_room_that_is_not_there_is_not_found(janus):
    assert (await refusal(source_for(janus, room="nowhere"))).code == "not_found"


async def test_a_janus_that_is_not_there_is_unavailable(janus):
    await janus.kill()
    assert (await refusal(source_for(janus))).code == "unavailable"


async def test_a_room_that_its_owner_ends_is_over(janus):
    ear = Ears()
    running = asyncio.create_task(source_for(janus).run(ear.tell))
    anna = person(janus, "Anna")
    await anna.enter()
    await ear.until(lambda e: e.hears_pitch("Anna", 440))
    await anna.client.request(request="destroy", room=janus.room)
    await running
    await anna.vanish()
    assert not ear.names
    assert not ear.open
    assert not ear.of(Lost)


async def test_whoever_is_thrown_out_stays_out(janus):
    ear = Ears()
    async with Client(janus.url) as owner:
        running = asyncio.create_task(source_for(janus).run(ear.tell))
        await ear.until(lambda e: e.of(Connected))
        listed = await owner.request(request="listparticipants", room=janus.room)
        (ours,) = listed["plugindata"]["data"]["participants"]
        await owner.request(request="kick", room=janus.room, id=ours["id"])
        with pytest.raises(ContractError) as thrown:
            await running
    assert thrown.value.code == "forbidden"


# --- losing and finding it again ---------------------------------------------------------


async def test_a_room_that_its_app_makes_again_late_is_found_again(janus):
    async with Client(janus.url) as app:
        await app.request(request="create", room="made-by-app")
    async with ears(source_for(janus, room="made-by-app")) as ear:
        await janus.kill()
        await ear.until(lambda e: e.of(Lost))
        await janus.start()
        async with Client(janus.url) as app:
            # The source has been refused when this has been heard of it in Janus's log.
            await janus.logged("No such room (made-by-app)")
            await app.request(request="create", room="made-by-app")
            await ear.until(lambda e: e.of(Recovered))
            async with person(janus, "Anna", room="made-by-app"):
                await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_whoever_is_still_there_after_a_loss_has_not_left(janus):
    source = source_for(janus)
    async with ears(source) as ear, person(janus, "Anna"):
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        await source._room._session._socket.close()
        await ear.until(lambda e: e.of(Recovered))
        ear.pitches.clear()
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        assert len(ear.of(Joined)) == 1
        assert not ear.of(Left)


async def test_a_media_connection_that_janus_ends_is_made_again(janus):
    source = source_for(janus)
    async with ears(source) as ear, person(janus, "Anna"):
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        room = source._room
        with contextlib.suppress(JanusLost):  # that it hung up may be heard before the answer
            await room._session._ask({"janus": "hangup", "handle_id": room._audio.handle})
        await ear.until(lambda e: e.of(Recovered))
        ear.pitches.clear()
        await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_a_call_goes_on_for_longer_than_janus_waits_for_the_silent(tmp_path):
    impatient = Janus(tmp_path / "impatient", session_timeout=1)
    async with impatient as janus, ears(source_for(janus)) as ear:
        for _ in range(2):
            async with Client(janus.url) as silent:
                await silent.until(lambda message: message["janus"] == "timeout")
        assert not ear.of(Lost)


async def test_a_janus_that_tells_its_candidates_later_is_heard(tmp_path):
    trickling = Janus(tmp_path / "trickling", full_trickle=True)
    async with trickling as janus, ears(source_for(janus)) as ear, person(janus, "Anna"):
        await ear.until(lambda e: e.hears_pitch("Anna", 440))


async def test_forty_streams_at_once_are_all_begun(janus):
    people = [
        Publisher(janus.url, janus.room, f"P{n}", *(Tone(300 + 50 * n) for _ in range(10)))
        for n in range(4)
    ]
    for each in people:
        await each.enter()
    async with ears(source_for(janus)) as ear:
        await ear.until(lambda e: len(e.open) == 40)
        for n in range(4):
            await ear.until(lambda e, n=n: e.hears_pitch(f"P{n}", 300 + 50 * n, 20))
        for each in people:
            await each.leave()
        await ear.until(lambda e: not e.names and not e.open)
        assert not ear.of(Lost)


# --- a bad network -----------------------------------------------------------------------


async def test_a_speaker_behind_loss_is_heard_whole(janus):
    async with ears(source_for(janus)) as ear, person(janus, "Anna", lose_every=20) as anna:
        await ear.until(lambda e: e.heard_samples.get(e.id_of("Anna"), 0) > 4 * SAMPLE_RATE)
        (_, track) = ear.tracks[0]
        assert anna.lost >= 8
        assert track.counts.lost >= 8
        assert track.counts.missing_samples == 0
        made_up = track.counts.concealed_samples + track.counts.recovered_samples
        assert made_up >= 8 * SAMPLE_RATE // 50
        assert set(ear.pitches["Anna"]) <= set(range(430, 460, 10))


# --- captions back -----------------------------------------------------------------------


async def read_captions(
    room: str | int, watching: Client, reading: Client, messages: asyncio.Queue[str]
) -> RTCPeerConnection:
    """Subscribe to the captioner's data stream as a front end would; to be closed."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def take(channel: RTCDataChannel) -> None:
        channel.on("message", messages.put_nowait)

    connection.on("datachannel", take)
    subscribed = await reading.request(
        request="join",
        ptype="subscriber",
        room=room,
        streams=[{"feed": await watching.until(captions_feed), "mid": "0"}],
    )
    offer = RTCSessionDescription(subscribed["jsep"]["sdp"], "offer")
    await connection.setRemoteDescription(offer)
    connection.createDataChannel("JanusDataChannel")  # as janus.js: Janus waits for one
    await connection.setLocalDescription(await connection.createAnswer())
    answer = {"type": "answer", "sdp": connection.localDescription.sdp}
    await reading.request(answer, request="start")
    return connection


def captions_feed(message):
    data = message.get("plugindata", {}).get("data", {})
    for publisher in data.get("publishers", []):
        if publisher["display"] == DISPLAY:
            assert [stream["type"] for stream in publisher["streams"]] == ["data"]
            return publisher["id"]
    return None


def caption(revision: int) -> Caption:
    return Caption(
        call="c",
        utterance="u-1",
        revision=revision,
        participant="p-anna",
        speaker="Anna",
        language="en",
        source_language="en",
        text="grüße",
        stable=0,
        final=False,
        start_ms=0,
        end_ms=500,
    )


async def test_captions_come_back_by_a_data_stream_that_is_nobody_in_the_call(janus):
    source = source_for(janus, captions_back=True)
    messages: asyncio.Queue[str] = asyncio.Queue()

    async def speak() -> None:
        # Janus gives a subscriber what comes once its data channel is open, and does not say when.
        for revision in itertools.count(2):
            await source.send(caption(revision))
            await asyncio.sleep(0.1)

    async with ears(source) as ear, Client(janus.url) as watching, Client(janus.url) as reading:
        await watching.request(request="join", ptype="publisher", room=janus.room, display="W")
        await source.send(caption(1))
        connection = await read_captions(janus.room, watching, reading, messages)
        speaking = asyncio.create_task(speak())
        async with asyncio.timeout(20):
            message = json.loads(await messages.get())
        speaking.cancel()
        revision = message["caption"]["revision"]
        assert message == {"type": "surtitle.caption", "caption": caption(revision).to_wire()}
        async with person(janus, "Anna"):
            await ear.until(lambda e: e.hears_pitch("Anna", 440))
            assert list(ear.names.values()) == ["Anna"]
        await connection.close()


async def test_captions_are_heard_on_where_none_can_be_carried_back(janus, monkeypatch):
    monkeypatch.setattr(RTCPeerConnection, "createDataChannel", None)
    source = source_for(janus, captions_back=True)
    async with ears(source) as ear, person(janus, "Anna"):
        with pytest.raises(ContractError) as failed:
            await source.send(caption(1))
        assert failed.value.code == "unavailable"
        await ear.until(lambda e: e.hears_pitch("Anna", 440))
        assert not ear.of(Lost)


# --- a figure ----------------------------------------------------------------------------


async def test_how_long_joining_takes(janus, record_property):
    """No limit here: what a machine needs is not the test's business."""
    waits_ms = []
    async with person(janus, "Anna"):
        for _ in range(20):
            source = source_for(janus)
            began = time.monotonic()
            async with ears(source) as ear:
                await ear.until(lambda e: sum(e.heard_samples.values()))
                waits_ms.append(1000 * (time.monotonic() - began))
    figures = {"p50": statistics.median(waits_ms), "p95": sorted(waits_ms)[18]}
    record_property("join_to_first_pcm_ms", figures)
    print("\njoin to first PCM, ms:", {name: round(ms) for name, ms in figures.items()})
