"""Argos Translate: any pair of languages that a package is installed for.

Argos parts sentences by stanza, and stanza brings torch. Utterances are short and have their
marks, so sentences are parted here, and neither is loaded.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from captions.ways import Pair

# A mark behind a short word ends no sentence: it may be "Dr." or "e.g.".
_BETWEEN_SENTENCES: Final = re.compile(r"(?<=\w{3}[.!?…])\s+|(?<=[。！？])\s*")


class Sentences:
    """Stands in for Argos's sentence boundary detection."""

    def split_sentences(self, text: str) -> list[str]:
        """The sentences of a text, in order."""
        return [part for part in _BETWEEN_SENTENCES.split(text) if part]


def packages_folder() -> Path:
    """Where Argos Translate keeps its packages, by the rules of `argostranslate.settings`."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("ARGOS_PACKAGES_DIR") or Path(data) / "argos-translate" / "packages")


def installed_pairs(packages: Path) -> frozenset[Pair]:
    """What the packages of a folder translate; without argostranslate, so at no cost."""
    pairs = set()
    for file in packages.glob("*/metadata.json"):
        metadata = json.loads(file.read_text())
        if metadata.get("type", "translate") == "translate":
            pairs.add((metadata["from_code"], metadata["to_code"]))
    return frozenset(pairs)


def import_argos(packages: Path | None, threads: int = 1, workers: int = 1) -> tuple[Any, Any]:
    """Argostranslate's modules `package` and `translate`, set up; ImportError without them.

    They read their settings from the environment, once. For a process of its own.
    """
    if packages:
        os.environ["ARGOS_PACKAGES_DIR"] = str(packages)
    os.environ["ARGOS_INTER_THREADS"] = str(workers)
    os.environ["ARGOS_INTRA_THREADS"] = str(threads)
    # Captions are read once, and soon: more beams cost several times the CPU for little.
    os.environ.setdefault("ARGOS_BEAM_SIZE", "1")
    sys.modules.setdefault("stanza", ModuleType("stanza"))
    sys.modules.setdefault("spacy", None)  # type: ignore[arg-type] # as if it were not there
    from argostranslate import package, translate

    return package, translate


class ArgosTranslate:
    """See `captions.translator_process.Translates`. A model is loaded when first used."""

    def __init__(self, packages: Path | None, threads: int, workers: int) -> None:
        package, translate = import_argos(packages, threads, workers)
        self._translations: dict[Pair, Any] = {}
        for installed in package.get_installed_packages():
            if installed.type == "translate":
                source, target = installed.from_code, installed.to_code
                translation = translate.PackageTranslation(
                    translate.Language(source, installed.from_name),
                    translate.Language(target, installed.to_name),
                    installed,
                )
                translation.sentencizer = Sentences()
                self._translations[source, target] = translation

    @property
    def pairs(self) -> frozenset[Pair]:
        """See `Translates`."""
        return frozenset(self._translations)

    def translate(self, text: str, source: str, target: str) -> str:
        """See `Translates`."""
        return str(self._translations[source, target].translate(text))
