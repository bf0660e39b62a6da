"""The programs that check; `make test` brings them all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = (
    DEPLOY / "docker/gateway.Dockerfile",
    DEPLOY / "docker/node.Dockerfile",
    DEPLOY / "docker/coturn/Dockerfile",
)

_CHECKERS = Path(sys.prefix) / "deploy/bin"
_UNPACKED = ROOT / ".cache/deploy"

HADOLINT = _CHECKERS / "hadolint"
PODMAN_COMPOSE = _CHECKERS / "podman-compose"
NGINX = _UNPACKED / "usr/sbin/nginx"
PROMTOOL = _UNPACKED / "usr/bin/promtool"
MIME_TYPES = _UNPACKED / "etc/nginx/mime.types"
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
CYCLONEDX = Path(sys.prefix) / f"audit/lib/{_PYTHON}/site-packages/cyclonedx/schema/_res"
COMPOSE_SCHEMA = Path(__file__).parent / "node_modules/dclint/schemas/compose.schema.json"


def program(name: str) -> str:
    """The path of one of Debian's programs, also of those for administrators."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed: make debian"
    return found


def output(*command: str | Path, **environment: str) -> str:
    """What a command says, on both channels; it must succeed."""
    done = subprocess.run(
        [str(each) for each in command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
        cwd=ROOT,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}"
    return done.stdout


def secrets() -> dict[str, str]:
    """Values for all that `.env.example` leaves open."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [line[:-1] for line in lines if line.endswith("=") and not line.startswith("#")]
    return {name: f"of{name.replace('_', '').lower()}" for name in names}
