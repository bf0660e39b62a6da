"""LiveKit: the contract against a fake room, the fake against the SDK, and the SDK's refusals."""

from __future__ import annotations

import asyncio
import inspect
import sys

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from livekit import rtc

from captions.types import Caption
from media.livekit_room import Speakers, Stay
from media.source import Connected, Joined, Left, Lost, Recovered, TrackEnded, TrackStarted
from media.sources.livekit import LiveKitSource
from media.track import Track
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import LiveKit
from tests.media import livekit_fake as fake
from tests.media.source_contract import Ear, SourceContract, Stage, listening

ANY = AllowList([], allow_any=True)
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
VIDEO = rtc.TrackKind.KIND_VIDEO
SCREEN = rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
UNAUTHORIZED = "engine: signal failure: client error: 401 Unauthorized - invalid token"


class LiveKitStage:
    """A fake room behind a real HTTP server: whether it can be reached is asked first."""

    def __init__(self) -> None:
        self.server = fake.FakeServer("standup")
        self.status = 200
        self.port = 0
        self._runner: web.AppRunner | None = None

    def source(self, *, allow: AllowList = ANY, **settings) -> LiveKitSource:
        given = {"url": f"ws://127.0.0.1:{self.port}", "room": "standup", "token": "secret"}
        return LiveKitSource(LiveKit(**(given | settings)), allow, rtc=fake.FakeRtc(self.server))

    def refused_source(self) -> LiveKitSource:
        self.server.refusal = UNAUTHORIZED
        return self.source()

    async def enter(self, name: str) -> None:
        self.server.enter(f"id-{name}", name)
        self.server.publish(f"id-{name}")

    async def leave(self, name: str) -> None:
        self.server.leave(f"id-{name}")

    async def lose(self) -> None:
        await self.stop()
        for identity in list(self.server.people):
            self.server.people.pop(identity)
        await self.server.stop()
        self.server.end(rtc.DisconnectReason.SIGNAL_CLOSE)

    async def restore(self) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=self.status)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None


@pytest_asyncio.fixture
async def stage():
    stage = LiveKitStage()
    await stage.restore()
    yield stage
    await stage.stop()
    await stage.server.stop()
    assert not stage.server.rooms, "a room that was never left"


class TestLiveKit(SourceContract):
    async def check_arrived(self, stage: Stage, caption: Caption) -> None:
        [sid] = stage.server.people["id-Anna"].tracks
        assert stage.server.texts == [
            {
                "topic": "lk.transcription",
                "sender": "id-Anna",
                "attributes": {
                    "lk.segment_id": "u-1",
                    "lk.transcribed_track_id": sid,
                    "lk.transcription_final": "true",
                    "surtitle.identity": "id-Anna",
                    "surtitle.language": "en",
                },
                "text": "hello",
                "closed": True,
            }
        ]


async def refusal(source: LiveKitSource) -> ContractError:
    ear = Ear()
    with pytest.raises(ContractError) as refused:
        async with asyncio.timeout(30):
            await source.run(ear.tell)
    assert not ear.events
    return refused.value


async def test_nothing_is_subscribed_but_audio(stage):
    stage.server.enter("id-Anna", "Anna")
    stage.server.publish("id-Anna", VIDEO)
    async with listening(stage.source()) as ear:
        stage.server.publish("id-Anna", VIDEO)
        sid = stage.server.publish("id-Anna")
        await ear.until(lambda e: e.hears("Anna"))
    assert stage.server.subscriptions == [(sid, True)]
    [(_, token, options)] = stage.server.attempts
    assert token == "secret"
    assert options.auto_subscribe is False


async def test_everybody_is_in_the_call_also_who_says_nothing(stage):
    stage.server.enter("id-Anna", "Anna")
    stage.server.enter("id without a name!", "")
    async with listening(stage.source()) as ear:
        await ear.until(lambda e: len(e.names) == 2)
        assert ear.names["id-Anna"] == "Anna"
        assert ear.id_of("id without a name!").startswith("x-")


