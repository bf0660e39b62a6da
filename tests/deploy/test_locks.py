"""What is installed, by whoever and wherever, is what a lock names and what its hash is of."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.images import stages
from tests.deploy.tools import DEPLOY, DOCKERFILES, ROOT

REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))
NPM_LOCKS = sorted(
    each for each in ROOT.glob("*/**/package-lock.json") if "node_modules" not in each.parts
)
INSTALLERS = (
    *(ROOT / "Makefile", *sorted((ROOT / ".ci").iterdir()), *DOCKERFILES),
    *sorted(DEPLOY.rglob("*.sh")),
)
# What a lock is of, beside `dependencies`: an extra of pyproject.toml, or a file of its own.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# A tag may be moved, a digest is of one image.
DIGEST = r"[\w./-]+:v?[\w.-]+@sha256:[0-9a-f]{64}"


def pins(lock: str) -> dict[str, list[str]]:
    """Each line of a lock that is a pin, and what is hashed below it."""
    found: dict[str, list[str]] = {}
    pin = ""
    for line in lock.splitlines():
        if line.startswith("    --hash="):
            found[pin].append(line.strip(" \\"))
        elif line.strip():
            pin = line.strip(" \\")
            found[pin] = []
    return found


def pinned(path: Path) -> dict[str, set[str]]:
    """The versions a lock has of each package: several, where Pythons differ."""
    found: dict[str, set[str]] = {}
    for pin in pins(path.read_text()):
        requirement = Requirement(pin)
        versions = {each.version for each in requirement.specifier}
        found.setdefault(canonicalize_name(requirement.name), set()).update(versions)
    return found


def loose_pins(lock: str) -> list[str]:
    return [
        pin
        for pin, hashes in pins(lock).items()
        if not re.match(r"[\w.-]+==[\w.!+-]+( ;|$)", pin)
        or not hashes
        or not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
    ]


def loose_installs(text: str) -> list[str]:
    """The commands that would install something which no lock names."""
    text = re.sub(r"^[ \t]*#.*\n|##.*$", "", text, flags=re.MULTILINE)
    if locked := re.search(r"^LOCKED := (.*)$", text, re.MULTILINE):
        text = text.replace(locked[0], "").replace("$(LOCKED)", locked[1])
    commands = re.split(r"\n|&&|\|\||;", text.replace("\\\n", " "))
    return [each.strip() for each in commands if _is_loose(each)]


def _is_loose(command: str) -> bool:
    if re.search(r"\bpip3?\b.*\b(install|download|wheel)\b", command):
        # Ours, from this folder, with what was installed before.
        ours = re.search(r"--no-deps\b.* (--editable \.|/opt/wheels/\*\.whl|\.)\s*$", command)
        return not ours and not all(
            each in command for each in ("--require-hashes", "--only-binary :all:", ".lock")
        )
    if re.search(r"\bnpm\b", command) and not re.search(r" (run|sbom|audit)\b", command):
        return not re.search(r"\bci --ignore-scripts\b", command)
    return bool(re.search(r"\b(npx|pipx|uvx|curl|wget|uv (pip install|sync|tool))\b", command))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_of_a_lock_is_one_version_with_its_hashes(path):
    assert pins(path.read_text())
    assert loose_pins(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    ["a>=1 \\\n    --hash=sha256:" + 64 * "0", "a==1", "a @ https://example.com/a.whl"],
)
def test_a_line_that_leaves_something_open_would_be_noticed(line):
    assert loose_pins(line)


@pytest.mark.parametrize("path", INSTALLERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_installed_but_by_hash(path):
    assert loose_installs(path.read_text()) == []


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m pip install aiohttp",
        "pip install -r requirements/run.lock",
        "pip install --require-hashes -r requirements/run.lock",
        "pip install --no-deps surtitle",
        "RUN true \\\n    && pip3 install --upgrade pip",
        "npm --prefix web install",
        "npm --prefix web ci --no-audit",
        "curl -sSf https://example.com/install.sh | sh",
    ],
)
def test_a_command_that_installs_something_else_would_be_noticed(command):
    assert loose_installs(command)


def test_there_is_something_to_look_at():
    found = sum(path.read_text().count("--require-hashes") for path in INSTALLERS)
    assert found >= 5
    assert {path.parent.name for path in NPM_LOCKS} == {"deploy", "mediasoup", "web"}


@pytest.mark.parametrize("path", NPM_LOCKS, ids=lambda path: path.parent.name)
def test_every_package_of_npm_has_its_hash_and_no_address_of_its_own(path):
    lock = json.loads(path.read_text())
    for name, package in lock["packages"].items():
        if "node_modules/" not in name or package.get("link"):
            continue
        assert package["integrity"].startswith("sha512-"), name
        # Without an address, it is of the registry that npm is set to.
        assert "resolved" not in package, name


@pytest.mark.parametrize("path", NPM_LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_of_npm_is_of_what_package_json_asks_for(path):
    for folder, locked in json.loads(path.read_text())["packages"].items():
        if "node_modules/" not in folder:
            asked = json.loads((path.parent / folder / "package.json").read_text())
            for kind in ("dependencies", "devDependencies", "peerDependencies"):
                assert locked.get(kind) == asked.get(kind), f"{folder or path.parent.name}: {kind}"


def asked_for(lock: Path) -> list[str]:
    own = REQUIREMENTS / f"{lock.stem}.in"
    if own.exists():
        lines = (line.split("#")[0].strip() for line in own.read_text().splitlines())
        return [line for line in lines if line]
    return PROJECT["dependencies"] + ([] if lock.stem == "run" else EXTRAS[lock.stem])


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_what_is_asked_for_in_a_version_that_will_do(path):
    found = pinned(path)
    assert asked_for(path)
    for line in asked_for(path):
        requirement = Requirement(line)
        versions = found.get(canonicalize_name(requirement.name), set())
        assert versions, f"{line} is not locked: make lock"
        for version in versions:
            assert requirement.specifier.contains(version, prereleases=True), f"{line}: {version}"


def test_every_extra_has_a_lock():
    assert EXTRAS.keys() <= {path.stem for path in LOCKS}


@pytest.mark.parametrize("name", ["bench", "cuda", "dev", "livekit", "s3", "translate", "gateway"])
def test_locks_agree_on_what_runs(name):
    run, other = pinned(REQUIREMENTS / "run.lock"), pinned(REQUIREMENTS / f"{name}.lock")
    assert {each: other[each] for each in run.keys() & other.keys()} == {
        each: run[each] for each in run.keys() & other.keys()
    }


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_images_are_built_on_a_digest(path):
    found = stages(path)
    assert found
    for stage in found:
        assert re.fullmatch(DIGEST, stage.base), stage.base


def test_the_same_base_is_the_same_everywhere():
    bases = {stage.base for path in DOCKERFILES for stage in stages(path)}
    assert len({base.split(":")[0] for base in bases}) == len(bases), bases
