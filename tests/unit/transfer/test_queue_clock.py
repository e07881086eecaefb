"""The queue under a clock that jumps (attack row 69), and under an operator's hand."""

import asyncio
import dataclasses
from typing import Any

import pytest

from a3mailer.mail.errors import BadName
from a3mailer.store import operations as op
from a3mailer.store.operations import QueueRecipient
from a3mailer.store.ports import Transaction
from a3mailer.transfer.bounce import Voice
from a3mailer.transfer.queue.attempt import LEASE_SECONDS
from a3mailer.transfer.queue.queue import acting, change, entries, fail, giving_up
from a3mailer.wire.dsn.report import Action
from tests.unit.transfer.office import Office

DAY = 86400


# --- row 69: the clock ---------------------------------------------------------------------------------


async def waiting_mail(office: Office, attempts: int) -> None:
    """A mail in the queue that has failed so many times."""
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test")
    for _ in range(attempts):
        await office.attempt()
        office.clock.advance(
            max(0.0, office.store.entries[0].recipients[0].next_attempt - office.clock.now())
        )


@pytest.mark.parametrize("attempts", [1, 5, 12])
async def test_row_69_a_jump_forwards_returns_nothing(attempts: int) -> None:
    office = Office()
    await waiting_mail(office, attempts)
    told = len(office.notices)
    office.clock.jump(400 * DAY)
    await office.attempt()
    assert office.outcomes[-1].state == "waiting"
    assert not [r for r in office.notices[told:] if r.recipients[0].action is Action.FAILED]


async def until_attempted(office: Office, count: int) -> None:
    """Run the loop until so many outcomes are on record; a hint wakes it, as any mail would."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        for _ in range(2000):
            if len(office.outcomes) >= count:
                break
            await asyncio.sleep(0.005)
        stop.set()


@pytest.mark.parametrize("jump", [-400 * DAY, -3600])
async def test_row_69_a_jump_backwards_stalls_nothing(jump: int) -> None:
    office = Office()
    await waiting_mail(office, 1)
    await office.attempt()
    before = len(office.outcomes)
    office.clock.jump(jump)
    assert await office.attempt() == 0
    await until_attempted(office, before + 1)  # a start looks for what a wrong clock has put away
    assert len(office.outcomes) == before + 1
    assert office.outcomes[-1].next_attempt - office.clock.now() < 2 * 3600


@pytest.mark.parametrize("leap", [-1, 1])
async def test_row_69_a_leap_second_doubles_and_stalls_nothing(leap: int) -> None:
    """A second that comes twice, or never: each try at its time, once."""
    office = Office()
    await waiting_mail(office, 1)
    for _ in range(3):
        before = len(office.outcomes)
        office.clock.jump(leap)
        due = office.store.entries[0].recipients[0].next_attempt - office.clock.now()
        assert due <= 1.0
        office.clock.advance(max(due, 0.0))
        assert await office.attempt() == 1
        assert await office.attempt() == 0
        assert len(office.outcomes) == before + 1
        waits = office.store.entries[0].recipients[0].next_attempt - office.clock.now()
        office.clock.advance(waits)


async def test_row_69_what_was_queued_in_a_future_taken_back_is_not_left_there() -> None:
    office = Office()
    office.clock.jump(400 * DAY)
    await office.enqueue("bob@a.test")
    office.clock.jump(-400 * DAY)
    assert await office.attempt() == 0
    await until_attempted(office, 1)
    assert [o.state for o in office.outcomes] == ["delivered"]


async def test_row_69_a_jump_while_the_loop_runs_is_noticed() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while not office.outcomes:
            await asyncio.sleep(0.005)
        office.clock.advance(60)
        office.clock.jump(-400 * DAY)
        await office.enqueue("bob@a.test")  # what wakes it
        while len(office.outcomes) < 3:
            await asyncio.sleep(0.005)
        stop.set()
    assert sorted(o.state for o in office.outcomes) == ["delivered", "waiting", "waiting"]


async def test_row_69_a_lease_of_the_future_is_no_lease() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    now = int(office.clock.now())
    await office.store.commit(Transaction((op.ClaimQueue("worker-2", now, now + LEASE_SECONDS),)))
    office.clock.jump(-400 * DAY)
    office.store._state.queue.update(
        {
            e.id: dataclasses.replace(
                e, recipients=tuple(dataclasses.replace(r, next_attempt=0) for r in e.recipients)
            )
            for e in office.store.entries
        }
    )
    assert await office.attempt() == 1
    assert len(office.store.inbox(office.bob.id)) == 1


# --- the operator's hand -------------------------------------------------------------------------------


async def act(office: Office, name: str) -> None:
    operations = acting(office.store.entries[0], name, int(office.clock.now()))
    await office.store.commit(Transaction(operations))


async def test_an_entry_is_held_released_and_tried_again() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    await act(office, "hold")
    assert await office.attempt() == 0
    await act(office, "release")
    office.store.change(office.bob.id, quota=1, used_octets=1)
    assert await office.attempt() == 1
    assert await office.attempt() == 0
    await act(office, "retry")
    assert await office.attempt() == 1


async def test_retrying_what_is_being_tried_leaves_it_to_its_worker() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    now = int(office.clock.now())
    await office.store.commit(Transaction((op.ClaimQueue("worker-2", now, now + LEASE_SECONDS),)))
    assert acting(office.store.entries[0], "retry", now) == ()
    assert acting(office.store.entries[0], "retry", now + LEASE_SECONDS) != ()


async def test_there_are_no_other_acts() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    with pytest.raises(BadName):
        acting(office.store.entries[0], "remove", 0)


async def test_giving_up_tells_the_sender() -> None:
    office = Office()
    await office.enqueue("x@b.test", QueueRecipient("y@b.test", ("NEVER",)))
    operations, contents = await giving_up(office.store, office.store.entries[0], Voice("mail.a.test"), 1)
    await office.store.commit(Transaction(operations, contents))
    (report,) = office.notices
    assert [(r.final, r.diagnostic) for r in report.recipients] == [
        ("x@b.test", "given up by the administrator")
    ]
    assert [e.recipients[0].address for e in office.store.entries] == ["alice@a.test"]


async def test_giving_up_a_mail_without_a_sender_tells_nobody() -> None:
    office = Office()
    await office.enqueue("x@b.test", sender="")
    operations, contents = await giving_up(office.store, office.store.entries[0], Voice("mail.a.test"), 1)
    assert (len(operations), contents) == (1, ())


async def test_the_whole_queue_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a3mailer.transfer.queue.queue.PAGE", 3)
    office = Office()
    for _ in range(8):
        await office.enqueue("x@b.test")
    assert [e.id async for e in entries(office.store)] == list(range(1, 9))


async def test_what_an_operator_does_is_on_record() -> None:
    office = Office()
    queue: Any = await office.enqueue("x@b.test")
    now = int(office.clock.now())
    for name in ("hold", "release", "retry"):
        await change(office.store, queue, name, subject="operator", now=now)
    await fail(office.store, queue, voice=Voice("mail.a.test"), subject="operator", now=now)
    records = await office.store.audit()
    assert [(r.subject, r.action, r.target) for r in records] == [
        ("operator", f"queue.{name}", str(queue)) for name in ("hold", "release", "retry", "fail")
    ]
    assert len(office.notices) == 1
