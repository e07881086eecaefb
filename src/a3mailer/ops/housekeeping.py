"""Housekeeping: what has outlived its use goes, a little at a time, in one worker of an instance.

| chore | every | what |
|---|---|---|
| vault | 10 min | contents expunged longer ago than ``store.vault_days``, never sooner than GRACE_SECONDS |
| expiry | 1 h | messages of mailboxes with an expiry, into the vault |
| sweep | 1 h | receipts, delivery keys, reserved addresses and tokens whose time is over |
| tombstones | 6 h | that messages were expunged, after TOMBSTONE_DAYS and when the vault let them go |
| reports | 1 h | reports of others after ``reports.days``, and the oldest above ``reports.most`` |
| compaction | 5 min | disk space of contents that are gone, for at most COMPACT_SECONDS |
| dictionaries | ``store.dictionary_hours`` | of compression, where a tenant has enough mail or erased some |

What forgets by date waits: an hour after the start, which may have come with a wrong clock, and a day after a
wall clock that leapt (attack row 69), because what is forgotten does not come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.rest import rest
from a3mailer.store.operations import (
    DropReports,
    DropTombstones,
    ExpireMailboxes,
    Operation,
    Purged,
    PurgeVault,
    Sweep,
)
from a3mailer.store.ports import Transaction, Writer
from a3mailer.store.upkeep import Compactor, Trainer
from a3mailer.telemetry.events import emit

DAY: Final = 86_400
LOOK_SECONDS: Final = 20.0
"""How often it is looked whether a chore is due."""
BITE: Final = 100
"""Rows of one transaction: the writer is held up for some milliseconds."""
FIRST_SHARE: Final = 0.9
"""Of a chore's time that counts as passed at the start."""
PAUSE_SECONDS: Final = 0.05
"""Between two bites, so that deliveries come first."""
GRACE_SECONDS: Final = 900
"""Contents stay this long after an expunge even without a vault: open views may still show them."""
TOMBSTONE_DAYS: Final = 90
"""A client that was away for longer takes its mailboxes anew."""
COMPACT_SECONDS: Final = 2.0
START_SECONDS: Final = 3600.0
"""A clock that was wrong when the machine started is right by then."""
LEAP_SECONDS: Final = 3600.0
"""A wall clock this far from where the other clock puts it has been set."""
DOUBT_SECONDS: Final = float(DAY)
"""How long a clock that was set is doubted."""


@dataclass(frozen=True, slots=True)
class Chore:
    """``seconds`` gives how often, 0 for never; ``run`` how much it did; ``dated``: it forgets by date."""

    name: str
    seconds: Callable[[], float]
    run: Callable[[], Awaitable[int]]
    dated: bool = True


def _every(seconds: float) -> Callable[[], float]:
    return lambda: seconds


class Housekeeping:
    """``run`` is the work of an instance's first worker; ``round`` is one look, for tests and commands."""

    def __init__(
        self,
        writer: Writer,
        settings: Callable[[], Settings],
        clock: Clock,
        compactor: Compactor | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        """``compactor`` None: contents are in no files; ``trainer`` None: no dictionaries are used."""
        self._writer = writer
        self._settings = settings
        self._clock = clock
        begin = clock.monotonic()
        self._believed = clock.now() - begin
        self._doubted_until = begin + START_SECONDS
        chores = [
            Chore("vault", _every(600.0), self._vault),
            Chore("expiry", _every(3600.0), self._expiry),
            Chore("sweep", _every(3600.0), self._sweep),
            Chore("reports", _every(3600.0), self._reports),
            Chore("tombstones", _every(6 * 3600.0), self._tombstones),
        ]
        if compactor is not None:
            compact = partial(compactor.compact, COMPACT_SECONDS)
            chores.append(Chore("compaction", _every(300.0), compact, dated=False))
        if trainer is not None:
            chores.append(
                Chore("dictionaries", self._training_seconds, trainer.train_dictionaries, dated=False)
            )
        self.chores: Final = tuple(chores)
        self._last = {chore.name: begin - FIRST_SHARE * chore.seconds() for chore in chores}
        """When each was done; at first as if most of its time had passed."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            await self.round(stop)
            await rest(stop, LOOK_SECONDS)

    async def round(self, stop: asyncio.Event) -> None:
        """Do what is due. A chore that cannot be done now is done at its next time."""
        doubtful = self._is_doubtful()
        for chore in self.chores:
            seconds, now = chore.seconds(), self._clock.monotonic()
            if stop.is_set() or not seconds or now < self._last[chore.name] + seconds:
                continue
            if chore.dated and doubtful:
                continue
            self._last[chore.name] = now
            try:
                done = await chore.run()
            except MailError as error:
                emit("ops.housekeeping.put_off", level="warning", chore=chore.name, error=repr(error))
                continue
            if done:
                emit("ops.housekeeping.done", chore=chore.name, count=done)

    def _is_doubtful(self) -> bool:
        """Whether the wall clock is too young or was set too lately to be believed."""
        monotonic = self._clock.monotonic()
        difference = self._clock.now() - monotonic
        if abs(difference - self._believed) > LEAP_SECONDS:
            self._doubted_until = monotonic + DOUBT_SECONDS
            emit("ops.clock.leapt", level="warning", seconds=round(difference - self._believed))
        self._believed = difference
        return monotonic < self._doubted_until

    def _training_seconds(self) -> float:
        return self._settings().store.dictionary_hours * 3600.0

    # --- chores ------------------------------------------------------------------------------------

    async def _vault(self) -> int:
        kept = max(self._settings().store.vault_days * DAY, GRACE_SECONDS)
        return await self._in_bites(lambda now: PurgeVault(now - kept, BITE))

    async def _expiry(self) -> int:
        return await self._in_bites(lambda now: ExpireMailboxes(now, BITE))

    async def _sweep(self) -> int:
        return await self._in_bites(lambda now: Sweep(now, BITE))

    async def _reports(self) -> int:
        kept = self._settings().reports
        return await self._in_bites(lambda now: DropReports(now - kept.days * DAY, kept.most, BITE))

    async def _tombstones(self) -> int:
        days = max(TOMBSTONE_DAYS, self._settings().store.vault_days)
        return await self._in_bites(lambda now: DropTombstones(now - days * DAY, BITE))

    async def _in_bites(self, operation: Callable[[int], Operation]) -> int:
        """Repeat until a bite is not full; how much all of them did."""
        total = 0
        now = int(self._clock.now())
        while True:
            (result,) = await self._writer.commit(Transaction((operation(now),)))
            assert isinstance(result, Purged)
            total += result.count
            if result.count < BITE:
                return total
            await asyncio.sleep(PAUSE_SECONDS)
