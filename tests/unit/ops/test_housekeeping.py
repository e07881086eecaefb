"""What is forgotten, when, in which bites; and a clock that was set makes nobody forget (attack row 69)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from a3mailer.config.tree import Settings, Store
from a3mailer.mail.errors import TryLater
from a3mailer.ops import housekeeping
from a3mailer.ops.housekeeping import BITE, DAY, DOUBT_SECONDS, Housekeeping
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import World, mail


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    store = MemoryStore(clock)
    world = World(store, clock)
    await world.settle_in()
    yield world
    await store.close()


def keeper(world: World, vault_days: int = 30) -> Housekeeping:
    settings = Settings(store=Store(vault_days=vault_days))
    return Housekeeping(world.store, lambda: settings, world.clock)


async def test_the_vault_keeps_as_long_as_the_setting_says(world: World) -> None:
    house, go = keeper(world), asyncio.Event()
    await world.fill(world.alice, 2)
    await world.expunge(world.alice, 1)
    world.clock.advance(29 * DAY)
    await world.expunge(world.alice, 2)
    assert await house.tidy(go) == 0
    world.clock.advance(DAY + 1)
    assert await house.tidy(go) == 1
    assert [uid for _, uid in await world.in_vault(world.alice)] == [2]


async def test_without_a_vault_the_next_round_forgets(world: World) -> None:
    house = keeper(world, vault_days=0)
    await world.append(world.alice)
    await world.expunge(world.alice, 1)
    world.clock.advance(1)
    assert await house.tidy(asyncio.Event()) == 1
    assert await world.in_vault(world.alice) == []


async def test_a_mailbox_that_expires_is_emptied_into_the_vault(world: World) -> None:
    house, trash = keeper(world), await world.named(world.alice, "Trash")
    await world.do(op.SetMailbox(world.alice, trash, expire_days=7))
    await world.append(world.alice, mail(), trash)
    world.clock.advance(7 * DAY + 1)
    assert await house.tidy(asyncio.Event()) == 1
    assert await world.uids(world.alice, trash) == []
    assert await world.in_vault(world.alice) == [(trash, 1)]


async def test_more_than_a_bite_is_forgotten_in_one_round(world: World) -> None:
    house = keeper(world, vault_days=0)
    await world.fill(world.alice, BITE + 1)
    await world.expunge(world.alice, *range(1, BITE + 2))
    world.clock.advance(1)
    assert await house.tidy(asyncio.Event()) == BITE + 1


async def test_a_clock_that_leapt_is_doubted_for_a_day(world: World) -> None:
    house, go = keeper(world), asyncio.Event()
    await world.append(world.alice)
    await world.expunge(world.alice, 1)
    world.clock.jump(400 * DAY)
    assert await house.tidy(go) == 0
    world.clock.advance(DOUBT_SECONDS / 2)
    assert await house.tidy(go) == 0
    world.clock.jump(-400 * DAY)
    assert await house.tidy(go) == 0
    assert [uid for _, uid in await world.in_vault(world.alice)] == [1], "nothing was lost by the mistake"
    world.clock.advance(31 * DAY)
    assert await house.tidy(go) == 1


async def test_a_store_that_takes_nothing_puts_it_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    house = keeper(world, vault_days=0)
    await world.append(world.alice)
    await world.expunge(world.alice, 1)
    world.clock.advance(1)

    async def refuse(_: object) -> None:
        raise TryLater

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "commit", refuse)
        assert await house.tidy(asyncio.Event()) == 0
    assert await house.tidy(asyncio.Event()) == 1


async def test_it_ends_when_it_is_told_to(world: World) -> None:
    stop = asyncio.Event()
    stop.set()
    await keeper(world).run(stop)