async def test_a_new_name_is_told(stage):
    stage.server.enter("id-Anna", "Anna")
    async with listening(stage.source()) as ear:
        await ear.until(lambda e: e.names)
        [room] = stage.server.rooms
        person = room.remote_participants["id-Anna"]
        person.name = "Anna K."
        room.emit("participant_name_changed", person, "Anna", "Anna K.")
        assert ear.of(Joined) == [Joined("id-Anna", "Anna"), Joined("id-Anna", "Anna K.")]


async def test_an_agent_is_in_the_call_once_it_speaks(stage):
    stage.server.enter("recorder", "Recorder", AGENT)
    async with listening(stage.source()) as ear:
        stage.server.enter("voice", "Voice", AGENT)
        stage.server.publish("voice")
        await ear.until(lambda e: e.hears("Voice"))
        stage.server.leave("recorder")
        assert [event.name for event in ear.of(Joined)] == ["Voice"]
        assert not ear.of(Left)


async def test_two_tracks_of_one_are_both_heard_and_end_each_for_itself(stage):
    stage.server.enter("id-Anna", "Anna")
    async with listening(stage.source()) as ear:
        stage.server.publish("id-Anna")
        shared = stage.server.publish("id-Anna", source=SCREEN)
        await ear.until(lambda e: len(e.of(TrackStarted)) == 2)
        stage.server.unpublish("id-Anna", shared)
        await ear.until(lambda e: e.of(TrackEnded))
        assert len(ear.open) == 1
        assert not ear.of(Left)
        before = ear.heard_samples.get("id-Anna", 0)
        await ear.until(lambda e: e.heard_samples.get("id-Anna", 0) > before + 3200)


async def test_a_muted_track_goes_on(stage):
    stage.server.enter("id-Anna", "Anna")
    sid = stage.server.publish("id-Anna")
    async with listening(stage.source()) as ear:
        await ear.until(lambda e: e.hears("Anna"))
        [room] = stage.server.rooms
        person = room.remote_participants["id-Anna"]
        room.emit("track_muted", person, person.track_publications[sid])
        assert not ear.of(TrackEnded)


async def test_a_track_that_fails_ends_alone(stage, monkeypatch):
    stage.server.enter("id-Anna", "Anna")
    stage.server.enter("id-Bert", "Bert")
    async with listening(stage.source()) as ear:
        stage.server.publish("id-Bert")
        await ear.until(lambda e: e.hears("Bert"))
        with monkeypatch.context() as broken:
            broken.delattr(fake.AudioStream, "__anext__")
            stage.server.publish("id-Anna")
            await ear.until(lambda e: e.of(TrackEnded))
        assert [event.participant for event in ear.of(TrackEnded)] == ["id-Anna"]
        assert len(ear.open) == 1


async def test_the_sdk_s_own_reconnection_is_a_loss_that_keeps_the_tracks(stage):
    stage.server.enter("id-Anna", "Anna")
    stage.server.publish("id-Anna")
    async with listening(stage.source()) as ear:
        await ear.until(lambda e: e.hears("Anna"))
        [room] = stage.server.rooms
        room.emit("reconnecting")
        room.emit("reconnected")
        assert [type(e) for e in ear.events[-2:]] == [Lost, Recovered]
        assert not ear.of(TrackEnded)
        assert len(ear.of(Joined)) == 1


async def test_a_full_restart_of_the_sdk_brings_everybody_back(stage):
    stage.server.enter("id-Anna", "Anna")
    stage.server.publish("id-Anna")
    async with listening(stage.source()) as ear:
        await ear.until(lambda e: e.hears("Anna"))
        [room] = stage.server.rooms
        room.remove("id-Anna")
        room.emit("reconnecting")
        room.emit("participant_connected", room.add("id-Anna"))
        room.emit("reconnected")
        await ear.until(lambda e: len(e.of(TrackStarted)) == 2)
        assert len(ear.open) == 1


@pytest.mark.parametrize("reason", ["ROOM_DELETED", "ROOM_CLOSED"])
async def test_a_room_that_is_over_ends_the_call(stage, reason):
    stage.server.enter("id-Anna", "Anna")
    stage.server.publish("id-Anna")
    source, ear = stage.source(), Ear()
    run = asyncio.ensure_future(source.run(ear.tell))
    await ear.until(lambda e: e.of(TrackStarted))
    stage.server.end(rtc.DisconnectReason.Value(reason))
    async with asyncio.timeout(20):
        await run
    assert not ear.names
    assert not ear.open
    assert not ear.of(Lost)


