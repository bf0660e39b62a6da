"""Presence within one process."""

from __future__ import annotations

import pytest

from signaling.presence import MemoryPresence
from tests.signaling.presence_contract import PresenceContract


class TestMemoryPresence(PresenceContract):
    @pytest.fixture
    async def presence(self):
        return MemoryPresence()
