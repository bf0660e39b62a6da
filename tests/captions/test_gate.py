"""Who is let in next."""

from __future__ import annotations

import asyncio

from captions.gate import Gate


async def settled() -> None:
    """Everybody has gone as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def enter(gate: Gate, name: str, entered: list[str], leave: asyncio.Event) -> None:
    async with gate.place(urgent=name.startswith("urgent")):
        entered.append(name)
        await leave.wait()


async def test_who_is_urgent_goes_before_who_came_earlier():
    gate, entered, leave = Gate(1), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for name in ("first", "second", "third", "urgent", "urgent too"):
            tasks.create_task(enter(gate, name, entered, leave))
            await settled()
        assert entered == ["first"]
        leave.set()
    assert entered == ["first", "urgent", "urgent too", "second", "third"]


async def test_as_many_are_in_as_there_are_places():
    gate, entered, leave = Gate(2), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for name in ("first", "second", "third"):
            tasks.create_task(enter(gate, name, entered, leave))
        await settled()
        assert entered == ["first", "second"]
        leave.set()


async def test_who_gives_up_waiting_takes_nobodys_place():
    gate, entered, leave = Gate(1), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(enter(gate, "first", entered, leave))
        await settled()
        impatient = tasks.create_task(enter(gate, "second", entered, leave))
        tasks.create_task(enter(gate, "third", entered, leave))
        await settled()
        impatient.cancel()
        await settled()
        leave.set()
    assert entered == ["first", "third"]


async def test_a_place_that_was_just_given_to_who_gave_up_is_passed_on():
    gate, entered = Gate(1), []
    leave, done = asyncio.Event(), asyncio.Event()
    done.set()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(enter(gate, "first", entered, leave))
        await settled()
        impatient = tasks.create_task(enter(gate, "second", entered, done))
        await settled()
        leave.set()
        await asyncio.sleep(0)  # the first leaves: its place is the second's, who does not know
        impatient.cancel()
        await settled()
        tasks.create_task(enter(gate, "third", entered, done))
        await settled()
    assert entered[-1] == "third"