@pytest.mark.parametrize("reason", ["DUPLICATE_IDENTITY", "PARTICIPANT_REMOVED", "moved"])
async def test_who_is_sent_away_does_not_come_back(stage, reason):
    source, ear = stage.source(), Ear()
    run = asyncio.ensure_future(source.run(ear.tell))
    await ear.until(lambda e: e.of(Connected))
    if reason == "moved":
        stage.server.rooms[0].emit("moved")
    else:
        stage.server.end(rtc.DisconnectReason.Value(reason))
    with pytest.raises(ContractError) as refused:
        async with asyncio.timeout(20):
            await run
    assert refused.value.code == "forbidden"
    assert len(stage.server.attempts) == 1


async def test_a_token_that_has_run_out_is_refused_for_good_but_a_renewed_one_is_used(stage):
    source, ear = stage.source(), Ear()
    run = asyncio.ensure_future(source.run(ear.tell))
    await ear.until(lambda e: e.of(Connected))
    [room] = stage.server.rooms
    room._token = "renewed"
    room.emit("token_refreshed")
    stage.server.refusal = UNAUTHORIZED
    stage.server.end(rtc.DisconnectReason.SERVER_SHUTDOWN)
    with pytest.raises(ContractError) as refused:
        async with asyncio.timeout(20):
            await run
    assert refused.value.code == "forbidden"
    assert [token for _, token, _ in stage.server.attempts] == ["secret"] + 3 * ["renewed"]
    assert [type(event) for event in ear.events] == [Connected, Lost]


async def test_a_token_for_another_room_is_invalid(stage):
    assert (await refusal(stage.source(room="other"))).code == "invalid"


async def test_an_address_that_is_not_listed_is_never_asked(stage):
    error = await refusal(stage.source(allow=AllowList(["wss://livekit.example.com"])))
    assert error.code == "forbidden"
    assert not stage.server.attempts


async def test_a_name_that_leads_to_what_is_not_listed_is_not_connected_to(stage):
    url = f"ws://localhost:{stage.port}"
    error = await refusal(stage.source(url=url, allow=AllowList(["10.9.0.0/16"])))
    assert error.code == "unavailable"
    assert not stage.server.attempts


async def test_http_addresses_are_the_websocket_s(stage):
    async with listening(stage.source(url=f"http://127.0.0.1:{stage.port}")):
        assert stage.server.attempts[0][0] == f"ws://127.0.0.1:{stage.port}"


async def test_captions_go_back_only_where_they_are_wanted_and_as_they_were_spoken(stage):
    source = stage.source(captions_back=False)
    async with listening(source) as ear:
        await stage.enter("Anna")
        await ear.until(lambda e: e.hears("Anna"))
        await source.send(caption("id-Anna"))
    wanted = stage.source()
    async with listening(wanted) as ear:
        await ear.until(lambda e: e.hears("Anna"))
        await wanted.send(caption("id-Anna", language="pt"))
        await wanted.send(caption("id-Bert"))
        assert not stage.server.texts
        await wanted.send(caption("id-Anna", final=False))
        stage.server.leave("id-Anna")
        await wanted.send(caption("id-Anna"))  # the last words become final behind the leave
    finals = [text["attributes"]["lk.transcription_final"] for text in stage.server.texts]
    assert finals == ["false", "true"]


async def test_a_missing_permission_to_write_is_the_caller_s_to_log(stage):
    source = stage.source()
    stage.server.text_refused = True
    async with listening(source) as ear:
        await stage.enter("Anna")
        await ear.until(lambda e: e.hears("Anna"))
        with pytest.raises(RuntimeError, match="permissions"):
            await source.send(caption("id-Anna"))


def caption(participant: str, *, language: str = "en", final: bool = True) -> Caption:
    return Caption(
        call="c",
        utterance="u-1",
        revision=1,
        participant=participant,
        speaker="Anna",
        language=language,
        source_language="en",
        text="hello",
        stable=5,
        final=final,
        start_ms=0,
        end_ms=500,
    )


