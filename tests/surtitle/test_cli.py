"""The program as its user meets it: standard output, standard error, exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from signaling.store import CallRecord
from signaling.store_sqlite import SqliteStore
from signaling.tokens import SharedSecret
from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.signaling.bus_contract import final

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of the tests that is long enough"

LOGGED = re.compile(r"\d{4}-\S+ \[(info|warning) ")


@dataclass
class Done:
    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of this machine's own."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SURTITLE_")} | more


async def surtitle(*arguments: object, seconds: float = 90, **more: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "surtitle", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**more),
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return Done(process.returncode, out.decode(), err.decode())


def complaint(done: Done) -> str:
    """The one line that says what is wrong, behind which the program gave up."""
    assert done.status == 1, done
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if not LOGGED.match(line)]
    assert lines[0].startswith("surtitle: "), done.err
    return "\n".join(lines)


def one_line(done: Done) -> str:
    message = complaint(done)
    assert "\n" not in message
    return message


# --- tokens ---------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory):
    async with Server(tmp_path_factory.mktemp("guarded"), "--secret", SECRET) as running:
        yield running


async def test_a_printed_token_is_accepted_for_what_it_grants(guarded):
    done = await surtitle(
        *("token", "--call", "standup", "--grant", "join", "--grant", "read"),
        *("--subject", "p-anna", "--name", "Anna", "--secret", SECRET),
    )
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", done.out)
    token = done.out.strip()
    async with Peer(guarded.url, token) as anna:
        answer = await anna.ask("call:join", {"call": "standup"})
        assert answer["participants"][0]["name"] == "Anna"
        assert answer["participant"] == "p-anna"
        elsewhere = await anna.ask("call:join", {"call": "another"})
        assert elsewhere["error"]["code"] == "forbidden"
    async with aiohttp.ClientSession(
        guarded.url, headers={"Authorization": f"Bearer {token}"}
    ) as http:
        assert (await http.get("/api/calls/standup")).status == 200
        assert (await http.delete("/api/calls/standup")).status == 403


async def test_the_secret_can_come_from_the_environment(guarded):
    done = await surtitle("token", "--call", "*", "--grant", "manage", SURTITLE_SECRET=SECRET)
    headers = {"Authorization": f"Bearer {done.out.strip()}"}
    async with aiohttp.ClientSession(guarded.url, headers=headers) as http:
        assert (await http.post("/api/calls", json={})).status == 201


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--call", "a", "--grant", "join"), "--secret"),
        (("--call", "a/b", "--grant", "join", "--secret", SECRET), "call"),
        (("--call", "a", "--grant", "join", "--secret", SECRET, "--subject", "a b"), "sub"),
        (("--call", "a", "--grant", "join", "--secret", SECRET, "--name", "x" * 200), "name"),
    ],
)
async def test_a_token_that_no_server_would_take_is_not_printed(arguments, said):
    assert said in one_line(await surtitle("token", *arguments))


async def test_a_grant_that_there_is_not_is_a_wrong_use():
    done = await surtitle("token", "--call", "a", "--grant", "fly", "--secret", SECRET)
    assert (done.status, done.out) == (2, "")
    assert "fly" in done.err


# --- caption --------------------------------------------------------------------------------


def voice(speaker: str):
    return next(r for r in our_voices() if r.speaker == speaker)


def cut(folder: Path, speaker: str, seconds: float) -> Path:
    """The beginning of a recording, as a WAV file that is called like its speaker."""
    path = folder / f"{speaker}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(voice(speaker).pcm(16_000)[: int(seconds * 16_000)].tobytes())
    return path


async def test_files_are_captioned_each_under_its_name_and_nothing_else_is_on_stdout():
    joe, ada = voice("Joe"), voice("Ada")
    done = await surtitle("caption", joe.path, ada.path, "--model", "tiny.en", "--language", "en")
    assert done.status == 0, done.err
    said: dict[str, str] = {}
    for line in done.out.splitlines():
        found = re.fullmatch(r"\[00:00:\d\d\] (joe-1|ada-1): (.+)", line)
        assert found, line
        said[found[1]] = f"{said.get(found[1], '')} {found[2]}".strip()
    for recording in (joe, ada):
        assert normalized(said[recording.path.stem]) == normalized(recording.text)
    assert "joe-1" in done.err, "the progress is on stderr"


async def test_a_transcript_comes_in_each_format(tmp_path):
    files = [cut(tmp_path, "Joe", 2.3), cut(tmp_path, "Ada", 1.0)]
    arguments = ("caption", *files, "--model", "tiny.en", "--language", "en", "--format")
    vtt, srt, parsed = await asyncio.gather(
        *(surtitle(*arguments, f) for f in ("vtt", "srt", "json"))
    )
    assert vtt.status == srt.status == parsed.status == 0, (vtt.err, srt.err, parsed.err)
    captions = json.loads(parsed.out)["captions"]
    assert {c["speaker"] for c in captions} == {"Joe", "Ada"}
    assert all(c["final"] for c in captions)
    assert "morning" in " ".join(c["text"] for c in captions if c["speaker"] == "Joe")
    assert vtt.out.startswith("WEBVTT\n\n")
    assert re.search(r"\n00:00:0\d\.\d{3} --> 00:00:0\d\.\d{3}\n<v Joe>Good morning", vtt.out)
    assert "<v Ada>Thank you" in vtt.out
    assert srt.out.startswith("1\n00:00:0")
    assert "\nJoe: Good morning" in srt.out
    assert "\nAda: Thank you" in srt.out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words.txt", b"These are words and no audio."),
        ("empty.wav", b""),
        ("torn.opus", b"OggS\x00\x02" + bytes(20)),
        ("riff.wav", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("a very long name indeed, " * 8 + ".mp3", b"\xff\xfb\x90"),
    ],
)
async def test_a_file_that_is_no_audio_is_named_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    message = one_line(await surtitle("caption", voice("Joe").path, path, "--model", "tiny.en"))
    assert name in message
    assert "audio" in message


async def test_files_that_are_not_there_are_named_in_one_line(tmp_path):
    missing = [tmp_path / "one.wav", tmp_path / "two.wav"]
    message = one_line(await surtitle("caption", *missing, tmp_path))
    assert all(str(path) in message for path in [*missing, tmp_path])


# --- run: what cannot be --------------------------------------------------------------------


async def test_a_model_that_nobody_knows_is_an_error_that_names_those_there_are(tmp_path):
    done = await surtitle("run", "--port", 0, "--data", tmp_path, "--model", "huge.klingon")
    message = complaint(done)
    for way in ("'huge.klingon'", "tiny.en", "base", "large-v3", "OWNER/NAME", "folder"):
        assert way in message


async def test_a_model_that_cannot_be_fetched_is_an_error_that_names_the_ways_out(tmp_path):
    message = complaint(
        await surtitle(
            *("run", "--port", 0, "--data", tmp_path, "--model", "nobody/no-such-model"),
            HF_HUB_OFFLINE="1",
            HF_HOME=str(tmp_path / "hub"),
        )
    )
    for way in ("nobody/no-such-model", "--model base", "tiny.en", "FOLDER", "HTTPS_PROXY"):
        assert way in message


async def test_a_folder_without_a_model_is_an_error_that_says_what_is_missing(tmp_path):
    message = complaint(await surtitle("run", "--port", 0, "--data", tmp_path, "--model", tmp_path))
    assert "model.bin" in message


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_server_that_others_can_reach_needs_a_secret(tmp_path, host):
    message = one_line(await surtitle("run", "--host", host, "--port", 0, "--data", tmp_path))
    assert "--secret" in message
    assert host in message


async def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = one_line(
            await surtitle(
                "run", "--model", "tiny.en", SURTITLE_PORT=str(port), SURTITLE_DATA=str(tmp_path)
            )
        )
    assert str(port) in message
    assert "already in use" in message


async def test_a_host_that_is_not_ours_is_an_error_that_names_it(tmp_path):
    message = one_line(
        await surtitle(
            *("run", "--host", "192.0.2.1", "--port", 0, "--model", "tiny.en"),
            *("--secret", SECRET, "--data", tmp_path),
        )
    )
    assert "192.0.2.1" in message


@pytest.mark.parametrize("command", ["run", "export", "erase"])
async def test_a_store_that_is_broken_is_an_error_that_names_the_file(tmp_path, command):
    (tmp_path / "surtitle.db").write_bytes(b"something else altogether " * 100)
    more = ("--port", 0, "--model", "tiny.en") if command == "run" else ("standup",)
    message = one_line(await surtitle(command, *more, "--data", tmp_path))
    assert str(tmp_path / "surtitle.db") in message


# --- run: from the first line to the last ---------------------------------------------------


async def test_who_is_stopped_in_the_middle_of_a_word_has_it_in_the_transcript(tmp_path):
    call, clip = f"test-{secrets.token_hex(4)}", voice("Sam")
    async with Server(tmp_path, "--log", "json") as server, Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        await anna.send(Microphone(clip.pcm()))
        await anna.until(lambda p: p.captions and len(p.captions[-1]["text"]) > 12)
        assert await server.stop(signal.SIGTERM) == 0
        assert await server._drained == b"", "one line on stdout, and it is the address"
        await anna.until(lambda p: p.events("call:state")[-1]["state"] == "ended")
        assert anna.captions[-1]["final"], "the last words became final and were shown"
    exported = await surtitle("export", call, "--format", "json", "--data", tmp_path)
    assert (exported.status, exported.err) == (0, "")
    assert json.loads(exported.out) == {"call": call, "captions": anna.finals()}
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["level"] for line in lines} <= {"info", "warning"}
    assert "secret" in lines[0]["event"], "the first line says that everybody may do everything"
    for private in ("Anna", anna.text()[:10]):
        assert private not in log


async def test_who_is_stopped_before_it_listens_exits_0_too(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "surtitle", "run", "--port", "0", "--data", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(SURTITLE_MODEL="tiny.en"),
    )
    async with asyncio.timeout(60):
        assert b"no secret" in await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_who_is_stopped_while_the_model_is_fetched_does_not_wait_for_it(tmp_path):
    asked = asyncio.Event()

    async def never_answer(reader, writer):
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as hub:
        port = hub.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "surtitle", "run", "--port", "0", "--data", str(tmp_path)),
            *("--model", "nobody/no-such-model"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(HF_ENDPOINT=f"http://127.0.0.1:{port}", HF_HOME=str(tmp_path / "hub")),
        )
        async with asyncio.timeout(60):
            await asked.wait()
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"stopped before it listened" in err


async def test_ctrl_c_ends_it_as_sigterm_does(tmp_path):
    async with Server(tmp_path) as server:
        assert await server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.log.read_text()


# --- transcripts by hand --------------------------------------------------------------------


@pytest.fixture
async def folder(tmp_path):
    """A store with one call."""
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        await store.save_call(CallRecord("standup", 0))
        await store.save_captions(
            [
                final("u1", "Good morning.", call="standup").numbered(1),
                final("u2", "¿Qué tal?", call="standup", start_ms=2000, end_ms=3000).numbered(2),
                final("u1", "Guten Morgen.", call="standup", feed="de").numbered(1),
            ]
        )
    return tmp_path


async def test_a_transcript_is_exported_in_each_format_and_feed(folder):
    async def exported(*options: str) -> str:
        done = await surtitle("export", "standup", "--data", folder, *options)
        assert (done.status, done.err) == (0, "")
        return done.out

    text = "[00:00:01] Anna: Good morning.\n[00:00:02] Anna: ¿Qué tal?\n"
    assert await exported() == await exported("--format", "txt") == text
    assert await exported("--language", "de") == "[00:00:01] Anna: Guten Morgen.\n"
    captions = json.loads(await exported("--format", "json"))["captions"]
    assert [c["seq"] for c in captions] == [1, 2]
    assert (await exported("--format", "vtt")).startswith("WEBVTT\n\nu1\n00:00:01.000 --> ")
    assert (await exported("--format", "srt")).startswith("1\n00:00:01,000 --> ")


async def test_a_transcript_is_erased_by_hand(folder):
    done = await surtitle("erase", "standup", "--data", folder)
    assert (done.status, done.out, done.err) == (0, "", "erased 3 finals\n")
    assert (await surtitle("export", "standup", SURTITLE_DATA=str(folder))).out == ""
    again = await surtitle("erase", "standup", "--data", folder)
    assert (again.status, again.err) == (0, "erased 0 finals\n")


@pytest.mark.parametrize("command", ["export", "erase"])
async def test_what_is_not_there_is_one_line_that_says_where_was_looked(folder, command):
    message = one_line(await surtitle(command, "nobody", "--data", folder))
    assert "'nobody'" in message
    assert str(folder) in message
    message = one_line(await surtitle(command, "standup", "--data", folder / "elsewhere"))
    assert "--data" in message
    assert not (folder / "elsewhere").exists(), "nothing is made by looking"


async def test_the_version_is_printed():
    done = await surtitle("version")
    assert re.fullmatch(r"\d+\.\d+\.\S+\n", done.out)


# --- API keys -------------------------------------------------------------------------------


async def test_a_key_is_made_listed_and_revoked_and_never_kept_as_it_is(tmp_path):
    where = ("--data", str(tmp_path))
    grants = ("--grant", "publish", "--grant", "read")
    made = await surtitle("key", "create", "--name", "the switch", *grants, *where)
    secret, key_id = made.out.strip(), made.err.split(":")[0]
    assert secret.startswith("sk_")
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    listed = await surtitle("key", "list", *where)
    assert f"{key_id} the switch publish read *" in " ".join(listed.out.split())
    assert secret not in listed.out
    assert (await surtitle("key", "revoke", key_id, *where)).status == 0
    assert "key-1" in one_line(await surtitle("key", "revoke", "key-1", *where))
    assert "call" in one_line(
        await surtitle("key", "create", "--name", "a", "--call", "a/b", *grants, *where)
    )


async def test_a_token_names_its_issuer():
    chosen = ("--call", "a", "--grant", "join", "--secret", SECRET, "--issuer", "acme")
    done = await surtitle("token", *chosen)
    assert SharedSecret(SECRET).identify(done.out.strip()).tenant == "acme"
