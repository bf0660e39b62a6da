"""These tests run by `make test-mediasoup` only: they need a mediasoup that it builds."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILT = HERE.parent.parent / ".cache/mediasoup"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of all tests leaves these out."""
    for argument in config.args:
        asked = (config.invocation_params.dir / argument.split("::")[0]).resolve()
        if asked == HERE or HERE in asked.parents:
            if not (BUILT / ".built").exists():
                raise pytest.UsageError("run these by `make test-mediasoup`")
            return None
    return True
