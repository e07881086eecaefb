"""Searches of ten thousand keys under the index (row 34): right, in the budget, never long at a time."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.access import texts as reading
from a3mailer.access.labour import SLICE_SECONDS, Labour
from a3mailer.access.search import Search
from a3mailer.access.watch import Views
from a3mailer.config.tree import Imap, Settings
from a3mailer.mail.criteria import Contains, Operator, Place, Program
from a3mailer.mail.errors import TooCostly
from a3mailer.mail.ids import INBOX
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.texts import volume
from a3mailer.store.texts import Sought
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import World, mail
from tests.unit.store.test_texts import bring_up_to_date

KEYS = 10_000
MAILS = 60
LETTERS = "abcdefgh"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock()
    store = await SqliteStore.open(tmp_path, Settings(), None, clock=clock)
    world = World(store, clock)
    await world.settle_in()
    yield world
    await store.close()


def words() -> random.Random:
    seed = int(os.environ.get("A3_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    return random.Random(seed)


def many(draw: random.Random) -> tuple[Program, list[str]]:
    """NOT (a OR b OR NOT c OR ...) and the like, of KEYS texts, nearly all of them different."""
    sought = ["".join(draw.choices(LETTERS, k=6)) for _ in range(KEYS)]
    program: list[Contains | Operator] = [Contains(Place.TEXT, sought[0])]
    for text in sought[1:]:
        program += (Contains(Place.BODY, text), Operator.OR)
    return (*program, Operator.NOT), sought


@pytest.mark.parametrize("filtered", [2, 1000])
@pytest.mark.parametrize("indexed", [True, False])
async def test_ten_thousand_texts_are_looked_for_within_the_budget(
    world: World, monkeypatch: pytest.MonkeyPatch, indexed: bool, filtered: int
) -> None:
    store = world.store
    assert isinstance(store, SqliteStore)
    monkeypatch.setattr(volume, "FILTERED", filtered)
    draw = words()
    program, sought = many(draw)
    having = set(draw.sample(range(MAILS), MAILS // 2))
    for number in range(MAILS):
        word = draw.choice(sought[1:]) if number in having else "nothing"
        await world.append(world.alice, mail("a subject", f"some {word} here"))
    if indexed:
        await bring_up_to_date(store, world.alice)
    view = await Views(store, store).open(world.alice, INBOX)
    await view.mailbox.load()
    labour = Labour(SystemClock(), Imap().command_cpu_seconds)
    found = await Search(store, view, program, labour).places()
    view.close()
    print("seconds", labour.spent)
    assert set(found) == set(range(MAILS)) - having


class StepClock(FakeClock):
    """On which each look ends a slice, and each slice costs a second; ``work`` was done between two."""

    def __init__(self) -> None:
        super().__init__()
        self.work = self.most = 0

    def monotonic(self) -> float:
        self.advance(SLICE_SECONDS)
        self.most, self.work = max(self.most, self.work), 0
        return super().monotonic()

    def cpu(self) -> float:
        self.advance(0.5)
        return super().cpu()


@pytest.mark.parametrize("indexed", [True, False])
async def test_no_step_of_it_is_long_and_its_budget_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    store = world.store
    assert isinstance(store, SqliteStore)
    monkeypatch.setattr(volume, "FILTERED", 2)
    program, sought = many(words())
    for _ in range(12):
        await world.append(world.alice, mail("a subject", f"some {sought[1]} here"))
    if indexed:
        await bring_up_to_date(store, world.alice)
    clock = StepClock()
    plain_candidates, plain_has, plain_is = volume.Volume.candidates, volume._has, Sought.is_in

    def candidates(one: volume.Volume, text: Sought, pages: dict[int, bytes]) -> int:
        clock.work += reading.LOOKED
        return plain_candidates(one, text, pages)

    def has(*args: object) -> bool:
        clock.work += 1
        return plain_has(*args)  # type: ignore[arg-type]

    def is_in(text: Sought, *args: object) -> bool:
        clock.work += 1
        return plain_is(text, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(volume.Volume, "candidates", candidates)
    monkeypatch.setattr(volume, "_has", has)
    monkeypatch.setattr(Sought, "is_in", is_in)
    view = await Views(store, store).open(world.alice, INBOX)
    await view.mailbox.load()
    labour = Labour(clock, 1e9)
    await Search(store, view, program, labour).places()
    assert 0 < clock.most <= volume.LOOKED + KEYS
    with pytest.raises(TooCostly):
        await Search(store, view, program, Labour(clock, 20.0)).places()
    view.close()
