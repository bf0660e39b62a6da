"""docker-compose.yml and what is laid over it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy.tools import COMPOSE_SCHEMA, DEPLOY, PODMAN_COMPOSE, ROOT, output, secrets

BASE = ROOT / "docker-compose.yml"
OVERRIDES = tuple(sorted(DEPLOY.glob("compose.*.yml")))
OURS = {"gateway-1", "gateway-2", "node-1", "node-2"}


class Compose:
    """A real implementation that interpolates and merges. Of podman it asks the version only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        podman = folder / "podman"
        podman.write_text("#!/bin/sh\necho podman version 5.4.0\n")
        podman.chmod(0o755)
        self._path = f"{folder}:{os.environ['PATH']}"
        # Not the .env that somebody may have here.
        self._nothing = folder / "empty.env"
        self._nothing.touch()

    def command(self, *files: Path) -> list[str]:
        named = [part for file in files for part in ("-f", str(file))]
        return [str(PODMAN_COMPOSE), "--env-file", str(self._nothing), *named, "config"]

    def merged(self, *files: Path, **environment: str) -> dict:
        found = subprocess.run(
            self.command(*files),
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": self._path, "COMPOSE_PROFILES": "more", **environment},
        )
        if found.returncode:
            raise ValueError(found.stderr)
        return yaml.safe_load(found.stdout)


@pytest.fixture(scope="module")
def compose(tmp_path_factory) -> Compose:
    return Compose(tmp_path_factory.mktemp("compose") / "bin")


@pytest.fixture(scope="module")
def stack(compose) -> dict:
    return compose.merged(BASE, **secrets())


@pytest.fixture(scope="module")
def services(stack) -> dict:
    return stack["services"]


def schema_faults(document: dict) -> list[str]:
    schema = json.loads(COMPOSE_SCHEMA.read_text())
    checker = jsonschema.Draft7Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(document)]


def test_the_file_keeps_to_the_compose_specification():
    assert schema_faults(yaml.safe_load(BASE.read_text())) == []


def test_the_schema_would_notice():
    document = yaml.safe_load(BASE.read_text())
    document["services"]["redis"]["helthcheck"] = {}
    assert schema_faults(document)


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda path: path.stem)
def test_what_is_laid_over_it_merges_and_keeps_to_the_specification(compose, override):
    assert schema_faults(compose.merged(BASE, override, **secrets())) == []


@pytest.mark.parametrize("missing", sorted(secrets()))
def test_it_refuses_to_start_without_a_secret_or_an_address(compose, missing):
    others = {name: value for name, value in secrets().items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        compose.merged(BASE, **others)


def test_every_variable_is_in_the_example(tmp_path):
    example = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))
    known |= {"SURTITLE_TAG", "SURTITLE_TURN_SECRET_OLD"}  # of upgrades and of new secrets
    for file in (BASE, *OVERRIDES):
        text = re.sub(r"^\s*#.*$", "", file.read_text(), flags=re.MULTILINE)
        assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) <= known, file


def test_env_sh_fills_in_every_secret_with_another_one(tmp_path):
    (tmp_path / "deploy").mkdir()
    for name in (".env.example", "deploy/env.sh"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    script = tmp_path / "deploy/env.sh"
    output("sh", script, "192.0.2.10", "captions.example.com")
    lines = (tmp_path / ".env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert values.keys() == secrets().keys()
    assert values["SURTITLE_PUBLIC_ADDRESS"] == "192.0.2.10"
    assert values["SURTITLE_PUBLIC_HOST"] == "captions.example.com"
    made = [value for name, value in values.items() if "PUBLIC" not in name]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made)
    assert len(set(made)) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    # What there is stays.
    with pytest.raises(AssertionError, match="already"):
        output("sh", script, "192.0.2.11")


def test_everything_that_was_asked_for_is_there(services):
    others = {"node", "redis", "mongodb", "coturn", "prometheus", "grafana", "nginx"}
    assert services.keys() == OURS | others


def test_no_container_may_more_than_it_needs(services):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert 0 < service["pids_limit"] <= 1024, name
        assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["deploy"]["resources"]["reservations"], name
        # Images of ours say so themselves: see test_images.py.
        assert "build" in service or not service["user"].startswith(("0", "root")), name


def test_no_container_shares_more_with_the_host_than_files_to_read(services):
    for name, service in services.items():
        shared = {"network_mode", "pid", "ipc", "uts", "userns_mode", "devices", "cgroup_parent"}
        assert not shared & service.keys(), name
        assert not any("docker.sock" in volume for volume in service.get("volumes", ())), name


def test_every_container_can_be_asked_how_it_is(services):
    for name, service in services.items():
        if "healthcheck" not in service:
            assert "HEALTHCHECK" in (ROOT / service["build"]["dockerfile"]).read_text(), name


def test_no_secret_stands_in_the_files():
    secret = re.compile(r"(SECRET|PASSWORD|_KEY|_AUTH)\w*$")
    for file in (BASE, *OVERRIDES):
        # As written, not as merged: what is to be filled in has to be.
        for line in file.read_text().splitlines():
            name, found, value = line.strip().partition(": ")
            # coturn's key is the path of one.
            if found and secret.search(name) and not value.startswith("/etc/"):
                assert re.match(r"\$\{\w+(:[?-][^}]*)?\}$", value), f"{file.name}: {name}"


def test_images_of_others_are_pinned(services):
    for name, service in services.items():
        if "build" not in service:
            # The tag is for people; what is pulled is what the digest is of.
            pin = r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}"
            assert re.fullmatch(pin, service["image"]), f"{name}: {service['image']}"


