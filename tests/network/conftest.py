"""What all tests of this folder share; they run by `python -m tests.network` only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.network import namespace
from tests.network.janus import Janus

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Elsewhere a run of all tests leaves these out; asked for by name they are refused."""
    if namespace.inside():
        return None
    for argument in config.args:
        asked = (config.invocation_params.dir / argument.split("::")[0]).resolve()
        if asked == HERE or HERE in asked.parents:
            raise pytest.UsageError("run these by `python -m tests.network`")
    return True


@pytest.fixture(autouse=True)
def own_addresses(monkeypatch) -> None:
    """aiortc gathers on the namespace's address, whatever other tests' helpers asked for."""
    import tests.peer  # noqa: F401 - sets another address when it is imported

    monkeypatch.setattr(
        "aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [namespace.ADDRESS]
    )


@pytest_asyncio.fixture
async def janus(tmp_path: Path) -> AsyncIterator[Janus]:
    """Janus with string ids, with the rooms of `tests/network/janus.py`."""
    async with Janus(tmp_path / "janus") as running:
        yield running


@pytest_asyncio.fixture
async def numeric_janus(tmp_path: Path) -> AsyncIterator[Janus]:
    """Janus as it is without configuration: ids of rooms and people are numbers."""
    async with Janus(tmp_path / "numeric-janus", string_ids=False) as running:
        yield running
