"""A pause ends when its time is over, and at once when the work is to stop."""

import asyncio

from a3mailer.runtime.rest import rest


async def test_a_pause_ends_by_itself() -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        await rest(stop, 0.001)
    assert not stop.is_set()


async def test_a_stop_ends_it() -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(rest(stop, 1e6))
        await asyncio.sleep(0)
        stop.set()
