"""`surtitle archive`: to a folder, and to S3.

S3 is moto's server on loopback, the best stand-in that the registries have: real HTTP and
the real client, but not Amazon's bucket policies, consistency or errors.
"""

from __future__ import annotations

import builtins
import json
from dataclasses import replace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from captions.types import SPOKEN, Caption
from signaling.store import CallRecord, ParticipantRecord
from signaling.store_sqlite import SqliteStore
from surtitle.archive import _PAGE, archive_calls, document_name
from surtitle.archive_places import Folder, place_of
from surtitle.settings import UserError
from tests.signaling.store_contract import numbered

START_MS = 1_795_793_507_123  # 27 November 2026, 15:31:47.123
NAME = "20261127T153147123Z-standup~42.json"
ANNA = ParticipantRecord("p-anna", "Anna Müller", START_MS, START_MS + 60_000)


@pytest.fixture
async def store(tmp_path):
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        yield store


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3, monkeypatch):
    """A client of an empty bucket `transcripts`, and the variables an operator sets."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anna")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="transcripts")
    yield client
    for found in client.list_objects_v2(Bucket="transcripts").get("Contents", []):
        client.delete_object(Bucket="transcripts", Key=found["Key"])
    client.delete_bucket(Bucket="transcripts")


async def held(store, call: str = "standup:42", start_ms: int = START_MS) -> CallRecord:
    """A call that was held: two said something, and one was translated."""
    record = CallRecord(call, start_ms, start_ms + 60_000, {"language": "en", "vocabulary": ["Ü"]})
    await store.save_call(record)
    await store.save_participants(call, [ANNA])
    await store.save_captions([numbered(n, f"word {n} 🙂", call=call) for n in (1, 2)])
    await store.save_captions([numbered(1, "Wort", call=call, feed="de", language="de")])
    return record


async def test_a_call_becomes_a_document_with_all_that_is_known_of_it(store, tmp_path):
    record = await held(store)
    assert await archive_calls(store, str(tmp_path / "a" / "b")) == 1
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [NAME]
    path = tmp_path / "a" / "b" / NAME
    assert path.stat().st_mode & 0o077 == 0, "nobody else's business"
    document = json.loads(path.read_text())
    assert document.keys() == {"schema", "call", "participants", "feeds"}
    assert document["schema"] == "surtitle-call-1"
    assert CallRecord(**document["call"]) == record
    assert [ParticipantRecord(**who) for who in document["participants"]] == [ANNA]
    assert document["feeds"].keys() == {SPOKEN, "de"}
    for feed, wires in document["feeds"].items():
        finals = [Caption.from_wire(wire) for wire in wires]
        assert finals == await store.captions("standup:42", feed)


async def test_only_calls_that_ended_long_enough_ago_are_archived(store, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: START_MS / 1000 + 60 + 7 * 86_400)
    await held(store, "old", START_MS - 1)
    await held(store, "new")
    await store.save_call(CallRecord("live", 0))
    await store.save_captions([numbered(1, call="live")])
    assert await archive_calls(store, str(tmp_path / "to"), older_than_days=7) == 1
    (path,) = (tmp_path / "to").iterdir()
    assert path.name.endswith("-old.json")


async def test_every_call_is_archived_however_many_ended_at_once(store, tmp_path):
    count = 2 * _PAGE + 7
    for n in range(count):
        # All but a few in the same millisecond: more than a page of them.
        await store.save_call(CallRecord(f"call-{n}", n, 1000 + max(0, n - count + 5)))
    await store.save_captions([numbered(1, call=f"call-{n}") for n in range(count)])
    assert await archive_calls(store, str(tmp_path / "to")) == count
    assert len(list((tmp_path / "to").iterdir())) == count


async def test_to_archive_again_changes_nothing(store, tmp_path):
    await held(store)
    assert await archive_calls(store, str(tmp_path / "to")) == 1
    path = tmp_path / "to" / NAME
    before = path.read_bytes(), path.stat()
    assert await archive_calls(store, str(tmp_path / "to")) == 1
    assert (path.read_bytes(), path.stat()) == before


async def test_what_was_archived_is_erased_when_asked_and_stays_in_the_archive(store, tmp_path):
    record = await held(store)
    path = tmp_path / "to" / NAME
    assert await archive_calls(store, str(tmp_path / "to"), delete=True) == 1
    archived = json.loads(path.read_text())
    assert len(archived["feeds"][SPOKEN]) == 2
    for feed in (SPOKEN, "de"):
        assert await store.captions(record.call, feed) == []
    assert await store.participants(record.call) == []
    # Nothing is left of it to archive.
    assert await archive_calls(store, str(tmp_path / "to"), delete=True) == 0
    assert json.loads(path.read_text()) == archived
    # It goes on another day.
    await store.save_call(replace(record, ended_at_ms=START_MS + 90_000))
    await store.save_participants(
        record.call, [replace(ANNA, name="Anna M.", last_seen_ms=START_MS + 90_000)]
    )
    await store.save_captions([numbered(3, "more", call=record.call)])
    assert await archive_calls(store, str(tmp_path / "to"), delete=True) == 1
    document = json.loads(path.read_text())
    assert [wire["text"] for wire in document["feeds"][SPOKEN]] == [
        "word 1 🙂",
        "word 2 🙂",
        "more",
    ]
    assert document["feeds"]["de"] == archived["feeds"]["de"]
    assert document["call"]["ended_at_ms"] == START_MS + 90_000
    assert document["participants"] == [
        {
            "id": "p-anna",
            "name": "Anna M.",
            "first_seen_ms": START_MS,
            "last_seen_ms": START_MS + 90_000,
        }
    ]


async def test_what_cannot_be_read_back_is_not_erased(store, tmp_path, monkeypatch):
    await held(store)
    read = Folder.read

    async def torn(self, name):
        data = await read(self, name)
        return data and data[:-1]

    monkeypatch.setattr(Folder, "read", torn)
    with pytest.raises(UserError, match="nothing was erased"):
        await archive_calls(store, str(tmp_path / "to"), delete=True)
    assert len(await store.captions("standup:42")) == 2
    assert await store.participants("standup:42") == [ANNA]


async def test_what_is_said_while_a_call_is_archived_is_not_erased(store, tmp_path, monkeypatch):
    await held(store)
    write = Folder.write

    async def slow(self, name, data):
        await store.save_captions([numbered(3, "late", call="standup:42")])
        await write(self, name, data)

    monkeypatch.setattr(Folder, "write", slow)
    assert await archive_calls(store, str(tmp_path / "to"), delete=True) == 1
    assert len(await store.captions("standup:42")) == 3


async def test_a_write_that_fails_leaves_the_document_as_it_was(store, tmp_path, monkeypatch):
    await held(store)
    to = tmp_path / "to"
    await archive_calls(store, str(to))
    before = (to / NAME).read_bytes()
    await store.save_captions([numbered(3, "late", call="standup:42")])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        await archive_calls(store, str(to))
    assert [path.name for path in to.iterdir()] == [NAME]
    assert (to / NAME).read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schema": "other"}'])
async def test_a_file_that_is_no_document_is_not_overwritten(store, tmp_path, data):
    await held(store)
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(UserError, match="not a document"):
        await archive_calls(store, str(tmp_path))
    assert (tmp_path / NAME).read_bytes() == data


@pytest.mark.parametrize("call", ["../up", "a/b", ".hidden", ":" * 128, "A" * 128, "ä\0", ".."])
async def test_a_document_s_name_is_safe_and_the_call_s_own(store, tmp_path, call):
    name = document_name(CallRecord(call, START_MS))
    assert set(name) <= {chr(n) for n in range(0x21, 0x7F)} - set('/\\:*?"<>|')
    assert len(name) < 200
    assert not name.startswith(".")
    await place_of(str(tmp_path / "to")).write(name, b"x")
    assert [path.name for path in (tmp_path / "to").iterdir()] == [name]
    others = {document_name(CallRecord(other, START_MS)) for other in ("a_b", "a:b", "a%3Ab")}
    assert len(others | {name}) == 4


@pytest.mark.parametrize("destination", ["s3://", "s3:///prefix", "https://example.com/bucket"])
async def test_a_destination_that_is_none_says_what_it_takes(store, destination):
    with pytest.raises(UserError, match="folder or s3://bucket/prefix"):
        await archive_calls(store, destination)


async def test_a_folder_that_is_a_file_is_an_error_that_names_it(store, tmp_path):
    await held(store)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"archive: .*file"):
        await archive_calls(store, str(tmp_path / "file"))


# --- S3 ---------------------------------------------------------------------------------


def objects(client) -> dict[str, bytes]:
    listed = client.list_objects_v2(Bucket="transcripts").get("Contents", [])
    return {
        found["Key"]: client.get_object(Bucket="transcripts", Key=found["Key"])["Body"].read()
        for found in listed
    }


@pytest.mark.parametrize(
    ("destination", "key"),
    [
        ("s3://transcripts", NAME),
        ("s3://transcripts/", NAME),
        ("s3://transcripts/a/b/", f"a/b/{NAME}"),
    ],
)
async def test_a_call_becomes_the_same_document_in_a_bucket(
    store, tmp_path, bucket, destination, key
):
    await held(store)
    await archive_calls(store, str(tmp_path / "to"))
    for _ in range(2):
        assert await archive_calls(store, destination) == 1
        assert objects(bucket) == {key: (tmp_path / "to" / NAME).read_bytes()}
    described = bucket.head_object(Bucket="transcripts", Key=key)
    assert described["ContentType"] == "application/json"


async def test_what_is_in_the_bucket_is_erased_when_asked_and_added_to(store, bucket):
    record = await held(store)
    assert await archive_calls(store, "s3://transcripts/x", delete=True) == 1
    assert await store.captions(record.call) == []
    assert await archive_calls(store, "s3://transcripts/x", delete=True) == 0
    await store.save_captions([numbered(3, "more", call=record.call)])
    assert await archive_calls(store, "s3://transcripts/x") == 1
    (data,) = objects(bucket).values()
    assert [wire["seq"] for wire in json.loads(data)["feeds"][SPOKEN]] == [1, 2, 3]


async def test_a_bucket_that_is_not_there_is_an_error_and_nothing_is_erased(store, bucket):
    await held(store)
    with pytest.raises(UserError, match=r"'nobodys' cannot be used.*NoSuchBucket") as failed:
        await archive_calls(store, "s3://nobodys", delete=True)
    assert "hunter2" not in str(failed.value)
    assert len(await store.captions("standup:42")) == 2


async def test_an_s3_that_does_not_answer_is_an_error(store, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    await held(store)
    with pytest.raises(UserError, match="cannot be used"):
        await archive_calls(store, "s3://transcripts")


async def test_without_boto3_the_user_is_told_what_to_install(store, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **more):
        if name.split(".")[0] == "boto3":
            raise ModuleNotFoundError(name)
        return original(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'surtitle\[s3\]'"):
        await archive_calls(store, "s3://transcripts")
