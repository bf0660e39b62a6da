"""`/api/transcriptions` of a real gateway: uploads as they come, and what is told of jobs."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
import yaml
from httpx_sse import aconnect_sse
from jsonschema import Draft202012Validator

from signaling.files import http as files_http
from signaling.files.memory import FileRules
from signaling.gateway import Gateway
from signaling.registry import NodeStatus
from signaling.tokens import SharedSecret
from tests.lone_gateway import lone_gateway
from tests.media_files import media_file, tone
from tests.recordings import ROOT

SECRET = "a secret of the tests that is long enough"
PATH = "/api/transcriptions"
FILE = media_file(tone(1.2), "mp3")


def token(subject: str, *grants: str, call: str = "*") -> dict[str, str]:
    issued = SharedSecret(SECRET).issue(subject, call, grants, None, 3600)
    return {"Authorization": f"Bearer {issued}"}


ANNA = token("anna", "publish", "read")


def schema(name: str) -> Draft202012Validator:
    document = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})


@asynccontextmanager
async def serving(folder, **rules):
    authority = SharedSecret(SECRET)
    async with (
        lone_gateway(folder, [], authority, FileRules(**rules)) as (gateway, _),
        httpx.AsyncClient(base_url=gateway.url, headers=ANNA, timeout=20) as http,
    ):
        await gateway._registry.report(NodeStatus("node-1", capacity=10))
        yield gateway, http
        nothing_kept(gateway)


def nothing_kept(gateway: Gateway) -> None:
    """Of files that were refused, or are done with."""
    waiting = sum(entry.upload.size for entry in gateway._files._entries.values())
    assert gateway._files.memory.used == waiting


async def events(http: httpx.AsyncClient, job: str, **headers: str) -> list[tuple[str, dict]]:
    path = f"{PATH}/{job}/events"
    async with asyncio.timeout(20), aconnect_sse(http, "GET", path, headers=headers) as source:
        return [(event.id, json.loads(event.data)) async for event in source.aiter_sse()]


async def test_a_file_is_taken_at_once_and_its_job_is_told_until_it_is_done(tmp_path):
    async with serving(tmp_path) as (_, http):
        query = {"name": "Tape", "language": "en", "vocabulary": "Ada,Surtitle"}
        posted = await http.post(PATH, params=query, content=FILE)
        assert posted.status_code == 202
        job = posted.json()
        schema("Transcription").validate(job)
        assert posted.headers["Location"] == f"{PATH}/{job['job']}"
        assert job["state"] == "waiting"
        told = await events(http, job["job"])
        for number, version in told:
            schema("Transcription").validate(version)
            assert number.isdigit()
        assert {version["state"] for _, version in told} >= {"done"}
        last_number, last = told[-1]
        assert (last["state"], last["progress"], last["seconds_total"]) == ("done", 1, 1.2)
        assert (await http.get(posted.headers["Location"])).json() == last
        assert (await http.get(PATH)).json() == {"transcriptions": [last]}
        assert (await http.get(f"/api/calls/{job['call']}/transcript")).status_code == 200
        again = await http.get(
            f"{PATH}/{job['job']}/events", headers={"Last-Event-ID": last_number}
        )
        assert again.status_code == 204, "an EventSource comes no more"


async def test_a_form_may_bring_the_file(tmp_path):
    async with serving(tmp_path) as (_, http):
        posted = await http.post(PATH, files={"file": ("talk.mp3", FILE, "audio/mpeg")})
        assert posted.status_code == 202
        told = await events(http, posted.json()["job"])
        assert told[-1][1]["state"] == "done"


async def test_a_file_comes_in_as_many_parts_as_it_likes(tmp_path):
    async def parts():
        for at in range(0, len(FILE), 100):
            yield FILE[at : at + 100]

    async with serving(tmp_path) as (_, http):
        posted = await http.post(PATH, content=parts())
        assert (await events(http, posted.json()["job"]))[-1][1]["state"] == "done"


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b""}, 400, "invalid"),
        ({"content": FILE, "params": {"call": "a/b"}}, 400, "invalid"),
        ({"content": FILE, "params": {"language": "klingon!"}}, 400, "invalid"),
        ({"content": FILE, "params": {"vocabulary": "x" * 65}}, 400, "invalid"),
        ({"content": FILE, "params": {"call": "a", "vocabulary": "Ada"}}, 400, "invalid"),
        ({"data": {"name": "x"}, "files": {"other": FILE}}, 400, "invalid"),
        ({"content": b"no form", "headers": FORM}, 400, "invalid"),
        ({"content": b"--x\r\n\r\n", "headers": FORM}, 400, "invalid"),
        ({"content": FILE, "headers": {"Content-Type": "multipart/form-data"}}, 400, "invalid"),
        ({"content": FILE, "headers": token("a", "read")}, 403, "forbidden"),
        ({"content": FILE, "headers": token("a", "publish", call="b")}, 403, "forbidden"),
        ({"content": FILE, "headers": {"Authorization": ""}}, 401, "unauthorized"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_and_nothing_is_kept(
    tmp_path, request_, status, code
):
    async with serving(tmp_path) as (_, http):
        refused = await http.post(PATH, **request_)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (await http.get(PATH)).json() == {"transcriptions": []}


@pytest.mark.parametrize("form", [False, True])
async def test_a_file_that_is_too_large_is_refused(tmp_path, form):
    async with serving(tmp_path, largest_bytes=1000) as (_, http):
        refused = await http.post(
            PATH, **({"files": {"file": bytes(2000)}} if form else {"content": bytes(2000)})
        )
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert "MiB" in refused.json()["detail"]


async def test_files_that_are_too_many_are_told_when_to_come_again(tmp_path):
    async with serving(tmp_path, largest_bytes=1000, memory_bytes=1500) as (gateway, http):
        held = gateway._files.memory.begin(announced=1000)
        refused = await http.post(PATH, content=bytes(900))
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        held.close()
        assert (await http.post(PATH, content=bytes(900))).status_code == 202


async def upload(
    gateway: Gateway, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The beginning of one; the rest, of a thousand bytes in all, does not come."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    bearer = ANNA["Authorization"]
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Length: 1000\r\n"
    writer.write(head.encode() + b"\r\n" + body)
    return reader, writer


@pytest.mark.parametrize("drips", [False, True])
async def test_an_upload_that_stops_or_drips_is_given_up(tmp_path, monkeypatch, drips):
    monkeypatch.setattr(files_http, "IDLE_SECONDS", 0.2)
    async with serving(tmp_path) as (gateway, _):
        reader, writer = await upload(gateway, b"x")
        async with asyncio.timeout(10):
            for _ in range(8 if drips else 0):
                writer.write(b"x")
                await asyncio.sleep(0.05)
            assert b" 400 " in await reader.readline()
            await reader.readuntil(b"fast enough")
        writer.close()


async def test_an_upload_whose_sender_is_gone_leaves_nothing(tmp_path):
    async with serving(tmp_path) as (gateway, http):
        _, writer = await upload(gateway, b"x" * 500)
        async with asyncio.timeout(10):
            while not gateway._files.memory.used:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            writer.transport.abort()
            while gateway._files.memory.used:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await http.get(PATH)).json() == {"transcriptions": []}


async def test_a_job_is_canceled_and_nobody_else_s_is_seen(tmp_path):
    async with serving(tmp_path) as (_, http):
        jobs = [
            (await http.post(PATH, content=media_file(tone(60.0), "ogg"))).json()["job"]
            for _ in range(2)
        ]
        bob = token("bob", "publish", "read")
        for asked in (
            await http.get(f"{PATH}/{jobs[1]}", headers=bob),
            await http.delete(f"{PATH}/{jobs[1]}", headers=bob),
            await http.get(f"{PATH}/{jobs[1]}/events", headers=bob),
            await http.get(f"{PATH}/nonsense"),
        ):
            assert (asked.status_code, asked.json()["code"]) == (404, "not_found")
        assert (await http.get(PATH, headers=bob)).json() == {"transcriptions": []}
        assert (await http.get(PATH, params={"limit": "0"})).status_code == 400
        canceled = await http.delete(f"{PATH}/{jobs[1]}")
        schema("Transcription").validate(canceled.json())
        assert (canceled.status_code, canceled.json()["state"]) == (200, "canceled")
        boss = token("boss", "manage")
        assert (await http.delete(f"{PATH}/{jobs[0]}", headers=boss)).json()["state"] in (
            *("canceled", "done"),
        )
        nonsense = await http.get(f"{PATH}/{jobs[1]}/events", headers={"Last-Event-ID": "x"})
        assert nonsense.status_code == 400
