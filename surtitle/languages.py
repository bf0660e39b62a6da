"""`surtitle languages`: what is translated here, and packages of Argos Translate for more."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from captions import ways
from captions.translate_argos import import_argos, packages_folder
from captions.ways import Pair
from surtitle.settings import UserError
from surtitle.translators import LIBRARIES, known_pairs


async def fetch_and_show(pairs: Iterable[str], files: Iterable[Path]) -> None:
    """Fetch and install packages, then print what there is; `UserError` where one fails."""
    for file in files:
        _install(file)
    for pair in pairs:
        _fetch(pair)
    _show(Console())


def _show(console: Console) -> None:
    by_pair: dict[Pair, str] = {}
    for name in LIBRARIES:
        for pair in known_pairs(name):
            by_pair.setdefault(pair, name)
    table = Table("from", "into", "by", box=None, pad_edge=False)
    for (source, target), name in sorted(by_pair.items()):
        table.add_row(source, target, name)
    for source, target in sorted(_by_english(by_pair)):
        table.add_row(source, target, "way of English")
    console.print(table)
    if not find_spec(LIBRARIES["argos"]):
        console.print("\n`pip install 'surtitle[translate]'` brings Argos Translate, for more.")
    else:
        console.print(f"\nArgos Translate's packages are in {packages_folder()}.")
        console.print("`surtitle languages --get en-de` fetches one.")


def _by_english(pairs: Iterable[Pair]) -> list[Pair]:
    known = set(pairs)
    sources, targets = {source for source, _ in known}, {target for _, target in known}
    return [
        (source, target)
        for source, target in product(sources, targets)
        if source != target and len(ways.way(known, source, target)) > 1
    ]


def _install(file: Path) -> None:
    package, _ = _argos()
    try:
        package.install_from_path(file)
    except Exception as error:  # argostranslate raises Exception itself, and what zipfile does
        raise UserError(f"{file} is no package of Argos Translate: {error}") from None


def _fetch(pair: str) -> None:
    source, _, target = pair.partition("-")
    package, _ = _argos()
    from argostranslate import settings as argos

    try:
        package.update_package_index()
        # Without an index argostranslate would look for it again and again.
        if not Path(argos.local_package_index).exists():
            raise OSError(f"no index at {argos.remote_package_index}")
        found = [
            each
            for each in package.get_available_packages()
            if (each.type, each.from_code, each.to_code) == ("translate", source, target)
        ]
        if found:
            found[0].install()
    except Exception as error:  # as above, and what urllib does
        raise UserError(
            f"the package {pair} cannot be fetched: {type(error).__name__}: {error}\n"
            "ARGOS_PACKAGE_INDEX names another index; `--install FILE` takes a file instead."
        ) from None
    if not found:
        raise UserError(f"Argos's index has no package {pair}; `en-de` is the form.")


def _argos() -> tuple[Any, Any]:
    if not find_spec(LIBRARIES["argos"]):
        raise UserError("Argos Translate is not installed: `pip install 'surtitle[translate]'`.")
    return import_argos(None)
