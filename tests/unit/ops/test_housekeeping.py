"""Housekeeping does its chores at their intervals, a little at a time, and believes no clock that jumped."""

from __future__ import annotations

import asyncio

import pytest

from a3mailer.config.tree import Reports, Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.errors import TryLater
from a3mailer.mail.ids import INBOX
from a3mailer.ops import housekeeping
from a3mailer.ops.housekeeping import (
    BITE,
    DAY,
    DOUBT_SECONDS,
    GRACE_SECONDS,
    START_SECONDS,
    TOMBSTONE_DAYS,
    Housekeeping,
)
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Result
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import World


class Store(MemoryStore):
    """Counts what it is asked; ``broken`` refuses."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.broken = False

    async def commit(self, transaction: Transaction) -> tuple[Result, ...]:
        self.asked += [type(operation).__name__ for operation in transaction.operations]
        if self.broken:
            raise TryLater
        return await super().commit(transaction)


class Compactor:
    """Counts."""

    def __init__(self) -> None:
        self.compacted = self.trained = 0

    async def compact(self, seconds: float, /) -> int:
        assert 0 < seconds < 10
        self.compacted += 1
        return 4096

    async def train_dictionaries(self) -> int:
        self.trained += 1
        return 0


class House(World):
    """A world with a housekeeper."""

    def __init__(self, days: int = 30) -> None:
        self.memory = Store(FakeClock())
        super().__init__(self.memory, self.memory._clock)  # type: ignore[arg-type]
        self.compactor = Compactor()
        self.settings = Settings(store=StoreSettings(vault_days=days))
        self.keeper = Housekeeping(
            self.memory, lambda: self.settings, self.clock, self.compactor, self.compactor
        )
        self.stopping = asyncio.Event()

    async def live(self, seconds: float, step: float = 600.0) -> None:
        """Time passes with a look at every step."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            await self.keeper.round(self.stopping)


@pytest.fixture
async def house() -> House:
    house = House()
    await house.settle_in()
    return house


async def test_the_vault_lets_go_after_its_days(house: House) -> None:
    await house.fill(house.alice, 2)
    await house.expunge(house.alice, 1)
    await house.live(29.9 * DAY)
    assert await house.in_vault(house.alice) == [(INBOX, 1)]
    await house.live(0.2 * DAY)
    assert await house.in_vault(house.alice) == []
    assert await house.uids(house.alice) == [2]


async def test_without_a_vault_open_views_have_their_grace() -> None:
    house = House(days=0)
    await house.settle_in()
    await house.live(2 * START_SECONDS)
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    await house.live(GRACE_SECONDS - 300, step=60)
    assert await house.in_vault(house.alice) == [(INBOX, 1)]
    await house.live(1200, step=60)
    assert await house.in_vault(house.alice) == []


async def test_days_may_change_while_it_runs(house: House) -> None:
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    await house.live(2 * DAY)
    house.settings = Settings(store=StoreSettings(vault_days=1))
    await house.live(1200)
    assert await house.in_vault(house.alice) == []


async def test_dictionaries_are_trained_as_often_as_the_setting_says(house: House) -> None:
    house.compactor.trained = 0
    house.settings = Settings(store=StoreSettings(dictionary_hours=6))
    await house.live(2 * DAY)
    assert house.compactor.trained == 8
    house.settings = Settings(store=StoreSettings(dictionary_hours=0))
    await house.live(10 * DAY)
    assert house.compactor.trained == 8
    house.settings = Settings()
    await house.live(600)
    assert house.compactor.trained == 9  # long due
    await house.live(2 * DAY)
    assert house.compactor.trained == 11


async def test_mailboxes_expire(house: House) -> None:
    trash = await house.named(house.alice, "Trash")
    await house.do(op.SetMailbox(house.alice, trash, expire_days=2))
    await house.append(house.alice, mailbox=trash)
    await house.live(1.9 * DAY)
    assert await house.uids(house.alice, trash) == [1]
    await house.live(0.3 * DAY)
    assert await house.uids(house.alice, trash) == []
    assert await house.in_vault(house.alice) == [(trash, 1)]


