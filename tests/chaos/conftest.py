"""What the scenarios share: they are all begun by the first, and each test awaits its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.scenario import Play


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def play(request: pytest.FixtureRequest, tmp_path_factory) -> AsyncIterator[Play]:
    wanted = [item.function for item in request.session.items if hasattr(item, "function")]
    tests = [function for function in wanted if hasattr(function, "run")]
    playing = Play(tests, tmp_path_factory.mktemp("chaos"))
    yield playing
    await playing.close()
