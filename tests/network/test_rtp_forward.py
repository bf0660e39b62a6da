"""Janus's `rtp_forward` into the `rtp` source: for who has the room's secret."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from media.source import Connected, TrackStarted
from media.sources.rtp import RtpSource
from signaling.sources import Rtp, RtpStream, Srtp
from tests.media.source_contract import Ear, listening
from tests.network import namespace
from tests.network.janus import Janus
from tests.network.publisher import Client, Publisher

SECRET = "the-rooms"
ANNA, BERT = 1001, 1002
STREAMS = [
    RtpStream(ssrc=ANNA, participant="p-anna", name="Anna"),
    RtpStream(ssrc=BERT, participant="p-bert", name="Bert"),
]


@pytest_asyncio.fixture
async def secret_janus(tmp_path: Path) -> AsyncIterator[Janus]:
    async with Janus(tmp_path / "janus", room_settings=f'secret = "{SECRET}"') as running:
        yield running


@pytest_asyncio.fixture
async def operator(secret_janus: Janus) -> AsyncIterator[Client]:
    async with Client(secret_janus.url) as client:
        yield client


@asynccontextmanager
async def call(**settings: Any) -> AsyncIterator[tuple[RtpSource, Ear]]:
    source = RtpSource(Rtp(**settings), [namespace.ADDRESS])
    async with listening(source) as ear:
        yield source, ear


async def forward(
    operator: Client, room: str | int, publisher: Publisher, ear: Ear, ssrc: int, **more: Any
) -> int:
    """Let Janus send somebody's audio to where the call said; the forwarder's id."""
    (connected,) = ear.of(Connected)
    to = connected.details
    stream = {"mid": "0", "port": to["port"], "pt": to["payload_type"], "ssrc": ssrc}
    answer = await operator.request(
        request="rtp_forward",
        room=room,
        publisher_id=publisher.feed,
        secret=SECRET,
        host=to["address"],
        host_family="ipv4",
        streams=[stream],
        **more,
    )
    (forwarder,) = answer["plugindata"]["data"]["forwarders"]
    return int(forwarder["stream_id"])


async def test_each_publisher_is_heard_under_the_name_of_the_ssrc_they_are_given(
    secret_janus, operator
):
    """From a port each: the sender is an address without a port."""
    janus = secret_janus
    async with (
        call(streams=STREAMS, sender=namespace.ADDRESS) as (source, ear),
        Publisher(janus.url, janus.room, "Anna") as anna,
        Publisher(janus.url, janus.room, "Bert") as bert,
    ):
        await forward(operator, janus.room, anna, ear, ssrc=ANNA)
        await forward(operator, janus.room, bert, ear, ssrc=BERT)
        await ear.until(lambda e: e.hears("Anna") and e.hears("Bert"))
        assert ear.names == {"p-anna": "Anna", "p-bert": "Bert"}
        assert source.counts.stranger == source.counts.other_type == 0


@pytest.mark.parametrize(("number", "bits"), [(80, "80"), (32, "32")])
async def test_with_srtp_it_is_heard(secret_janus, operator, number, bits):
    janus = secret_janus
    key = base64.b64encode(os.urandom(30)).decode()
    srtp = Srtp(suite=f"AES_CM_128_HMAC_SHA1_{bits}", key=key)
    async with (
        call(streams=STREAMS, srtp=srtp) as (source, ear),
        Publisher(janus.url, janus.room, "Anna") as anna,
    ):
        await forward(
            operator, janus.room, anna, ear, ssrc=ANNA, srtp_suite=number, srtp_crypto=key
        )
        await ear.until(lambda e: e.hears("Anna"))
        assert source.counts.malformed == 0


async def test_who_is_forwarded_anew_goes_on_as_the_same_participant(secret_janus, operator):
    janus = secret_janus
    async with call(streams=STREAMS, sender=namespace.ADDRESS) as (_, ear):
        async with Publisher(janus.url, janus.room, "Anna") as anna:
            forwarder = await forward(operator, janus.room, anna, ear, ssrc=ANNA)
            await ear.until(lambda e: e.hears("Anna"))
            await operator.request(
                request="stop_rtp_forward",
                room=janus.room,
                publisher_id=anna.feed,
                stream_id=forwarder,
                secret=SECRET,
            )
        async with Publisher(janus.url, janus.room, "Anna") as anna:
            ear.heard_samples.clear()
            await forward(operator, janus.room, anna, ear, ssrc=ANNA)
            await ear.until(lambda e: e.hears("Anna"))
        assert len(ear.of(TrackStarted)) == 1
