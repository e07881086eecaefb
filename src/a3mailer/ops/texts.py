"""Keeping the index of texts up to date: a few seconds behind deliveries, never in their way (ADR 0037).

| what | when |
|---|---|
| new mails of an account | GATHER_SECONDS after the first of them was heard of, all that came until then |
| every account | at the start, when hints were lost, when an index was taken away, and every RESCAN_SECONDS |
| mails that are gone | once a day an account |
| nothing | for FULL_SECONDS after the disk was full: mail comes first, searches read what is not indexed |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import MailError, StoreFull
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.rest import rest
from a3mailer.store.upkeep import TextKeeper
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit

LOOK_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 3.0
FULL_SECONDS: Final = 5.0
"""The disk was full: so long nothing is written."""
RESCAN_SECONDS: Final = 1800.0
SWEEP_SECONDS: Final = 3600.0
"""How often it is looked which accounts were not swept for DAY."""
DAY: Final = 86_400


class TextIndexing:
    """The work of one process. ``heard`` is for a store's ``watch``; ``round`` is one look."""

    def __init__(self, keeper: TextKeeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock
        self._waiting: dict[AccountId, float] = {}
        """Accounts with new mails, and when the first of them was heard of."""
        self._rescan_at = clock.monotonic()
        self._sweep_at = clock.monotonic() + SWEEP_SECONDS
        self._changed = -1
        self._full_until = clock.monotonic()

    def heard(self, change: Change) -> None:
        """Something happened in a mailbox."""
        if change == EVERYTHING:
            self._rescan_at = self._clock.monotonic()
        elif change.account != SYSTEM_ACCOUNT:
            self._waiting.setdefault(change.account, self._clock.monotonic())

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.round(stop.is_set)
            await rest(stop, LOOK_SECONDS)

    async def round(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Do what is due."""
        now = self._clock.monotonic()
        changed, self._changed = self._changed, self._keeper.changed()
        if now >= self._rescan_at or changed != self._changed:
            self._rescan_at = now + RESCAN_SECONDS
            for account in await self._keeper.behind():
                self._waiting.setdefault(account, now - GATHER_SECONDS)
        for account, since in sorted(self._waiting.items(), key=_age):
            if stopped():
                return
            if now < self._full_until:
                break
            self._tell(now)
            if since + GATHER_SECONDS <= now:
                del self._waiting[account]
                await self._index(account, since, stopped)
        self._tell(now)
        if now >= self._sweep_at and now >= self._full_until:
            self._sweep_at = now + SWEEP_SECONDS
            await self._sweep(stopped)

    async def _index(self, account: AccountId, since: float, stopped: Callable[[], bool]) -> None:
        try:
            while not stopped() and (count := await self._keeper.index(account)):
                metrics.count("a3_search_indexed_total", by=count)
                await asyncio.sleep(0)
        except StoreFull as error:
            self._put_off(account, error)
            self._waiting[account] = since  # the others have to wait as well
        except MailError as error:
            self._put_off(account, error)
            self._waiting.setdefault(account, self._clock.monotonic())

    def _put_off(self, account: AccountId, error: MailError) -> None:
        emit("search.index.put_off", level="warning", account=account, error=repr(error))
        if isinstance(error, StoreFull):
            self._full_until = self._clock.monotonic() + FULL_SECONDS

    def _tell(self, now: float) -> None:
        """How far behind the index is."""
        oldest = min(self._waiting.values(), default=now)
        metrics.SHARED.state("a3_search_accounts_waiting", "", len(self._waiting))
        metrics.SHARED.state("a3_search_lag_seconds", "", max(0.0, now - oldest))

    async def _sweep(self, stopped: Callable[[], bool]) -> None:
        for account in self._keeper.unswept(int(self._clock.now()) - DAY):
            if stopped() or self._clock.monotonic() < self._full_until:
                return
            try:
                count = await self._keeper.sweep(account)
            except MailError as error:
                self._put_off(account, error)
                continue
            if count:
                emit("search.index.swept", account=account, count=count)
            await asyncio.sleep(0)


def _age(waiting: tuple[AccountId, float]) -> float:
    return waiting[1]
