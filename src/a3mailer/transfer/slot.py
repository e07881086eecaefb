"""One of ``queue.concurrency`` places: who hangs keeps nobody from it for long."""

from __future__ import annotations

import asyncio
from typing import Final

SLOW_SECONDS: Final = 10.0
"""A mail that takes longer leaves its place among ``queue.concurrency`` to another."""


class Slot:
    """Held while it is entered, for SLOW_SECONDS at most."""

    __slots__ = ("_held", "_slots", "_timer")

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._held = False

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._leave)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._leave()

    def _leave(self) -> None:
        if self._held:
            self._held = False
            self._slots.release()
