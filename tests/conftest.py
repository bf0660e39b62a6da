"""What all rooms' tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.server import Server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory) -> AsyncIterator[Server]:
    """One server for all tests that do not break it; each uses calls of its own."""
    folder: Path = tmp_path_factory.mktemp("server")
    # Many tests begin many calls within one heartbeat: room for all of them.
    async with Server(folder, "--capacity", "1000") as running:
        yield running
