"""Long work gives way, is counted by the processor's time, told of now and then, and ends at its budget."""

import asyncio

import pytest

from a3mailer.access.labour import SLICE_SECONDS, TOLD_SECONDS, Labour
from a3mailer.mail.errors import TooCostly


class Clocks:
    """Three hands that are moved one by one."""

    def __init__(self) -> None:
        self.passed = self.used = 0.0

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return self.passed

    def cpu(self) -> float:
        return self.used

    def work(self, seconds: float) -> None:
        self.passed += seconds
        self.used += seconds


async def test_others_get_their_turn_when_a_slice_is_over() -> None:
    clock = Clocks()
    labour = Labour(clock)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        for _ in range(10):
            await labour.step()
        assert turns == 0
        for _ in range(10):
            clock.work(SLICE_SECONDS)
            assert labour.over
            await labour.step()
        assert turns == 10
        task.cancel()


async def test_the_budget_counts_what_this_work_used_and_nothing_else() -> None:
    clock = Clocks()
    labour = Labour(clock, budget=1.0)
    clock.work(0.6)
    await labour.rest()
    clock.passed += 1000.0  # waiting
    await labour.rest()
    assert labour.spent == pytest.approx(0.6)
    clock.work(0.6)
    with pytest.raises(TooCostly):
        await labour.rest()


async def test_without_a_budget_work_never_ends() -> None:
    clock = Clocks()
    labour = Labour(clock)
    for _ in range(10):
        clock.work(1000.0)
        await labour.rest()


async def test_others_work_is_not_counted() -> None:
    clock = Clocks()
    labour = Labour(clock, budget=1.0)

    async def other() -> None:
        clock.work(5.0)

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        clock.work(0.1)
        await labour.rest()
    await labour.rest()
    assert labour.spent == pytest.approx(0.1)


async def test_progress_is_told_now_and_then() -> None:
    clock = Clocks()
    told: list[tuple[int, int]] = []
    labour = Labour(clock, 1e9, lambda done, goal: told.append((done, goal)), goal=100)
    for _ in range(100):
        clock.work(TOLD_SECONDS / 4)
        await labour.step()
    assert told[0] == (4, 100)
    assert len(told) == 25
    assert told == sorted(told)


async def test_work_on_a_thread_counts() -> None:
    clock = Clocks()
    labour = Labour(clock, budget=1.0)
    assert await labour.apart(lambda: clock.work(0.6)) is None
    assert labour.spent == pytest.approx(0.6)
    with pytest.raises(ZeroDivisionError):
        await labour.apart(lambda: clock.work(0.6 / 0))
    await labour.apart(lambda: clock.work(0.6))
    with pytest.raises(TooCostly):
        await labour.apart(lambda: clock.work(0.1))
