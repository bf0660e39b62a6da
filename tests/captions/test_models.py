"""Where weights are found, and what is said where they are not. Nothing is fetched here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from captions import models
from captions.models import ModelUnavailable, choose, locate


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """A hub that cannot be reached; what was asked of it, and whether offline."""
    asked: list[tuple[str, bool]] = []

    def download(repository: str, *, local_files_only: bool = False, **_: Any) -> str:
        asked.append((repository, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        raise ConnectionError("no route to host\nand a page of HTML")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two packages that hold a model's parts, a few bytes each."""
    site = tmp_path / "site"
    parts = []
    for n in (1, 2):
        data = site / f"fake_half_{n}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        part = data / f"model.bin.part{n}"
        part.write_bytes(b"half%d" % n)
        parts.append(part)
        for name in ("config.json", "tokenizer.json", "vocabulary.json"):
            (data / name).write_text("{}")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(
        models, "_BASE_PARTS", tuple((part.parent.parent.name, part.name) for part in parts)
    )
    yield parts
    for part in parts:
        sys.modules.pop(part.parent.parent.name, None)


@pytest.mark.parametrize(
    ("cuda", "name", "device", "chosen"),
    [
        (False, "auto", "auto", ("base", "cpu")),
        (True, "auto", "auto", ("large-v3-turbo", "cuda")),
        (True, "auto", "cpu", ("base", "cpu")),
        (True, "tiny.en", "auto", ("tiny.en", "cuda")),
        (False, "tiny.en", "cuda", ("tiny.en", "cuda")),
    ],
)
def test_auto_stands_for_what_the_machine_can_do(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, name: str, device: str, chosen: tuple[str, str]
):
    monkeypatch.setattr(models, "has_cuda", lambda: cuda)
    assert choose(name, device) == chosen


def test_a_folder_with_a_model_is_that_model(tmp_path: Path):
    (tmp_path / "model.bin").touch()
    assert locate(str(tmp_path), tmp_path / "cache") == tmp_path


def test_a_folder_without_a_model_is_told_what_it_lacks(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match=r"holds no model\.bin"):
        locate(str(tmp_path), tmp_path / "cache")


def test_the_packaged_model_needs_no_cache(tiny_en: Path, tmp_path: Path):
    assert (tiny_en / "model.bin").is_file()
    assert locate("tiny.en", tmp_path / "cache") == tiny_en
    assert not (tmp_path / "cache").exists()


def test_two_packaged_halves_become_one_model_once(halves: list[Path], tmp_path: Path):
    folder = locate("base", tmp_path / "cache")
    assert (folder / "model.bin").read_bytes() == b"half1half2"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.json",
    ]
    (folder / "model.bin").write_bytes(b"made before")
    assert locate("base", tmp_path / "cache") == folder
    assert (folder / "model.bin").read_bytes() == b"made before"


def test_a_model_that_was_left_half_written_is_written_again(halves: list[Path], tmp_path: Path):
    folder = locate("base", tmp_path / "cache")
    (folder / "model.bin").unlink()
    (folder / "model.bin.999").write_bytes(b"ha")
    assert (locate("base", tmp_path / "cache") / "model.bin").read_bytes() == b"half1half2"


def test_halves_of_another_release_are_another_model(halves: list[Path], tmp_path: Path):
    before = locate("base", tmp_path / "cache")
    halves[1].write_bytes(b"another half")
    after = locate("base", tmp_path / "cache")
    assert before != after
    assert (after / "model.bin").read_bytes() == b"half1another half"


@pytest.mark.parametrize(
    ("name", "repository"),
    [("small.en", "Systran/faster-whisper-small.en"), ("owner/name", "owner/name")],
)
def test_a_hub_that_cannot_be_reached_is_told_with_the_ways_out(
    no_hub: list[tuple[str, bool]], tmp_path: Path, name: str, repository: str
):
    with pytest.raises(ModelUnavailable) as told:
        locate(name, tmp_path)
    assert no_hub == [(repository, True), (repository, False)]
    message = str(told.value)
    for word in (name, repository, "no route to host", "--model base", "HF_ENDPOINT"):
        assert word in message
    assert "HTML" not in message


def test_what_the_hub_has_cached_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[bool] = []

    def download(_: str, *, local_files_only: bool = False, **__: Any) -> str:
        asked.append(local_files_only)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate("small", tmp_path / "cache") == tmp_path
    assert asked == [True]


def test_a_name_that_nobody_knows_is_answered_with_those_that_are(
    no_hub: list[tuple[str, bool]], tmp_path: Path
):
    with pytest.raises(ModelUnavailable, match="no model is called 'medium-well'") as told:
        locate("medium-well", tmp_path)
    assert "large-v3-turbo" in str(told.value)
    assert no_hub == []
