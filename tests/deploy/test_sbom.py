"""What Surtitle is made of is written down, in a form that others' tools read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
from packaging.utils import canonicalize_name

from tests.deploy.licenses import Component, components, unfit
from tests.deploy.test_locks import REQUIREMENTS, pinned
from tests.deploy.tools import CYCLONEDX, ROOT

LISTS = {"gateway": "gateway", "node": "run"}


def faults(document: dict) -> list[str]:
    """What CycloneDX's own schema has against it; the schemas are those of cyclonedx-python-lib."""

    def schema(name: str) -> dict:
        return json.loads((CYCLONEDX / f"{name}.SNAPSHOT.schema.json").read_text())

    bom = schema(f"bom-{document['specVersion']}")
    base = bom["$id"].rpartition("/")[0]
    names = ("spdx", "jsf-0.82", "cryptography-defs")
    registry = jsonschema_rs.Registry(
        [(f"{base}/{name}.SNAPSHOT.schema.json", schema(name)) for name in names]
    )
    checker = jsonschema_rs.validator_for(bom, registry=registry)
    return [f"{error.instance_path}: {error.message}" for error in checker.iter_errors(document)]


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> dict[str, Path]:
    """As `make sbom` makes them, with the Makefile's own lines."""
    folder = tmp_path_factory.mktemp("sbom")
    said = subprocess.run(
        ["make", "--dry-run", "--always-make", "--assume-old=setup", "sbom"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    commands = [line for line in said.splitlines() if " dist/sbom-" in line or ">dist" in line]
    made = [line for line in commands if "tests.deploy" not in line]
    assert len(made) == 3
    for line in made:
        command = ["sh", "-c", line.replace("dist/", f"{folder}/")]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return {path.name.split("-")[1].split(".")[0]: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["gateway", "node", "web"])
def test_a_list_keeps_to_cyclonedx(lists, name):
    document = json.loads(lists[name].read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert faults(document) == []


def test_what_does_not_keep_to_it_would_be_noticed(lists):
    document = json.loads(lists["web"].read_text())
    document["components"][0]["type"] = "thing"
    assert len(faults(document)) == 1
    del document["components"][0]["type"]
    document["components"][0]["hash"] = "0"
    assert len(faults(document)) == 2


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_what_the_lock_has_with_its_hashes(lists, name):
    listed = json.loads(lists[name].read_text())["components"]
    found: dict[str, set[str]] = {}
    for each in listed:
        found.setdefault(canonicalize_name(each["name"]), set()).add(each["version"])
        assert any(reference["hashes"] for reference in each["externalReferences"])
    assert found == pinned(REQUIREMENTS / f"{LISTS[name]}.lock")


def test_the_pages_list_has_what_goes_into_the_page_and_nothing_that_builds_it(lists):
    lock = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]
    used = {
        (name.rpartition("node_modules/")[2], package["version"])
        for name, package in lock.items()
        if "node_modules/" in name
        and "version" in package
        and not any(package.get(kind) for kind in ("dev", "optional", "peer", "devOptional"))
    }
    found = {
        (
            each["purl"].removeprefix("pkg:npm/").rpartition("@")[0].replace("%40", "@"),
            each["version"],
        )
        for each in json.loads(lists["web"].read_text())["components"]
    }
    assert {name for name, _ in found} >= {"socket.io-client", "ws"}
    assert found - {("@surtitle/client", "0.1.0")} == used


def test_every_license_is_known_to_fit_or_was_looked_at(lists):
    # docs/supply-chain.md says why these may stay.
    assert {each.split(": ")[1].split()[0] for each in unfit(lists.values())} == {"av"}


@pytest.mark.parametrize(
    ("license_", "fits"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("BSD-3-Clause AND (MIT)", True),
        ("MIT AND GPL-2.0-only", False),
        ("AGPL-3.0-only", False),
        ("", False),
    ],
)
def test_a_license_fits_if_one_may_choose_one_that_does(license_, fits):
    assert Component("a", "1", license_).fits is fits


def test_licenses_come_from_the_list_or_from_what_is_installed(lists):
    of = {each.name: each.license for each in components(lists["node"])}
    assert of["aiortc"] == "BSD-3-Clause"
    assert of["faster-whisper"] == "MIT"
    assert {each.license for each in components(lists["web"]) if each.name == "ws"} == {"MIT"}
