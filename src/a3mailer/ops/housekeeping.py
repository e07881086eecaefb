"""What the house forgets by itself: the vault's mail, what mailboxes let expire, receipts, old reservations.

Done in small bites, so that the writer is never held up, and never in a hurry: a wall clock that leapt is
not believed before a day has passed (attack row 69), because what is forgotten does not come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import ExpireMailboxes, Operation, Purged, PurgeVault, Sweep
from a3mailer.store.ports import Transaction, Writer
from a3mailer.telemetry.events import emit

DAY: Final = 86_400
FIRST_SECONDS: Final = 60.0
"""After the start, which has better things to do."""
ROUND_SECONDS: Final = 3600.0
BITE: Final = 200
"""Rows one transaction forgets."""
PAUSE_SECONDS: Final = 0.05
"""Between two bites: others' commits go first."""
LEAP_SECONDS: Final = 3600.0
"""A wall clock this far from where the other clock puts it has been set."""
DOUBT_SECONDS: Final = float(DAY)
"""How long a clock that was set is doubted."""


class Housekeeping:
    """One of these runs in an instance, in its first worker."""

    __slots__ = ("_believed", "_clock", "_doubted_until", "_settings", "_writer")

    def __init__(self, writer: Writer, settings: Callable[[], Settings], clock: Clock) -> None:
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._believed = clock.now() - clock.monotonic()
        self._doubted_until = clock.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until ``stop``."""
        seconds = FIRST_SECONDS
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
            if not stop.is_set():
                await self.tidy(stop)
            seconds = ROUND_SECONDS

    async def tidy(self, stop: asyncio.Event) -> int:
        """One round: how many rows were forgotten. A store that takes nothing now ends it, until the next."""
        if self._is_doubtful():
            return 0
        now = int(self._clock.now())
        before = now - self._settings().store.vault_days * DAY
        forgotten = 0
        works = (ExpireMailboxes(now, BITE), PurgeVault(before, BITE), Sweep(now, BITE))
        try:
            for work in works:
                forgotten += await self._all_of(work, stop)
        except MailError as error:
            emit("ops.housekeeping.put_off", level="warning", error=str(error) or type(error).__name__)
        if forgotten:
            emit("ops.housekeeping.done", forgotten=forgotten)
        return forgotten

    async def _all_of(self, work: Operation, stop: asyncio.Event) -> int:
        forgotten = 0
        while not stop.is_set():
            (result,) = await self._writer.commit(Transaction((work,)))
            assert isinstance(result, Purged)
            forgotten += result.count
            if result.count < BITE:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return forgotten

    def _is_doubtful(self) -> bool:
        monotonic = self._clock.monotonic()
        difference = self._clock.now() - monotonic
        if abs(difference - self._believed) > LEAP_SECONDS:
            self._doubted_until = monotonic + DOUBT_SECONDS
            emit("ops.clock.leapt", level="warning", seconds=round(difference - self._believed))
        self._believed = difference
        return monotonic < self._doubted_until
