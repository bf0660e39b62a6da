"""NVIDIA's libraries as pip installs them, where CTranslate2 by itself does not look."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Final

CUBLAS: Final = "libcublas.so.12"


def load_cublas() -> None:
    """Load cuBLAS from its package, so that CTranslate2 finds it by its name.

    Without the package nothing happens: CTranslate2 then takes the system's, or fails.
    """
    try:
        package = find_spec("nvidia.cublas")
    except ModuleNotFoundError:  # nothing of NVIDIA's at all
        return
    for folder in (package.submodule_search_locations or ()) if package else ():
        library = Path(folder, "lib", CUBLAS)
        if library.is_file():
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
