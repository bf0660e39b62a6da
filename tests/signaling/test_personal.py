"""What is kept of one person, asked for and erased over HTTP by them or who manages calls."""

from __future__ import annotations

import json

import aiohttp

from captions.formats import FORMATS
from signaling import personal
from signaling.shared_call import TENANTS
from signaling.store import CallRecord, ParticipantRecord
from signaling.store_sqlite import SqliteStore
from signaling.tokens import GRANTS, SharedSecret
from surtitle.settings import Settings
from surtitle.transcript import erase_participant, export_participant
from tests.lone_gateway import lone_gateway
from tests.signaling.bus_contract import final

AUTHORITY = SharedSecret("a secret of the tests that is long enough")


def bearer(who: str, call: str = "*", *grants: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {AUTHORITY.issue(who, call, grants, None, 3600)}"}


async def kept(store: SqliteStore, calls: int = 3) -> None:
    for n in range(calls):
        pairs = {TENANTS: [["p-anna", "acme"], ["p-ben", "acme"]]}
        await store.save_call(CallRecord(f"c{n}", n, n + 1, pairs))
        await store.save_participants(f"c{n}", [ParticipantRecord("p-anna", "Anna", n, n + 1)])
        said = final("u1", f"ask not {n}", call=f"c{n}", participant="p-anna", speaker="Anna")
        other = final("u2", "what your", call=f"c{n}", participant="p-ben", speaker="Ben")
        await store.save_captions([said.numbered(1), other.numbered(2)])


async def test_a_person_gets_theirs_and_nobody_else_s(tmp_path, monkeypatch):
    monkeypatch.setattr(personal, "_PAGE", 2)
    async with (
        lone_gateway(tmp_path, ["live"], AUTHORITY) as (gateway, _),
        aiohttp.ClientSession(gateway.url) as http,
    ):
        await kept(gateway._store)
        path = "/api/participants/p-anna/export"
        for headers, status in (
            ({}, 401),
            (bearer("p-ben"), 403),
            (bearer("p-ben", "*", "read"), 403),
            (bearer("p-anna"), 200),
            (bearer("p-ben", "*", "manage"), 200),
        ):
            reply = await http.get(path, headers=headers)
            assert reply.status == status
        export = await reply.json()
        assert [call["call"] for call in export["calls"]] == ["c0", "c1", "c2"]
        assert [said["text"] for said in export["captions"]] == [f"ask not {n}" for n in (2, 1, 0)]
        one = await (await http.get(path, headers=bearer("p-anna", "c1"))).json()
        assert [call["call"] for call in one["calls"]] == ["c1"]
        assert [said["text"] for said in one["captions"]] == ["ask not 1"]
        nobody = await http.get("/api/participants/p-x/export", headers=bearer("m", "*", *GRANTS))
        assert await nobody.json() == {"participant": "p-x", "calls": [], "captions": []}


async def test_a_person_is_erased_everywhere_but_where_a_call_goes_on(tmp_path):
    async with (
        lone_gateway(tmp_path, [], AUTHORITY) as (gateway, _),
        aiohttp.ClientSession(gateway.url, headers=bearer("m", "*", *GRANTS)) as http,
    ):
        await kept(gateway._store)
        path = "/api/participants/p-anna"
        assert (await http.delete(path, headers=bearer("p-ben"))).status == 403
        assert (await http.delete(path, headers=bearer("p-anna", "c0"))).status == 204
        texts = [c.text for n in range(3) for c in await gateway._store.captions(f"c{n}")]
        assert texts == ["", "what your", "ask not 1", "what your", "ask not 2", "what your"]
        assert (await http.post("/api/calls", json={"call": "c1"})).status in (201, 409, 503)
        await gateway._calls._rooms.open("c1")
        refused = await http.delete(path)
        assert refused.status == 409
        await gateway._calls.end("c1")
        assert (await http.delete(path)).status == 204
        export = await (await http.get(f"{path}/export")).json()
        assert export == {"participant": "p-anna", "calls": [], "captions": []}
        record = await gateway._store.call("c0")
        assert dict(record.settings[TENANTS]) == {"p-ben": "acme"}
    kept_bytes = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Anna" not in kept_bytes
    assert b"ask not" not in kept_bytes
    assert b"p-anna" not in kept_bytes


async def test_the_program_exports_and_erases_a_person(tmp_path, capsys):
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        await kept(store)
    await export_participant(tmp_path, "p-anna")
    export = json.loads(capsys.readouterr().out)
    assert len(export["captions"]) == 3
    await erase_participant(tmp_path, "p-anna", Settings())
    assert capsys.readouterr().err == "erased 3 finals in 3 calls\n"
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        finals = await store.captions("c0")
        assert FORMATS["txt"].render("c0", finals).count("\n") >= 1
        assert "what your" in FORMATS["vtt"].render("c0", finals)
        assert "Anonymous" not in FORMATS["vtt"].render("c0", finals), "an empty cue says nothing"
