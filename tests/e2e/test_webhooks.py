"""A server that is killed has told of nothing twice, and of everything once it is back."""

from __future__ import annotations

import signal

import aiohttp

from tests.receiver import KEY, Receiver
from tests.server import Server


async def test_what_a_killed_server_did_not_get_told_it_tells_when_it_is_back(tmp_path):
    async with Receiver() as gone:
        options = (
            *("--webhook", gone.url("a"), "--webhook", gone.url("b")),
            *("--webhook-secret", KEY, "--webhook-allow", "127.0.0.0/8"),
        )
    server = Server(tmp_path, *options)
    async with server:
        async with aiohttp.ClientSession(server.url) as http:
            assert (await http.post("/api/calls", json={"call": "standup"})).status == 201
            assert (await http.delete("/api/calls/standup")).status == 204
            listed = await http.get("/api/webhooks/deliveries?state=waiting")
            waiting = {each["id"] for each in (await listed.json())["deliveries"]}
        assert len(waiting) == 4
        await server.stop(signal.SIGKILL)
        async with Receiver(port=gone.port) as back:
            await server.start()
            # What it was just sending is due again within a minute.
            told = await back.hears(4, seconds=120)
    assert {each.id for each in told} == waiting
    assert sorted((each.path, each.event) for each in told) == [
        (path, event) for path in ("/a", "/b") for event in ("call.ended", "transcript.ready")
    ]
    assert f":{gone.port}/a" not in server.log.read_text()
