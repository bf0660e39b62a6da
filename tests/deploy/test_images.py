"""The Dockerfiles: what a linter says, what they promise, and whether their steps work."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess

import pytest
from aiohttp import web
from packaging.utils import canonicalize_name

from tests.deploy.images import check, in_context, stages
from tests.deploy.test_locks import pinned
from tests.deploy.test_sbom import faults
from tests.deploy.tools import DEPLOY, DOCKERFILES, HADOLINT, ROOT, output


def name(path) -> str:
    return path.relative_to(DEPLOY / "docker").as_posix()


def test_the_linter_finds_nothing():
    assert output(HADOLINT, "--no-color", *DOCKERFILES) == ""


def test_the_linter_would_notice(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install curl\n")
    with pytest.raises(AssertionError, match="DL3006"):
        output(HADOLINT, bad)


@pytest.mark.parametrize("path", DOCKERFILES, ids=name)
def test_base_images_are_pinned(path):
    for stage in stages(path):
        assert re.search(r":(\d+\.\d+\.\d+|bookworm-\d{8})-", stage.base), stage.base


@pytest.mark.parametrize("path", DOCKERFILES, ids=name)
def test_what_runs_is_nobody_in_particular_and_can_be_asked_how_it_is(path):
    last = stages(path)[-1]
    assert re.fullmatch(r"1\d{4}:1\d{4}", last.arguments("USER")[-1])
    assert last.arguments("HEALTHCHECK")
    assert last.arguments("STOPSIGNAL") == ["SIGTERM"]
    # As JSON: through a shell no signal would come.
    assert last.arguments("ENTRYPOINT")[0].startswith("[")


@pytest.mark.parametrize("path", DOCKERFILES, ids=name)
def test_no_secret_is_given_to_a_build(path):
    for stage in stages(path):
        given = " ".join(stage.arguments("ARG") + stage.arguments("ENV"))
        assert not re.search(r"SECRET|PASSWORD|TOKEN|CREDENTIAL|_KEY", given), given
        # ADD fetches and unpacks; a COPY of all would take what .dockerignore forgot.
        assert not stage.arguments("ADD")
        assert not [each for each in stage.arguments("COPY") if each.split()[0] == "."]


@pytest.mark.parametrize("path", DOCKERFILES, ids=name)
def test_what_runs_may_not_change_its_own_program(path):
    last = stages(path)[-1]
    assert not [each for each in last.arguments("COPY") if "--chown" in each]
    # Nothing is installed after the user has changed, nor could it be.
    words = [word for word, _ in last.steps]
    assert "RUN" not in words[words.index("USER") :]


def test_secrets_and_whatever_lies_about_stay_out_of_images():
    for path in (".env", ".git/config", "deploy/nginx/certs/privkey.pem", "tests/peer.py"):
        assert not in_context(path), path
    for path in ("web/node_modules/x", "signaling/page/index.html", "captions/__pycache__/a.pyc"):
        assert not in_context(path), path
    for path in ("captions/types.py", "web/src/main.ts", "requirements/run.lock", "LICENSE"):
        assert in_context(path), path


def test_the_gateways_lock_has_the_versions_of_all():
    def pins(lock: str) -> set[str]:
        text = (ROOT / f"requirements/{lock}.lock").read_text()
        return set(re.findall(r"^\S+==\S+", text, re.MULTILINE))

    assert pins("gateway")
    assert pins("gateway") <= pins("run")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    return check("gateway", tmp_path_factory.mktemp("gateway"))


@pytest.mark.timeout(300)
def test_a_gateway_installs_by_its_own_steps_and_starts(gateway):
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", gateway.execute(["surtitle", "version"]))
    # The page is in it, so that a browser has something to open.
    found = "import importlib.resources as r; print(r.files('signaling') / 'page/index.html')"
    page = gateway.execute(["python3", "-c", found]).strip()
    assert page.startswith(str(gateway.root))
    assert "<html" in gateway.execute(["cat", page])


def test_a_gateway_needs_nothing_that_its_image_lacks(gateway):
    # Nobody answers there, which it has to say; what it imports it has imported by then.
    nowhere = ["--redis", "redis://127.0.0.1:1/0", "--mongo", "mongodb://127.0.0.1:1/surtitle"]
    with pytest.raises((AssertionError, subprocess.TimeoutExpired)) as refused:
        gateway.execute(
            [
                *("timeout", "-k", "5", "20", "surtitle", "gateway", "--host", "127.0.0.1"),
                *("--port", "0", "--secret", "of-a-test-that-nobody-shall-guess", *nowhere),
            ]
        )
    assert "ModuleNotFoundError" not in str(refused.value)
    assert "ImportError" not in str(refused.value)
    gateway.execute(["python3", "-c", "import signaling.files.reader"])  # a process of its own


def test_a_gateway_says_what_it_is_made_of(gateway):
    document = json.loads((gateway.root / "opt/surtitle/sbom.cdx.json").read_text())
    assert faults(document) == []
    said = {canonicalize_name(each["name"]): each for each in document["components"]}
    listing = "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
    installed = gateway.execute(["python3", "-c", listing]).split()
    assert said.keys() | {"surtitle"} == {canonicalize_name(name) for name in installed}
    assert document["metadata"]["component"]["name"] == "surtitle"
    assert said["aiohttp"]["version"] in pinned(ROOT / "requirements/gateway.lock")["aiohttp"]
    assert said["aiohttp"]["licenses"]


@pytest.mark.parametrize("image", ["gateway", "node"])
def test_an_image_has_the_list_of_what_it_is_made_of(image):
    parts = stages(DEPLOY / f"docker/{image}.Dockerfile")
    made = " ".join(each for stage in parts[:-1] for each in stage.arguments("RUN"))
    assert "-o /opt/surtitle/sbom.cdx.json /opt/surtitle" in made
    assert "--from=install /opt/surtitle /opt/surtitle" in parts[-1].arguments("COPY")


def test_the_nodes_entry_point_tells_what_only_the_container_knows(tmp_path):
    fake = tmp_path / "bin"
    fake.mkdir()
    for program, body in {
        "surtitle": 'echo "$@"; env | grep SURTITLE_',
        "hostname": '[ "${1:-}" = -I ] && echo "172.18.0.3 172.30.20.7 " || echo 4f2a',
    }.items():
        (fake / program).write_text(f"#!/bin/sh\n{body}\n")
        (fake / program).chmod(0o755)
    script = DEPLOY / "docker/node-entrypoint.sh"
    settings = {"PATH": f"{fake}:/usr/bin:/bin", "NODE_MEDIA_PREFIX": "172.30.20."}
    said = output("sh", script, "--log", "json", **settings)
    assert "node --log json\n" in said
    assert "SURTITLE_ID=4f2a\n" in said
    assert "SURTITLE_CONTROL_URL=http://4f2a:8081\n" in said
    assert "SURTITLE_ADVERTISE=172.30.20.7\n" in said
    # What is set stays.
    said = output("sh", script, **settings, SURTITLE_ID="node-1", SURTITLE_ADVERTISE="192.0.2.1")
    assert "SURTITLE_ID=node-1\n" in said
    assert "SURTITLE_ADVERTISE=192.0.2.1\n" in said
    with pytest.raises(AssertionError, match="no address begins with"):
        output("sh", script, **{**settings, "NODE_MEDIA_PREFIX": "10."})


@pytest.mark.parametrize("image", ["gateway", "node"])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.7"])
async def test_the_health_check_asks_where_it_listens(image, host):
    last = stages(DEPLOY / f"docker/{image}.Dockerfile")[-1]
    command = json.loads(last.arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    status = 200

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        # 0.0.0.0 is asked by 127.0.0.1; the test itself listens on loopback only.
        await web.TCPSite(runner, host.replace("0.0.0.0", "127.0.0.1"), 0).start()
        settings = {"SURTITLE_HOST": host, "SURTITLE_PORT": str(runner.addresses[0][1])}
        await asyncio.to_thread(output, *command, **settings)
        status = 503
        with pytest.raises(AssertionError, match="503"):
            await asyncio.to_thread(output, *command, **settings)
    finally:
        await runner.cleanup()
