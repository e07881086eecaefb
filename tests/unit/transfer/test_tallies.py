"""Counts gathered in a worker: written in bulk, kept while the store is in trouble, bounded."""

import asyncio

import pytest

from a3mailer.mail.errors import TryLater
from a3mailer.store.operations import AddTallies, Tally
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer import tallies as module
from a3mailer.transfer.tallies import DAY, Tallies
from tests.unit.transfer.store import WatchedStore


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = WatchedStore(self.clock)
        self.tallies = Tallies(self.store, self.clock)

    @property
    def today(self) -> int:
        return int(self.clock.now()) // DAY * DAY


@pytest.fixture
def world() -> World:
    return World()


async def test_counts_become_rows_once(world: World) -> None:
    for _ in range(5):
        world.tallies.add("tls", "b.test", "one")
    world.tallies.add("tls", "b.test", "two", 7)
    world.tallies.add("dmarc", "b.test", "one")
    await world.tallies.flush()
    await world.tallies.flush()
    assert len(world.store.transactions) == 2, "one a kind"
    assert await world.store.tallies("tls", world.today, "b.test") == (
        Tally(world.today, "b.test", "one", 5),
        Tally(world.today, "b.test", "two", 7),
    )
    assert await world.store.tallies("dmarc", world.today, "b.test") == (
        Tally(world.today, "b.test", "one", 1),
    )


async def test_a_count_belongs_to_its_day_in_utc(world: World) -> None:
    first = world.today
    world.tallies.add("tls", "b.test", "one")
    world.clock.advance(DAY)
    world.tallies.add("tls", "b.test", "one")
    await world.tallies.flush()
    assert await world.store.tallied("tls", first + 2 * DAY) == ((first, "b.test"), (first + DAY, "b.test"))


async def test_what_cannot_be_written_is_written_later(world: World) -> None:
    world.tallies.add("tls", "b.test", "one")
    world.store.fail.append(TryLater("busy"))
    await world.tallies.flush()
    assert world.store.transactions == []
    world.tallies.add("tls", "b.test", "one")
    await world.tallies.flush()
    assert await world.store.tallies("tls", world.today, "b.test") == (
        Tally(world.today, "b.test", "one", 2),
    )


async def test_a_write_holds_the_writer_up_for_a_bite_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BITE", 10)
    for number in range(25):
        world.tallies.add("tls", f"{number}.test", "one")
    await world.tallies.flush()
    sizes = [
        len(o.tallies) for t in world.store.transactions for o in t.operations if isinstance(o, AddTallies)
    ]
    assert sizes == [10, 10, 5]


async def test_memory_is_bounded_and_what_is_known_counts_on(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(10):
        world.tallies.add("tls", f"{number}.test", "one")
    world.tallies.add("tls", "0.test", "one")
    await world.tallies.flush()
    assert [count for _, domain in await world.store.tallied("tls", world.today + 1)
            for (_, _, _, count) in [(t.period, t.domain, t.key, t.count)
                                     for t in await world.store.tallies("tls", world.today, domain)]
            ] == [2, 1, 1]  # fmt: skip
    assert '"event":"tallies.left_out"' in capfd.readouterr().err


async def test_the_last_counts_are_written_at_the_stop(world: World) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.tallies.run(stop))
        await asyncio.sleep(0)
        world.tallies.add("tls", "b.test", "one")
        stop.set()
    assert len(await world.store.tallies("tls", world.today, "b.test")) == 1