async def test_without_the_package_the_node_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    settings = LiveKit(url="ws://127.0.0.1:1", room="standup", token="secret")
    error = await refusal(LiveKitSource(settings, ANY))
    assert error.code == "unavailable"
    assert "surtitle[livekit]" in error.message


def parameters(function) -> list[tuple]:
    return [
        (parameter.name, parameter.kind)
        for parameter in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fake.Room.__init__, rtc.Room.__init__),
        (fake.Room.connect, rtc.Room.connect),
        (fake.Room.disconnect, rtc.Room.disconnect),
        (fake.AudioStream.__init__, rtc.AudioStream.__init__),
        (fake.AudioStream.__anext__, rtc.AudioStream.__anext__),
        (fake.AudioStream.aclose, rtc.AudioStream.aclose),
        (fake.FakePublication.set_subscribed, rtc.RemoteTrackPublication.set_subscribed),
        (fake.FakeLocalParticipant.stream_text, rtc.LocalParticipant.stream_text),
        (fake.FakeWriter.write, rtc.TextStreamWriter.write),
        (fake.FakeWriter.aclose, rtc.TextStreamWriter.aclose),
    ],
)
def test_the_fake_has_the_signatures_of_the_sdk(ours, theirs):
    assert parameters(ours) == parameters(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        (rtc.Room, ["name", "remote_participants", "local_participant"]),
        (rtc.RemoteParticipant, ["identity", "name", "kind", "track_publications"]),
        (rtc.RemoteTrackPublication, ["sid", "kind", "source", "track", "subscribed"]),
    ],
)
def test_the_fake_s_properties_are_the_sdk_s(theirs, names):
    for name in names:
        assert isinstance(inspect.getattr_static(theirs, name), property), name


async def test_the_sdk_knows_the_events_that_we_wait_for(stage):
    heard = set()
    room = fake.FakeRtc(stage.server).Room
    room.on = lambda self, event, callback: heard.add(event)
    source = LiveKitSource(
        LiveKit(url=f"ws://127.0.0.1:{stage.port}", room="standup", token="t"), ANY
    )
    source._rtc = fake.FakeRtc(stage.server)
    source._rtc.Room = room
    async with listening(source):
        pass
    known = set(inspect.getdoc(rtc.Room.on).split('"'))
    known |= {"token_refreshed"} & set(rtc.room.EventTypes.__args__)
    assert heard
    assert heard <= known


def test_the_sdk_keeps_the_renewed_token_where_we_look_for_it():
    assert "_token" in rtc.Room.__init__.__code__.co_names


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "forbidden"), (403, "forbidden"), (404, "not_found"), (503, "unavailable")],
)
async def test_the_real_sdk_s_refusals_are_told_in_the_contract_s_words(stage, status, code):
    stage.status = status
    settings = LiveKit(url=f"ws://127.0.0.1:{stage.port}", room="standup", token="secret")
    assert (await refusal(LiveKitSource(settings, ANY))).code == code


async def test_the_real_sdk_s_frames_are_heard(stage):
    microphone = rtc.AudioSource(48_000, 1)
    source = rtc.LocalAudioTrack.create_audio_track("tone", microphone)
    tone = (9000 * np.sin(2 * np.pi * 440 * np.arange(480) / 48_000)).astype(np.int16)
    track = Track()

    async def speak() -> None:
        while True:
            await microphone.capture_frame(rtc.AudioFrame(tone.tobytes(), 48_000, 1, 480))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        room = fake.FakeRtc(stage.server).Room()
        stay = Stay(rtc, room, Ear().tell, tasks, Speakers())
        running = [
            tasks.create_task(speak()),
            tasks.create_task(stay._hear("id-Anna", "TR_1", source, track)),
        ]
        chunks = [await anext(track) for _ in range(25)]
        for task in running:
            task.cancel()
    assert [chunk.start for chunk in chunks] == [n * 320 for n in range(25)]
    assert np.abs(chunks[-1].samples).max() > 5000


async def test_a_server_that_cannot_be_reached_is_unavailable(stage):
    await stage.stop()
    assert (await refusal(stage.source())).code == "unavailable"
