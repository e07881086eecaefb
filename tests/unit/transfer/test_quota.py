"""Mailboxes that fill up: one warning, again only after they were emptied; 4yz for a week, and then 5yz."""

import asyncio
import random

import pytest

from a3mailer.config.tree import Limits, Queue, Server, Settings
from a3mailer.edge.smtp.replies import reply_to
from a3mailer.mail.errors import FullForLong, OverQuota, TryLater
from a3mailer.transfer.deliver import status_of
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.quota import HOUR, KIND, NAME, Quotas
from tests.unit.transfer.policy.test_policy import routes
from tests.unit.transfer.world import SETTINGS, World, address

ALICE = address("alice@a.test")


class Filling(World):
    """alice has a quota of 1000 octets, and a policy that knows what to do about it."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.quotas = Quotas(self.store, settings, self.clock)
        self.policy = Policy(self.store, self.directory, settings, self.forwarding, quotas=self.quotas)

    def used(self, octets: int) -> None:
        """So much of it."""
        self.store.change(self.alice.id, quota=1000, used_octets=octets)

    async def hours(self, number: int) -> None:
        """The server is up."""
        for _ in range(number):
            self.clock.advance(HOUR)
            await self.quotas.look()

    async def taken(self) -> bool:
        """One RCPT; what comes in counts as nothing."""
        used = (await self.account()).used_octets
        try:
            await routes(self, ALICE)
        except OverQuota:
            return False
        finally:
            self.used(used)
        return True

    async def account(self):  # type: ignore[no-untyped-def]
        return await self.store.account(self.alice.id)

    @property
    def warnings(self) -> list[bytes]:
        return [mail for mail in self.store.inbox(self.alice.id) if b"Auto-Submitted" in mail]


async def test_the_owner_is_warned_once_and_again_after_the_mailbox_was_emptied() -> None:
    world = Filling()
    world.used(899)
    assert await world.taken() and not world.warnings
    world.used(900)
    for _ in range(3):
        assert await world.taken()
    assert len(world.warnings) == 1
    world.used(850)  # not yet empty enough
    await world.hours(3)
    world.used(950)
    assert await world.taken() and len(world.warnings) == 1
    world.used(799)
    await world.hours(1)
    assert await world.store.document(world.alice.id, KIND, NAME) is None
    world.used(950)
    assert await world.taken() and len(world.warnings) == 2


async def test_senders_wait_for_a_week_of_hours_and_are_refused_then() -> None:
    world = Filling()
    world.used(1000)
    with pytest.raises(OverQuota) as refusal:
        await routes(world, ALICE)
    assert reply_to(refusal.value).code == 452
    await world.hours(7 * 24 - 1)
    with pytest.raises(OverQuota) as refusal:
        await routes(world, ALICE)
    assert refusal.value.transient
    await world.hours(1)
    with pytest.raises(FullForLong) as refusal:
        await routes(world, ALICE)
    assert (reply_to(refusal.value).code, reply_to(refusal.value).enhanced) == (552, "5.2.2")
    assert status_of(refusal.value)[0] == "5.2.2"
    world.used(999)
    assert await world.taken()
    await world.hours(1)
    world.used(1000)
    with pytest.raises(OverQuota) as refusal:  # that week is over
        await routes(world, ALICE)
    assert refusal.value.transient


async def test_row_69_a_clock_that_leaps_refuses_nothing() -> None:
    world = Filling()
    world.used(1000)
    assert not await world.taken()
    world.clock.jump(400 * 24 * HOUR)
    await world.quotas.look()
    with pytest.raises(OverQuota) as refusal:
        await routes(world, ALICE)
    assert refusal.value.transient


async def test_never_for_good_where_that_is_wanted() -> None:
    world = Filling(Settings(server=SETTINGS.server, limits=Limits(full_days=0)))
    world.used(1000)
    assert not await world.taken()
    await world.hours(10 * 24)
    with pytest.raises(OverQuota) as refusal:
        await routes(world, ALICE)
    assert refusal.value.transient


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_warning_is_a_mail_that_says_how_much(language: str) -> None:
    server = Server(hostname="mail.a.test", domain="a.test")
    world = Filling(Settings(server=server, queue=Queue(language=language)))
    world.store.change(world.alice.id, quota=100 << 20, used_octets=95 << 20)
    await routes(world, ALICE)
    (mail,) = world.warnings
    head, _, text = mail.partition(b"\r\n\r\n")
    assert head.isascii() and b"alice@a.test" in text and b"95" in text and b"100" in text
    assert (b"nearly full" in head) == (language == "en")


async def test_workers_that_find_it_at_once_warn_once_and_a_store_in_trouble_keeps_no_mail_out() -> None:
    world = Filling()
    world.used(950)
    account = await world.account()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(world.quotas.check(account))
    assert len(world.warnings) == 1
    other = Filling()
    other.used(950)
    other.store.fail.append(TryLater("busy"))
    assert await other.taken() and not other.warnings


async def test_the_work_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    await Filling().quotas.run(stop)


async def test_many_are_looked_at_in_pages(rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a3mailer.transfer.quota.PAGE", 2)
    world = Filling()
    people = [world.store.put_account(f"p{number}@a.test") for number in range(5)]
    for person in people:
        world.store.change(person.id, quota=1000, used_octets=950)
        await routes(world, address(person.address))
    for person in people:
        world.store.change(person.id, used_octets=rng.choice((0, 100, 799)))
    await world.hours(1)
    assert [await world.store.document(person.id, KIND, NAME) for person in people] == [None] * 5
