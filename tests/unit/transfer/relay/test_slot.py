"""Places of ``queue.concurrency``: given back when a mail is done or has taken too long, and once."""

import asyncio

import pytest

from a3mailer.transfer.relay import slot as slot_module
from a3mailer.transfer.relay.slot import Slot, Slots


async def hold(slots: Slots, entered: list[str], name: str, end: asyncio.Event) -> None:
    async with Slot(slots):
        entered.append(name)
        await end.wait()


async def test_who_is_done_makes_place() -> None:
    slots, entered, end = Slots(1), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for name in ("one", "two"):
            tasks.create_task(hold(slots, entered, name, end))
        await asyncio.sleep(0)
        assert entered == ["one"]
        end.set()
    assert entered == ["one", "two"]
    async with Slot(slots):
        pass


async def test_who_hangs_makes_place_and_gives_nothing_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "SLOW_SECONDS", 0.01)
    slots, entered, end = Slots(1), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for name in ("one", "two", "three"):
            tasks.create_task(hold(slots, entered, name, end))
        while len(entered) < 3:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(slot_module, "SLOW_SECONDS", 60.0)
        while slots._held:
            await asyncio.sleep(0.001)
        end.set()
    late: list[str] = []
    end.clear()
    async with asyncio.TaskGroup() as tasks:
        for name in ("four", "five"):
            tasks.create_task(hold(slots, late, name, end))
        await asyncio.sleep(0.001)
        assert late == ["four"], "one place is one place"
        end.set()
    assert late == ["four", "five"]


async def test_a_mail_whose_wait_is_cancelled_takes_no_place() -> None:
    slots, entered, end = Slots(1), [], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold(slots, entered, "one", end))
        waiting = tasks.create_task(hold(slots, entered, "two", end))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        end.set()
    async with Slot(slots):
        assert entered == ["one"]
