"""The bus of one process."""

from __future__ import annotations

import pytest

from captions.types import SPOKEN
from signaling.bus import MemoryBus
from tests.signaling.bus_contract import CALL, BusContract, final


class TestMemoryBus(BusContract):
    @pytest.fixture
    async def bus(self):
        return MemoryBus()


async def test_erased_words_are_nowhere_in_memory():
    bus = MemoryBus()
    await bus.open_call(CALL, 1, {})
    async with bus.listen(CALL, SPOKEN) as heard:
        await bus.publish_final(1, final("u1", "the secret word"))
        await anext(heard)
        await bus.erase(CALL)
    assert "secret" not in repr(vars(bus))
    assert all("secret" not in repr(feed) for feed in bus._feeds.values())


async def test_a_forgotten_call_takes_no_memory():
    bus = MemoryBus()
    for n in range(3):
        call = f"call-{n}"
        await bus.open_call(call, 1, {})
        async with bus.listen(call, SPOKEN) as heard:
            await bus.publish_final(1, final("u1", call=call))
            await bus.end_call(call)
            assert [c.utterance async for c in heard] == ["u1"]
        await bus.forget(call)
    await bus.acknowledge(u.entry for u in await bus.unwritten(10))
    kept = (bus._epochs, bus._feeds, bus._unwritten, bus._to_forget, bus._ended)
    assert not any(kept)
    assert not list(bus._captions)