async def test_reports_go_by_age_and_number(house: House) -> None:
    house.settings = Settings(reports=Reports(days=10, most=2))
    for number in range(4):
        await house.do(op.PutReport("dmarc", "a.test", "b.test", f"{number}", 1, 2, "{}"))
    await house.live(2 * START_SECONDS)
    assert [row.identity for row in await house.store.reports()] == ["2", "3"]
    await house.live(9 * DAY)
    assert len(await house.store.reports()) == 2
    await house.live(2 * DAY)
    assert await house.store.reports() == ()


async def test_tombstones_are_bounded(house: House) -> None:
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    await house.live((TOMBSTONE_DAYS - 1) * DAY, step=DAY / 4)
    assert list((await house.changes(house.alice)).vanished) == [1]
    await house.live(2 * DAY)
    changes = await house.changes(house.alice)
    assert (list(changes.vanished), changes.complete) == ([], False)


async def test_a_lot_is_done_in_bites(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0.0)
    contents = (b"Subject: x\r\n\r\nx\r\n",)
    await house.do(*[op.Append(house.alice, INBOX, 0)] * (2 * BITE + 5), contents=contents)
    await house.expunge(house.alice, *range(1, 2 * BITE + 6))
    house.clock.advance(31 * DAY)
    house.memory.asked.clear()
    await house.keeper.round(house.stopping)
    assert house.memory.asked.count("PurgeVault") == 3
    assert await house.in_vault(house.alice) == []


async def test_every_chore_keeps_its_interval(house: House) -> None:
    await house.live(START_SECONDS)
    house.memory.asked.clear()
    house.compactor.compacted = house.compactor.trained = 0
    await house.live(DAY, step=60)
    asked = {name: house.memory.asked.count(name) for name in set(house.memory.asked)}
    hourly = {"ExpireMailboxes": 24, "Sweep": 24, "DropReports": 24}
    assert asked == {"PurgeVault": 144, **hourly, "DropTombstones": 4}
    assert (house.compactor.compacted, house.compactor.trained) == (288, 1)


async def test_nothing_is_forgotten_in_the_first_hour(house: House) -> None:
    """Who starts with a wrong clock is given time to be told the right one."""
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    house.clock.advance(40 * DAY)
    late = House()
    keeper = Housekeeping(house.memory, lambda: late.settings, house.clock)
    await keeper.round(house.stopping)
    house.clock.advance(START_SECONDS - 60)
    await keeper.round(house.stopping)
    assert await house.in_vault(house.alice) == [(INBOX, 1)]
    house.clock.advance(120)
    await keeper.round(house.stopping)
    assert await house.in_vault(house.alice) == []


@pytest.mark.parametrize("days", [400, -400])
async def test_a_clock_that_jumps_forgets_nothing(house: House, days: int) -> None:
    await house.live(DAY)
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    trash = await house.named(house.alice, "Trash")
    await house.do(op.SetMailbox(house.alice, trash, expire_days=7))
    await house.append(house.alice, mailbox=trash)
    for _ in range(5):
        house.clock.jump(days * DAY)
        await house.live(DOUBT_SECONDS * 0.9, step=600)
        house.clock.jump(-days * DAY)
        await house.live(DOUBT_SECONDS * 0.9, step=600)
    assert await house.in_vault(house.alice) == [(INBOX, 1)]
    assert await house.uids(house.alice, trash) == [1]
    assert house.compactor.compacted > 0, "what does not go by date goes on"
    await house.live(25 * DAY)
    assert await house.in_vault(house.alice) == [(trash, 1)], "and after it all is as usual"


async def test_a_store_that_cannot_now_is_asked_again(house: House) -> None:
    await house.append(house.alice)
    await house.expunge(house.alice, 1)
    await house.live(29 * DAY, step=DAY)
    house.memory.broken = True
    await house.live(2 * DAY)
    house.memory.broken = False
    assert await house.in_vault(house.alice) == [(INBOX, 1)]
    await house.live(1200)
    assert await house.in_vault(house.alice) == []


async def test_it_ends_when_told_to(house: House) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(house.keeper.run(house.stopping))
        await asyncio.sleep(0.01)
        house.stopping.set()
    house.clock.advance(DAY)
    house.memory.asked.clear()
    await house.keeper.round(house.stopping)
    assert house.memory.asked == []


async def test_a_store_without_files_has_no_compaction() -> None:
    house = House()
    keeper = Housekeeping(house.memory, lambda: house.settings, house.clock)
    assert [chore.name for chore in keeper.chores] == ["vault", "expiry", "sweep", "reports", "tombstones"]
