"""A Dockerfile's own steps, carried out in a folder instead of in a container.

`python -m tests.deploy.images [gateway] [node] [--lock cuda]` (`make check-images`) does so for
whole images, entry point included. It shows that what a Dockerfile copies is enough, that its
commands work one after the other, and that what they install can start; not what the base
images hold, nor what only a kernel can refuse.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.tools import DEPLOY, ROOT

PAGE = "page"
INSTALL = "install"


@dataclass(slots=True)
class Stage:
    """One `FROM`, and what follows until the next."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.steps if word == instruction]

    @property
    def environment(self) -> dict[str, str]:
        pairs = (each for rest in self.arguments("ENV") for each in shlex.split(rest))
        return dict(pair.split("=", 1) for pair in pairs)


def stages(dockerfile: Path) -> list[Stage]:
    """The stages of a Dockerfile without heredocs, which ours are."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    found: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif word:
            found[-1].steps.append((word, rest.strip()))
    return found


def in_context(path: str) -> bool:
    """Whether `.dockerignore` lets it through; rules as they stand there, the last one wins."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    allowed = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        found = "[^/]*".join(re.escape(part) for part in pattern.split("*"))
        found = found.replace(re.escape("[^/]*[^/]*/"), "(.*/)?").replace("[^/]*[^/]*/", "(.*/)?")
        if re.fullmatch(f"{found}(/.*)?", path):
            allowed = rule.startswith("!")
    return allowed


@dataclass(slots=True)
class Replay:
    """Carries a stage out under `root`, which stands for `/`."""

    root: Path
    arguments: dict[str, str]
    where: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    path: str = ""

    def run(self, stage: Stage) -> None:
        for word, rest in stage.steps:
            match word:
                case "WORKDIR":
                    self.where = rest
                    self.inside(rest).mkdir(parents=True, exist_ok=True)
                case "ENV":
                    pairs = (each.split("=", 1) for each in shlex.split(rest))
                    self.environment.update(pairs)
                case "ARG":
                    name, _, default = rest.partition("=")
                    self.environment[name] = self.arguments.get(name, default)
                case "COPY":
                    self.copy(shlex.split(rest))
                case "RUN":
                    self.execute(["sh", "-c", self.moved(rest)])
                case _:
                    raise AssertionError(f"{word} is not carried out here")

    def inside(self, path: str) -> Path:
        return self.root / os.path.normpath(
            f"{self.where}/{path}" if path[0] != "/" else path
        ).lstrip("/")

    def moved(self, command: str) -> str:
        """The same with its absolute paths under `root`: ours are all in /opt and /src."""
        return re.sub(r"(?<![\w./-])/(opt|src)\b", f"{self.root}/\\1", command)

    def copy(self, arguments: list[str]) -> None:
        *sources, target = [each for each in arguments if not each.startswith("--")]
        made = f"--from={PAGE}" in arguments
        into = self.inside(target)
        for source in sources:
            # What the page's stage makes is what `make setup` has made already.
            origin = ROOT / source.removeprefix("/src/") if made else ROOT / source
            assert origin.exists(), f"COPY {source}: there is none"
            assert made or in_context(source), f"COPY {source}: .dockerignore keeps it out"
            if origin.is_dir():
                shutil.copytree(origin, into, ignore=self._left_out(origin, made=made))
            else:
                folder = into if target.endswith("/") else into.parent
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, folder / origin.name if target.endswith("/") else into)

    def _left_out(self, origin: Path, *, made: bool):
        def ignored(folder: str, names: list[str]) -> list[str]:
            inside = Path(folder).relative_to(ROOT).as_posix()
            return [] if made else [name for name in names if not in_context(f"{inside}/{name}")]

        return ignored

    def execute(self, command: list[str]) -> str:
        mine = {name: value for name, value in os.environ.items() if "SURTITLE" not in name}
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            mine.pop(name, None)
        # The Python that runs the tests, and its pip, stand for those of the base image.
        path = f"{self.path}{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.inside("."),
            env={**mine, **self.environment, "PATH": path, "HOME": str(self.root)},
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout


def check(image: str, root: Path, **arguments: str) -> Replay:
    """Install as the image's Dockerfile says, then start what it starts, for its help."""
    parts = {stage.name: stage for stage in stages(DEPLOY / f"docker/{image}.Dockerfile")}
    replay = Replay(root, arguments)
    replay.run(parts[INSTALL])
    last = parts[""]
    replay.environment = {
        name: replay.moved(value) for name, value in last.environment.items() if name != "PATH"
    }
    replay.path = replay.moved(last.environment["PATH"]).removesuffix("$PATH")
    entry = last.arguments("ENTRYPOINT")[0]
    command = [each.strip('"') for each in entry.strip("[]").split(", ")]
    if command == ["node-entrypoint"]:
        command = ["sh", str(DEPLOY / "docker/node-entrypoint.sh")]
    said = replay.execute([*command, "--help"])
    assert f"surtitle {image}" in said, said
    return replay


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.images")
    parser.add_argument("image", nargs="*", default=["gateway", "node"])
    parser.add_argument("--lock", default="run", help="the node's: run, or cuda (2 GB more)")
    chosen = parser.parse_args(arguments)
    for image in chosen.image:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            check(image, Path(folder), LOCK=chosen.lock)
            size = sum(each.lstat().st_size for each in Path(folder, "opt/surtitle").rglob("*"))
            seconds = time.monotonic() - begun
            print(f"{image}: installs and starts, {size >> 20} MiB, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
