"""The example of docs/webhooks.md takes what a gateway sends, and nothing else."""

from __future__ import annotations

import re

import aiohttp
import pytest
from aiohttp import web

from signaling.webhooks.targets import Targets
from tests.receiver import KEY
from tests.recordings import ROOT
from tests.signaling.bus_contract import CALL
from tests.signaling.test_webhooks import LOOPBACK, stage

GUIDE = (ROOT / "docs" / "webhooks.md").read_text()


@pytest.fixture
async def example():
    """What it defines, and its URL."""
    [code] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    defined: dict = {}
    exec(compile(code, "docs/webhooks.md", "exec"), defined)
    runner = web.AppRunner(defined["app"])
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield defined, f"http://127.0.0.1:{runner.addresses[0][1]}/surtitle"
    await runner.cleanup()


async def test_the_example_takes_each_event_once(example, tmp_path, capsys):
    defined, url = example
    async with stage(tmp_path, Targets([url], secret=KEY, allow=LOOPBACK)) as a:
        await a.begin()
        await a.end()
        sent = await a.until(2, "sent")
    assert defined["seen"] == {each["id"] for each in sent}
    assert sorted(capsys.readouterr().out.split("\n"))[-2:] == [
        f"call.ended {CALL}",
        f"transcript.ready {CALL}",
    ]


async def test_the_example_refuses_what_is_not_signed(example):
    defined, url = example
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    async with aiohttp.ClientSession() as http:
        for sent in ({}, headers):
            assert (await http.post(url, json={"type": "call.ended"}, headers=sent)).status == 401
    assert defined["seen"] == set()


def test_the_guide_names_the_metrics_and_options_that_there_are():
    from typer.testing import CliRunner

    from surtitle.cli import app

    shown = CliRunner().invoke(app, ["gateway", "--help"], env={"COLUMNS": "200"}).output
    for option in re.findall(r"^\| `(--webhook[a-z-]*)", GUIDE, re.MULTILINE):
        assert option in shown
