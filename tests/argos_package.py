"""A small Argos package: a real CTranslate2 model that knows a dictionary by heart.

Its weights are not learned but written down. Tokens and positions are one-hot; the decoder's
attention looks at the source position it has come to, and carries the token from there to its
translation. So it translates word by word, and what it has to say is known beforehand.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
import sentencepiece

LONGEST = 64
"""Words of a sentence."""

_LONGEST_DECODED = 300  # CTranslate2 gives up at 256

_SPACE = "\u2581"
_SPECIAL = ["<unk>", "<s>", "</s>"]


def word_by_word(text: str, dictionary: Mapping[str, str]) -> str:
    """What a package of this dictionary makes of a text: words that it lacks stay."""
    return " ".join(dictionary.get(word, word) for word in text.split())


def build(path: Path, source: str, target: str, dictionary: Mapping[str, str]) -> Path:
    """Write the package, `<source>_<target>.argosmodel` in a folder; where it is."""
    name = f"{source}_{target}"
    folder = path / name
    folder.mkdir(parents=True)
    words = sorted(dictionary)
    (folder / "words.txt").write_text("\n".join(words))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"),
        model_prefix=str(folder / "sentencepiece"),
        model_type="word",
        vocab_size=len(words) + 3,
        character_coverage=1.0,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    (folder / "model").mkdir()
    _model(dictionary).save(str(folder / "model"))
    metadata = {
        "package_version": "1.0",
        "argos_version": "1.9.0",
        "from_code": source,
        "from_name": source,
        "to_code": target,
        "to_name": target,
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    package = path / f"{name}.argosmodel"
    with zipfile.ZipFile(package, "w") as archive:
        for file in ("metadata.json", "sentencepiece.model", *_files(folder / "model")):
            archive.write(folder / file, f"{name}/{file}")
    return package


def installed(package: Path, folder: Path) -> Path:
    """Unpack a package to where Argos looks for those that are installed; the folder."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


def _files(model: Path) -> list[str]:
    return [f"model/{file.name}" for file in model.iterdir()]


def _model(dictionary: Mapping[str, str]) -> Any:
    sources = [*_SPECIAL, *(_SPACE + word for word in sorted(dictionary))]
    targets = [*_SPECIAL, *sorted({_SPACE + word for word in dictionary.values()})]
    place = {token: n for n, token in enumerate(targets)}
    translated = [
        place[_SPACE + dictionary[token[1:]]] if token.startswith(_SPACE) else place[token]
        for token in sources
    ]
    shape = _Shape(len(sources), len(targets))
    spec = ctranslate2.specs.TransformerSpec.from_config(
        num_layers=(1, 1), num_heads=1, pre_norm=True
    )
    spec.register_source_vocabulary(sources)
    spec.register_target_vocabulary(targets)
    spec.config.add_source_eos = True
    for side, vocabulary in ((spec.encoder, len(sources)), (spec.decoder, len(targets))):
        side.scale_embeddings = False
        side.position_encodings.encodings = shape.positions()
        embeddings = side.embeddings[0] if side is spec.encoder else side.embeddings
        embeddings.weight = np.zeros((vocabulary, shape.width), np.float32)
    spec.encoder.embeddings[0].weight[:, : shape.sources] = np.eye(shape.sources)

    layer = spec.encoder.layer[0]
    _silence(layer.self_attention, shape.width, parts=[3, 1])
    _silence_ffn(layer.ffn, shape.width)
    for norm in (layer.self_attention.layer_norm, layer.ffn.layer_norm, spec.encoder.layer_norm):
        _keep_hot(norm, shape.width, hot=2)

    layer = spec.decoder.layer[0]
    _silence(layer.self_attention, shape.width, parts=[3, 1])
    _silence(layer.attention, shape.width, parts=[1, 2, 1])
    _silence_ffn(layer.ffn, shape.width)
    query, key_value, output = (linear.weight for linear in layer.attention.linear)
    at = shape.position_slice
    query[at, at] = np.eye(LONGEST) * 40 * math.sqrt(shape.width)
    key_value[at, at] = np.eye(LONGEST)
    for token, target in enumerate(translated):
        key_value[shape.width + shape.target_slice.start + target, token] = 1
    output[:] = np.eye(shape.width)
    _keep_hot(layer.self_attention.layer_norm, shape.width, hot=1)
    _keep_hot(layer.attention.layer_norm, shape.width, hot=1)
    _keep_hot(layer.ffn.layer_norm, shape.width, hot=2)
    _keep_hot(spec.decoder.layer_norm, shape.width, hot=2)
    spec.decoder.projection.weight = np.zeros((shape.targets, shape.width), np.float32)
    spec.decoder.projection.weight[:, shape.target_slice] = np.eye(shape.targets) * 30
    spec.validate()
    return spec


class _Shape:
    """Where in a vector what stands: source tokens, positions, target tokens, each one-hot."""

    def __init__(self, sources: int, targets: int) -> None:
        self.sources = sources
        self.targets = targets
        self.width = sources + LONGEST + targets
        self.position_slice = slice(sources, sources + LONGEST)
        self.target_slice = slice(sources + LONGEST, self.width)

    def positions(self) -> npt.NDArray[np.float32]:
        """What beams beside the best still try behind its end looks at the last position."""
        table = np.zeros((_LONGEST_DECODED, self.width), np.float32)
        at = np.minimum(np.arange(_LONGEST_DECODED), LONGEST - 1)
        table[:, self.position_slice] = np.eye(LONGEST)[at]
        return table


def _silence(attention: Any, width: int, parts: list[int]) -> None:
    for linear, part in zip(attention.linear, parts, strict=True):
        linear.weight = np.zeros((part * width, width), np.float32)
        linear.bias = np.zeros(part * width, np.float32)


def _silence_ffn(ffn: Any, width: int) -> None:
    for linear in (ffn.linear_0, ffn.linear_1):
        linear.weight = np.zeros((width, width), np.float32)
        linear.bias = np.zeros(width, np.float32)


def _keep_hot(norm: Any, width: int, hot: int) -> None:
    """Undo the norm of vectors in which so many are one and all others zero."""
    mean = hot / width
    deviation = math.sqrt(mean - mean**2)
    norm.gamma = np.full(width, deviation, np.float32)
    norm.beta = np.full(width, mean, np.float32)
