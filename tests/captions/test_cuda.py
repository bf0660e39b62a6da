"""What is different on CUDA, as far as a machine without it can tell."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captions.cuda import CUBLAS, load_cublas
from captions.recognizer import Recognizer
from captions.types import Hypothesis, to_samples
from captions.window import Window


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Libraries that are loaded, by their paths."""
    found: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: found.append(path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    return found


def test_cublas_is_loaded_from_where_pip_puts_it(
    loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    library = tmp_path / "nvidia" / "cublas" / "lib" / CUBLAS
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    load_cublas()
    assert loaded == [str(library)]


@pytest.mark.parametrize("package", ["", "nvidia/cudnn", "nvidia/cublas"])
def test_where_the_package_is_not_there_or_empty_nothing_happens(
    loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
):
    (tmp_path / package).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    load_cublas()
    assert loaded == []


class SaysCuda(Recognizer):
    """A recognizer on a CPU that takes itself for one on CUDA."""

    error: RuntimeError | None = None
    heard: list[Window]

    @property
    def device(self) -> str:
        return "cuda"

    def recognize(self, window: Window) -> Hypothesis:
        self.heard = [*getattr(self, "heard", []), window]
        if self.error:
            raise self.error
        return super().recognize(window)


def test_probabilities_are_about_those_of_a_cpu_without_logits(
    tiny_en: Path,
    recognizer: Recognizer,
    voices: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
):
    on_cuda = SaysCuda(tiny_en, device="cpu")
    monkeypatch.setattr("captions.recognizer.token_probabilities", None)  # it needs logits
    # Of silence there is no text.
    clips = [voices["ada-1"].samples, np.zeros(to_samples(2), np.int16), voices["joe-1"].samples]
    windows = [Window(samples, timed=timed) for timed in (False, True) for samples in clips]
    found = on_cuda.recognize_batch(windows)
    monkeypatch.undo()
    for here, there in zip(recognizer.recognize_batch(windows), found, strict=True):
        assert [w.text for w in there.words] == [w.text for w in here.words]
        assert [w.confidence for w in there.words] == pytest.approx(
            [w.confidence for w in here.words], abs=0.1
        )


def test_the_first_window_is_recognized_while_the_model_is_loading(tiny_en: Path):
    (window,) = SaysCuda(tiny_en, device="cpu").heard
    assert window.timed
    assert not window.samples.any()


def test_without_cublas_the_model_cannot_be_loaded_and_that_says_what_to_do(
    tiny_en: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = f"Library {CUBLAS} is not found or cannot be loaded"
    monkeypatch.setattr(SaysCuda, "error", RuntimeError(missing))
    with pytest.raises(RuntimeError, match=rf"{missing}. `pip install 'surtitle\[cuda\]'`"):
        SaysCuda(tiny_en, device="cpu")


def test_what_else_fails_at_the_first_window_fails_as_it_is(
    tiny_en: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SaysCuda, "error", RuntimeError("no kernel image"))
    with pytest.raises(RuntimeError, match=r"^no kernel image$"):
        SaysCuda(tiny_en, device="cpu")
