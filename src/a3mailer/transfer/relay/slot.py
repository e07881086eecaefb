"""``queue.concurrency`` places: who hangs keeps nobody from one for long."""

from __future__ import annotations

import asyncio
from typing import Final

SLOW_SECONDS: Final = 10.0
"""A mail that takes longer leaves its place among ``queue.concurrency`` to another."""


class Slots:
    """So many places, each held for SLOW_SECONDS at most. One timer: they end as they began."""

    __slots__ = ("_free", "_held", "_timer")

    def __init__(self, places: int) -> None:
        self._free = asyncio.Semaphore(places)
        self._held: dict[Slot, float] = {}
        """... and when each has been held for too long."""
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, slot: Slot) -> None:
        """Wait for a place."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        self._held[slot] = loop.time() + SLOW_SECONDS
        if self._timer is None:
            self._timer = loop.call_later(SLOW_SECONDS, self._look)

    def leave(self, slot: Slot) -> None:
        """Let go of it, if it is still held."""
        if self._held.pop(slot, None) is not None:
            self._free.release()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now, self._timer = loop.time(), None
        while self._held:
            slot, until = next(iter(self._held.items()))
            if until > now:
                self._timer = loop.call_at(until, self._look)
                break
            self.leave(slot)


class Slot:
    """One place, while it is entered."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        await self._slots.take(self)

    async def __aexit__(self, *_: object) -> None:
        self._slots.leave(self)
