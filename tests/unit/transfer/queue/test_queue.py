"""The queue: exactly once here, told once there, and no clock, crash or bug stops or empties it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Settings
from a3mailer.mail.errors import DamagedContent, StoreFull, Uncertain
from a3mailer.mail.ids import QueueId
from a3mailer.store import operations as op
from a3mailer.store.operations import ChangeAccount, QueueRecipient
from a3mailer.store.ports import Transaction
from a3mailer.testing.peer import ScriptedPeer
from a3mailer.testing.transcript import unescape
from a3mailer.transfer.queue import attempt as attempt_module
from a3mailer.transfer.queue.attempt import LEASE_SECONDS, Attempt
from a3mailer.transfer.queue.queue import change
from a3mailer.transfer.relay.relay import (
    CROWDED_SECONDS,
    FAST_SECONDS,
    FEWEST,
    WAITING_A_DESTINATION,
    WAITING_A_FAST_ONE,
    Crowded,
)
from a3mailer.transfer.relay.ways import SMART_HOST, Onward
from a3mailer.wire.dsn.report import Action
from tests.unit.transfer.office import CONTENT, Office

DAY = 86400
BOUNCED = "nobody@a.test"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_module, "SETTLE_PAUSE", 0.001)


def playing(tmp_path: Path, *replies: str) -> ScriptedPeer:
    """A peer that takes one mail a connection and answers its content with these, one connection each."""
    lines = []
    for number, reply in enumerate(replies, 1):
        steps = ["S: 220 x", "C: EHLO <...>", "S: 250 x", "C: MAIL <...>", "S: 250 ok", "C: RCPT <...>",
                 "S: 250 ok", "C: DATA", "S: 354 go", "C! " + repr(CONTENT)[2:-1] + ".\\r\\n", f"S: {reply}",
                 "C: QUIT", "S: 221 bye"]  # fmt: skip
        lines += [f"{number}{step}" for step in steps]
    path = tmp_path / "play.transcript"
    path.write_text("\n".join(lines) + "\n")
    assert unescape(repr(CONTENT)[2:-1].encode()) == CONTENT
    return ScriptedPeer(path)


# --- here ----------------------------------------------------------------------------------------------


async def test_a_recipient_of_ours_is_delivered_with_a_return_path() -> None:
    office = Office()
    await office.enqueue("bob@a.test", "sales@a.test")
    assert await office.attempt() == 1
    assert office.store.inbox(office.bob.id) == [b"Return-Path: <alice@a.test>\r\n" + CONTENT]
    assert len(office.store.inbox(office.alice.id)) == 1
    assert not office.store.entries
    assert [o.state for o in office.outcomes] == ["delivered", "delivered"]


async def test_a_delivery_that_was_committed_unseen_is_not_repeated() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    commit = office.store.commit

    async def committed_but_lost(transaction: Transaction) -> Any:
        results = await commit(transaction)
        if any(isinstance(each, op.SettleQueue) for each in transaction.operations):
            office.store.commit = commit  # type: ignore[method-assign]
            raise Uncertain
        return results

    office.store.commit = committed_but_lost  # type: ignore[method-assign]
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1
    assert not office.store.entries


async def test_a_worker_that_dies_after_delivering_somebody_leaves_no_second_copy() -> None:
    office = Office()
    queue = await office.enqueue("bob@a.test")
    entry = await office.store.queue_entry(queue)  # type: ignore[arg-type]
    await office.attempt()
    office.store._state.queue[entry.id] = entry  # as if settling had been lost and the delivery not
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1


async def test_an_alias_that_leads_out_is_queued_on_with_its_wishes() -> None:
    office = Office()
    await office.enqueue(QueueRecipient("away@a.test", ("SUCCESS",)), return_content="FULL", envelope_id="e")
    await office.attempt()
    (entry,) = office.store.entries
    assert entry.recipients[0].address == "alice@elsewhere.test"
    assert entry.recipients[0].original == "rfc822;away@a.test"
    assert entry.recipients[0].notify == ("SUCCESS",)
    assert (entry.reverse_path, entry.return_content, entry.envelope_id) == ("alice@a.test", "FULL", "e")
    assert not office.notices


async def test_a_full_mailbox_here_waits() -> None:
    office = Office()
    office.store.change(office.bob.id, quota=10, used_octets=11)
    await office.enqueue("bob@a.test")
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("waiting", "4.2.2")]
    office.store.change(office.bob.id, quota=0)
    office.clock.advance(400)
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1


async def test_a_damaged_mail_fails_aloud() -> None:
    office = Office()
    await office.enqueue("x@b.test")

    async def damaged(*arguments: object) -> bytes:
        raise DamagedContent("checksum")

    office.store.octets = damaged  # type: ignore[method-assign]
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("failed", "5.3.0")]
    assert office.notices[0].recipients[0].diagnostic == "5.3.0 the stored mail is damaged"


# --- row 8: notifications ------------------------------------------------------------------------------


async def test_row_8_a_failure_is_told_once_and_lands_in_the_senders_mailbox() -> None:
    office = Office()
    await office.enqueue(BOUNCED)
    assert await office.attempt() == 1
    assert await office.attempt() == 1  # the notification itself
    assert await office.attempt() == 0
    (mail,) = office.store.inbox(office.alice.id)
    assert mail.startswith(b"Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mail.a.test>\r\n")
    assert b"In-Reply-To: <1@a.test>" in mail
    assert len(office.notices) == 1


async def test_row_8_nobody_is_told_of_a_mail_without_a_sender() -> None:
    office = Office()
    await office.enqueue(BOUNCED, sender="")
    await office.attempt()
    assert not office.notices
    assert not office.store.entries


async def test_row_8_no_notification_of_a_notification() -> None:
    office = Office()
    await office.enqueue(BOUNCED, sender="also-nobody@a.test")
    for _ in range(4):
        await office.attempt()
    assert len(office.notices) == 1
    assert not office.store.entries


async def test_row_8_a_failure_of_many_recipients_is_one_notification() -> None:
    office = Office()
    await office.enqueue("n1@a.test", "n2@a.test", QueueRecipient("n3@a.test", ("NEVER",)))
    await office.attempt()
    (report,) = office.notices
    assert [r.final for r in report.recipients] == ["n1@a.test", "n2@a.test"]


async def test_a_success_here_is_told_where_asked() -> None:
    office = Office()
    await office.enqueue(QueueRecipient("bob@a.test", ("SUCCESS",)), "alice@a.test")
    await office.attempt()
    (report,) = office.notices
    assert [(r.final, r.action) for r in report.recipients] == [("bob@a.test", Action.DELIVERED)]


# --- retries -------------------------------------------------------------------------------------------


async def live(office: Office) -> None:
    """Attempt whatever is due until the queue is empty, time flying in between."""
    for _ in range(400):
        await office.attempt()
        waiting = [r.next_attempt for e in office.store.entries for r in e.recipients if r.state == "waiting"]
        if not waiting:
            return
        office.clock.advance(max(1.0, min(waiting) - office.clock.now()))
    raise AssertionError("it never ended")


async def test_a_mail_nobody_takes_is_delayed_once_and_returned_once_after_its_days() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    began = office.clock.now()
    await office.enqueue("x@b.test")
    await live(office)
    assert 5 * DAY <= office.clock.now() - began <= 5 * DAY + 5 * 3600
    told = [(r.recipients[0].action, r.recipients[0].status) for r in office.notices]
    assert told == [(Action.DELAYED, "4.4.1"), (Action.FAILED, "4.4.7")]
    assert office.notices[1].recipients[0].diagnostic.startswith("4.4.1 192.0.2.1:25: connection refused")
    assert len(office.store.inbox(office.alice.id)) == 2
    assert office.outcomes[-2].state == "expired"


async def test_who_asks_for_no_delays_hears_of_the_end_only() -> None:
    office = Office()
    await office.enqueue(QueueRecipient("x@b.test", ("FAILURE",)))
    office.resolver.fail("b.test", "MX")
    await live(office)
    assert [r.recipients[0].action for r in office.notices] == [Action.FAILED]


async def test_only_recipients_that_are_due_are_tried(tmp_path: Path) -> None:
    office = Office(playing(tmp_path, "250 2.0.0 ok"))
    office.resolver.mail_host("b.test", "192.0.2.1")
    office.resolver.fail("c.test", "MX")
    await office.enqueue("x@b.test", "y@c.test")
    await office.attempt()
    assert sorted((o.number, o.state) for o in office.outcomes) == [(0, "relayed"), (1, "waiting")]
    assert office.store.entries[0].lease_until == 0
    office.clock.advance(400)
    await office.attempt()
    assert office.outcomes[-1].number == 1
    assert len(office.outcomes) == 3


# --- leases and trouble --------------------------------------------------------------------------------


async def test_what_one_worker_leases_no_other_gets() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    now = int(office.clock.now())
    claim = op.ClaimQueue("worker-2", now, now + LEASE_SECONDS)
    await office.store.commit(Transaction((claim,)))
    assert await office.attempt() == 0
    office.clock.advance(LEASE_SECONDS)  # its owner died
    assert await office.attempt() == 1
    assert len(office.store.inbox(office.bob.id)) == 1


async def test_a_lost_lease_records_and_tells_nothing() -> None:
    office = Office()
    queue = await office.enqueue(BOUNCED)
    entry = await office.store.queue_entry(queue)  # type: ignore[arg-type]
    now = int(office.clock.now())
    await office.store.commit(Transaction((op.ClaimQueue("worker-2", now, now + LEASE_SECONDS),)))
    await Attempt(office.desk, entry).run()
    assert not office.outcomes
    assert not office.notices


async def test_a_store_in_trouble_is_asked_again() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    now = int(office.clock.now())
    await office.store.commit(Transaction((op.ClaimQueue("worker-1", now, now + LEASE_SECONDS),)))
    office.store.fail += [StoreFull(), Uncertain(), StoreFull()]
    await Attempt(office.desk, office.store.entries[0]).run()
    assert len(office.store.inbox(office.bob.id)) == 1
    assert not office.store.entries


async def test_a_bug_in_one_way_costs_that_way_one_attempt() -> None:
    async def broken(address: str, port: int, seconds: float) -> Any:
        raise RuntimeError("a bug")

    office = Office(broken)
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test", "bob@a.test")
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1
    states = {o.number: (o.state, o.enhanced) for o in office.outcomes}
    assert states == {0: ("waiting", "4.3.0"), 1: ("delivered", "2.1.5")}
    assert office.store.entries[0].lease_until == 0


async def test_the_loop_works_off_what_there_is_and_hears_of_more(tmp_path: Path) -> None:
    office = Office(playing(tmp_path, "250 2.0.0 ok", "450 4.2.0 later"))
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("bob@a.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while office.store.entries:
            await asyncio.sleep(0.005)
        await office.enqueue("x@b.test")
        while office.store.entries:
            await asyncio.sleep(0.005)
        await office.enqueue(BOUNCED)
        while not office.store.inbox(office.alice.id):
            await asyncio.sleep(0.005)
        stop.set()
    assert [o.state for o in office.outcomes] == ["delivered", "relayed", "failed", "delivered"]


async def test_stopping_finishes_what_is_in_hand() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(address: str, port: int, seconds: float) -> Any:
        entered.set()
        await leave.wait()
        raise ConnectionRefusedError("refused")

    office = Office(slow)
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        await entered.wait()
        stop.set()
        await asyncio.sleep(0.02)
        await office.enqueue("bob@a.test")  # comes too late for this worker
        leave.set()
    assert [o.state for o in office.outcomes] == ["waiting"]
    assert [e.recipients[0].address for e in office.store.entries] == ["x@b.test", "bob@a.test"]


async def test_no_more_than_the_setting_says_at_once() -> None:
    most = running = 0

    async def counting(address: str, port: int, seconds: float) -> Any:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        raise ConnectionRefusedError("refused")

    office = Office(counting, QueueSettings(concurrency=3, retry=(1000,)))
    for number in range(10):
        office.resolver.mail_host(f"d{number}.test", "192.0.2.1")
        await office.enqueue(f"x@d{number}.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while len(office.outcomes) < 10:
            await asyncio.sleep(0.005)
        stop.set()
    assert most == 3


# --- workers ------------------------------------------------------------------------------------------


async def test_a_worker_that_is_cancelled_gives_its_leases_back() -> None:
    entered = asyncio.Event()

    async def slow(address: str, port: int, seconds: float) -> Any:
        entered.set()
        await asyncio.sleep(1000)

    office = Office(slow)
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(office.make_queue().run(asyncio.Event()))
        await entered.wait()
        assert office.store.entries[0].lease_owner == "worker-0"
        task.cancel()
    assert office.store.entries[0].lease_owner == ""
    assert not office.outcomes


async def test_what_a_dead_worker_had_in_hand_goes_on_at_once() -> None:
    office = Office()
    await office.enqueue("bob@a.test")
    await office.enqueue("alice@a.test")
    now = int(office.clock.now())
    for owner in ("dead", "alive"):
        await office.store.commit(Transaction((op.ClaimQueue(owner, now, now + LEASE_SECONDS, 1),)))
    queue = office.make_queue()
    queue._is_dead = lambda owner: owner == "dead"
    await queue._recall()
    assert [e.lease_owner for e in office.store.entries] == ["", "alive"]


async def test_new_settings_count_for_the_next_attempt() -> None:
    office = Office()
    queue = office.make_queue()
    former = queue._desk.relay
    queue.reconfigure(Settings(queue=QueueSettings(relay="[192.0.2.9]:26", retry=(7,), concurrency=2)))
    assert queue._desk.relay.ways.usual.name == SMART_HOST
    assert queue._desk.schedule.interval(1) == 7
    assert former._kept._retired
    with pytest.raises(ValueError, match="host"):
        queue.reconfigure(Settings(queue=QueueSettings(relay=":26")))
    assert queue._desk.schedule.interval(1) == 7


async def test_an_account_that_is_disabled_still_gets_its_queued_mail() -> None:
    office = Office()
    await office.store.commit(Transaction((ChangeAccount(office.bob.id, enabled=False),)))
    await office.enqueue("bob@a.test")
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1


async def test_an_operators_retry_is_tried_at_once_and_what_it_finds_out_counts(tmp_path: Path) -> None:
    dialled: list[str] = []

    async def refusing(address: str, port: int, seconds: float) -> Any:
        dialled.append(address)
        raise ConnectionRefusedError

    office = Office(refusing)
    office.resolver.mail_host("b.test", "192.0.2.1")
    first, second = await office.enqueue("x@b.test"), await office.enqueue("y@b.test")
    await office.attempt()
    assert len(dialled) == 1
    place = office.relay._places["b.test"]
    left_alone = place.closed_until
    now = int(office.clock.now())
    await change(office.store, QueueId(first), "retry", subject="operator", now=now)
    await office.attempt()
    assert len(dialled) == 2  # asked in spite of the back-off
    assert (place.closed_until, place.failures) == (left_alone, 1)  # one failure is not counted twice
    peer = playing(tmp_path, "250 2.0.0 taken")
    office.relay._dial = peer
    await change(office.store, QueueId(second), "retry", subject="operator", now=now)
    await office.attempt()
    assert office.outcomes[-1].state == "relayed"
    assert place.closed_until <= office.clock.monotonic()  # it can be reached: the others may go, too


async def test_a_slow_destination_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a3mailer.transfer.queue.queue.IN_HAND", 8)
    monkeypatch.setattr("a3mailer.transfer.relay.relay.WAITING_A_DESTINATION", 3)
    leave = asyncio.Event()

    async def slow(address: str, port: int, seconds: float) -> Any:
        if address == "192.0.2.1":
            await leave.wait()
        raise ConnectionRefusedError("refused")

    office = Office(slow)
    office.resolver.mail_host("slow.test", "192.0.2.1")
    office.resolver.mail_host("b.test", "192.0.2.2")
    for _ in range(30):
        await office.enqueue("x@slow.test")
    await office.enqueue("x@b.test", "y@slow.test")
    await office.enqueue("bob@a.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while len(office.outcomes) < 2:
            await asyncio.sleep(0.005)
        assert {(o.number, o.state) for o in office.outcomes} == {(0, "waiting"), (0, "delivered")}
        assert len(office.store.inbox(office.bob.id)) == 1
        while len(office.put_off) < 28:
            await asyncio.sleep(0.005)
        stop.set()
        leave.set()
    attempts = [e.recipients[-1].attempts for e in office.store.entries]
    assert sorted(attempts) == [0] * 28 + [1] * 3  # being put off is no attempt
    now = office.clock.now()
    put_off = [e for e in office.store.entries if not e.recipients[-1].attempts]
    assert all(e.recipients[-1].next_attempt > now and not e.lease_owner for e in put_off)
    assert {o.text for o in office.put_off} == {"another mail for this destination goes first"}


@pytest.mark.parametrize("domain", ["[10.0.0.5]", "[127.0.0.1]", "localhost", "10.0.0.5"])
async def test_row_6_no_notification_goes_inside_because_a_stranger_says_so(domain: str) -> None:
    office = Office()
    await office.enqueue("nobody@a.test", sender=f"x@{domain}")
    await office.attempt()
    assert [o.state for o in office.outcomes] == ["failed"] and not office.store.entries


async def test_the_lease_of_what_takes_long_is_renewed_and_ends_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("a3mailer.transfer.queue.queue.RENEW_SECONDS", 0.005)
    leave = asyncio.Event()

    async def slow(address: str, port: int, seconds: float) -> Any:
        await leave.wait()
        raise ConnectionRefusedError("refused")

    office = Office(slow)
    office.resolver.mail_host("slow.test", "192.0.2.1")
    await office.enqueue("x@slow.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while office.store.entries == [] or not office.store.entries[0].lease_owner:
            await asyncio.sleep(0.001)
        until = office.store.entries[0].lease_until
        office.clock.advance(60)
        while office.store.entries[0].lease_until == until:
            await asyncio.sleep(0.001)
        assert office.store.entries[0].lease_until == until + 60
        stop.set()
        leave.set()
    assert not office.store.entries[0].lease_owner


async def test_a_fast_destination_is_crowded_later_and_for_a_shorter_time() -> None:
    office = Office()
    place = office.relay._place(Onward("b.test"))
    place.users, place.finished = WAITING_A_DESTINATION, office.clock.monotonic()  # it has answered once
    with pytest.raises(Crowded) as slow:
        office.relay._admit(place)
    for _ in range(200):
        office.clock.advance(0.002)
        office.relay._left(place)
    office.relay._admit(place)
    place.users = WAITING_A_FAST_ONE
    with pytest.raises(Crowded) as fast:
        office.relay._admit(place)
    assert fast.value.seconds == FAST_SECONDS < slow.value.seconds == CROWDED_SECONDS


def test_a_crowd_before_a_lost_destination_waits_no_longer_than_the_first_pause_of_the_schedule() -> None:
    """Its host was back after 3 s and its mail came after 30 (tests/faults/test_kill_day.py)."""
    office = Office(queue=QueueSettings(retry=(1, 300)))
    place = office.relay._place(Onward("b.test"))
    place.users, place.failures, place.finished = FEWEST, 3, office.clock.monotonic()
    with pytest.raises(Crowded) as found:
        office.relay._admit(place)
    assert found.value.seconds == 1.0


def test_who_takes_all_mail_is_never_crowded() -> None:
    office = Office(queue=QueueSettings(relay="127.0.0.1:2525"))
    place = office.relay._place(office.relay.ways.of("b.test", "", "").to("b.test"))
    place.users = 10 * WAITING_A_FAST_ONE
    office.relay._admit(place)


async def test_many_silent_destinations_leave_room_and_connections_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("a3mailer.transfer.relay.slot.SLOW_SECONDS", 0.0)
    for room in ("a3mailer.transfer.queue.queue.IN_HAND", "a3mailer.transfer.relay.relay.IN_HAND"):
        monkeypatch.setattr(room, 40)
    leave = asyncio.Event()

    async def silent(address: str, port: int, seconds: float) -> Any:
        if address == "192.0.2.1":
            await leave.wait()
        raise ConnectionRefusedError("refused")

    office = Office(silent, QueueSettings(concurrency=4))
    office.resolver.mail_host("b.test", "192.0.2.2")
    for number in range(12):
        office.resolver.mail_host(f"silent{number}.test", "192.0.2.1")
        for _ in range(20):
            await office.enqueue(f"x@silent{number}.test")
    await office.enqueue("x@b.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while not office.outcomes:  # while all of those are still dialled
            await asyncio.sleep(0.005)
        (outcome,) = office.outcomes
        assert outcome.text.startswith("refused")
        while len(office.put_off) < 200:
            await asyncio.sleep(0.005)
        stop.set()
        leave.set()


async def test_one_mail_to_many_destinations_opens_no_more_sessions_than_the_setting_says() -> None:
    most = running = 0

    async def counting(address: str, port: int, seconds: float) -> Any:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        raise ConnectionRefusedError("refused")

    office = Office(counting, QueueSettings(concurrency=4))
    for number in range(50):
        office.resolver.mail_host(f"d{number}.test", "192.0.2.1")
    await office.enqueue(*(f"x@d{number}.test" for number in range(50)))
    await office.attempt()
    assert len(office.outcomes) == 50
    assert most == 4