def test_images_of_ours_are_built_from_a_file_that_is_there(services):
    built = {service["build"]["dockerfile"] for service in services.values() if "build" in service}
    assert {ROOT / each for each in built} == {
        DEPLOY / "docker/gateway.Dockerfile",
        DEPLOY / "docker/node.Dockerfile",
        DEPLOY / "docker/coturn/Dockerfile",
    }


def test_what_drains_is_given_the_time(services):
    for name, service in services.items():
        if name in OURS | {"node"}:
            assert int(service["stop_grace_period"].removesuffix("s")) >= 40, name


def test_only_what_people_need_is_reached_from_outside(services):
    published = {
        name: [str(port) for port in service["ports"]]
        for name, service in services.items()
        if "ports" in service
    }
    assert published.keys() == {"nginx", "coturn", "prometheus", "grafana"}
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in published[name])


def test_what_is_mounted_is_there(services):
    made_later = {"./deploy/nginx/certs"}
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith(".") and source not in made_later:
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), f"{name}: {volume}"


def test_coturn_relays_to_the_network_of_the_nodes_and_not_to_the_host(stack):
    subnet = stack["networks"]["media"]["ipam"]["config"][0]
    services = stack["services"]
    allowed = services["coturn"]["environment"]["TURN_ALLOWED_PEERS"]
    prefix = services["node-1"]["environment"]["NODE_MEDIA_PREFIX"]
    assert subnet["subnet"] == f"{prefix}0/24"
    assert subnet["gateway"] == f"{prefix}1"
    assert allowed == f"{prefix}2-{prefix}254"
    assert "media" in services["node-1"]["networks"]
    assert services["coturn"]["networks"] == ["media"]


def test_nginx_knows_the_gateways_by_the_addresses_they_have(services):
    hosts = dict(each.split(":") for each in services["nginx"]["extra_hosts"])
    for name in ("gateway-1", "gateway-2"):
        assert services[name]["networks"]["edge"]["ipv4_address"] == hosts[name]


def test_with_direct_media_nodes_listen_where_prometheus_and_gateways_look(compose):
    services = compose.merged(BASE, DEPLOY / "compose.direct-media.yml", **secrets())["services"]
    targets = yaml.safe_load((DEPLOY / "prometheus/nodes-direct-media.yml").read_text())
    found = []
    for name in ("node-1", "node-2"):
        node = services[name]
        assert node["network_mode"] == "host"
        assert "networks" not in node
        settings = node["environment"]
        found.append(f"{settings['SURTITLE_HOST']}:{settings['SURTITLE_PORT']}")
        assert settings["SURTITLE_CONTROL_URL"] == f"http://{found[-1]}"
    assert [each for group in targets for each in group["targets"]] == found
    redis = services["redis"]["networks"]["edge"]["ipv4_address"]
    assert f"@{redis}:6379" in services["node-1"]["environment"]["SURTITLE_REDIS"]
    mounted = [each for each in services["prometheus"]["volumes"] if "/nodes.yml" in each]
    assert mounted[-1].startswith("./deploy/prometheus/nodes-direct-media.yml:")


def test_with_gpus_each_node_has_its_own(compose):
    services = compose.merged(BASE, DEPLOY / "compose.cuda.yml", **secrets())["services"]
    devices = []
    for name in ("node-1", "node-2"):
        reserved = services[name]["deploy"]["resources"]["reservations"]["devices"]
        devices += reserved[0]["device_ids"]
        assert services[name]["environment"]["SURTITLE_DEVICE"] == "cuda"
        # Both lists and mappings are allowed by the specification.
        assert "cuda" in str(services[name]["build"]["args"])
    assert len(set(devices)) == 2
