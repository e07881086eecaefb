"""Work that goes on until it is told to stop, and the pause between two of its looks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress


async def until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Let work that has no end of its own go on until ``stop`` is set; it is cancelled where it waits."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        await stop.wait()
        task.cancel()


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until ``stop`` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
