"""The rules of the queue: who may try an entry, and when it is over (RFC 5321 section 4.5.4)."""

from __future__ import annotations

import pytest

from a3mailer.mail.errors import BadName, Conflict, NoSuchAccount, NoSuchMessage, NoSuchThing
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, SYSTEM_ACCOUNT, AccountId, QueueId
from a3mailer.store import operations as op
from a3mailer.store.rows import QueueCounts, QueuedRecipient
from a3mailer.testing.store.case import StoreCase, World, mail

DAY = 86_400


def outcome(number: int, state: str, **more: object) -> op.RecipientOutcome:
    return op.RecipientOutcome(number, state, **more)  # type: ignore[arg-type]


async def settle(
    world: World, queue: QueueId, *outcomes: op.RecipientOutcome, owner: str = "worker", until: int = 0
) -> None:
    await world.one(op.Done, op.SettleQueue(queue, owner, outcomes, world.now, until))


class QueueRules(StoreCase):
    """Enqueue, claim, settle, an operator's acts."""

    async def test_an_entry_is_what_was_enqueued(self, world: World) -> None:
        people = (
            op.QueueRecipient("carol@b.test", ("FAILURE", "DELAY"), "rfc822;carol@b.test"),
            op.QueueRecipient("dave@c.test"),
        )
        done = await world.one(
            op.Enqueued,
            op.Enqueue(
                world.alice, DEFAULT_TENANT, 0, "alice@a.test", people, trace="0123456789abcdef", body="7BIT",
                smtputf8=True, return_content="HDRS", envelope_id="env-1", not_before=world.now + 30, hops=2,
                priority=-3, deliver_by=world.now + 90, by_mode="NT", message_id="1@a.test",
                tls="required",
            ),
            mail(),
        )  # fmt: skip
        entry = await world.entry(done.queue)
        assert (entry.id, entry.account, entry.tenant) == (done.queue, world.alice, DEFAULT_TENANT)
        assert (entry.reverse_path, entry.body, entry.smtputf8) == ("alice@a.test", "7BIT", True)
        assert (entry.return_content, entry.envelope_id, entry.trace) == ("HDRS", "env-1", "0123456789abcdef")
        assert entry.tls == "required"
        assert (entry.hops, entry.created, entry.held, entry.size) == (2, world.now, False, len(mail()))
        assert (entry.lease_owner, entry.lease_until) == ("", 0)
        assert entry.message_id == "1@a.test"
        assert (entry.not_before, entry.priority) == (world.now + 30, -3)
        assert (entry.deliver_by, entry.by_mode, entry.begun) == (world.now + 90, "NT", world.now + 30)
        carol, dave = entry.recipients
        untried = ("waiting", 0, world.now + 30, 0, "", "", "", False)
        assert carol == QueuedRecipient(
            0, "carol@b.test", ("FAILURE", "DELAY"), "rfc822;carol@b.test", *untried
        )
        assert dave == QueuedRecipient(1, "dave@c.test", (), "", *untried)
        assert await world.store.octets(world.alice, entry.blob) == mail()
        assert await world.store.queue() == (entry,)

    async def test_the_systems_own_notices(self, world: World) -> None:
        notice = op.Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, 0, "", (op.QueueRecipient("carol@b.test"),))
        done = await world.one(op.Enqueued, notice, mail("undelivered"))
        entry = await world.entry(done.queue)
        assert (entry.account, entry.reverse_path) == (SYSTEM_ACCOUNT, "")
        assert await world.store.octets(SYSTEM_ACCOUNT, entry.blob) == mail("undelivered")
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.alice, entry.blob)
        nobody = op.Enqueue(AccountId(987_654), DEFAULT_TENANT, 0, "", (op.QueueRecipient("c@b.test"),))
        await world.fails(NoSuchAccount, nobody, contents=(mail(),))

    async def test_entries_are_counted_by_state(self, world: World) -> None:
        counts = world.store.queue_counts
        assert await counts(world.now) == QueueCounts(0, 0, 0)
        made = [await world.enqueue() for _ in range(3)]
        assert await counts(world.now) == QueueCounts(3, 0, 0)
        await world.one(op.Done, op.ChangeQueue(made[1], "hold", world.now))
        await world.one(op.Claimed, op.ClaimQueue("worker", world.now, world.now + 60, 1))
        assert await counts(world.now) == QueueCounts(1, 1, 1)
        assert await counts(world.now + 60) == QueueCounts(2, 0, 1)  # a lease that has run out is none
        for queue in made:
            await world.one(op.Done, op.ChangeQueue(queue, "hold", world.now))
        assert await counts(world.now) == QueueCounts(0, 0, 3)  # one that is held while it is tried is held
        for queue in made:
            await world.one(op.Done, op.ChangeQueue(queue, "remove", world.now))
        assert await counts(world.now) == QueueCounts(0, 0, 0)

    async def test_the_queue_is_read_in_pages(self, world: World) -> None:
        made = [await world.enqueue() for _ in range(5)]
        first = await world.store.queue(limit=2)
        second = await world.store.queue(limit=2, after=first[-1].id)
        third = await world.store.queue(limit=2, after=second[-1].id)
        assert [entry.id for entry in (*first, *second, *third)] == sorted(made)
        with pytest.raises(NoSuchThing):
            await world.entry(QueueId(987_654))

    # --- leased from the begin (ADR 0035) ----------------------------------------------------------

    async def leased(self, world: World, *addresses: str, owner: str = "one") -> QueueId:
        return await world.enqueue(*addresses, lease_owner=owner, lease_until=world.now + 60)

    async def test_who_brings_an_entry_may_have_leased_it(self, world: World) -> None:
        people = (op.QueueRecipient("carol@b.test"),)
        leased = op.Enqueue(
            world.alice, DEFAULT_TENANT, 0, "", people, lease_owner="one", lease_until=world.now + 60
        )
        done = await world.one(op.Enqueued, leased, mail())
        entry = await world.entry(done.queue)
        assert (done.owner, done.created) == ("one", entry.created)
        assert (entry.lease_owner, entry.lease_until) == ("one", world.now + 60)
        assert await world.claim("two") == op.Claimed((), world.now + 60)
        world.clock.advance(60)
        assert (await world.claim("two")).queues == (done.queue,)

    async def test_what_is_enqueued_without_a_lease_has_no_owner(self, world: World) -> None:
        people = (op.QueueRecipient("carol@b.test"),)
        done = await world.one(op.Enqueued, op.Enqueue(world.alice, DEFAULT_TENANT, 0, "", people), mail())
        assert (done.owner, done.created) == ("", (await world.entry(done.queue)).created)

    async def test_a_leased_entry_ends_as_any_other(self, world: World) -> None:
        queue = await self.leased(world, "carol@b.test", "dave@b.test")
        blob = (await world.entry(queue)).blob
        said = {"code": 250, "enhanced": "2.0.0", "text": "ok", "host": "mx.b.test"}
        bad = {"code": 550, "enhanced": "5.1.1", "text": "no such user", "host": "mx.b.test"}
        await settle(world, queue, outcome(1, "failed", **bad), outcome(0, "relayed", **said), owner="one")
        assert await world.store.queue() == ()
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.alice, blob)
        rows = (await world.store.finished(queue=queue)).rows
        assert [(r.address, r.state, r.attempts, r.code, r.host) for r in rows] == [
            ("carol@b.test", "relayed", 1, 250, "mx.b.test"),
            ("dave@b.test", "failed", 1, 550, "mx.b.test"),
        ]
        assert {(r.sender, r.tenant, r.created) for r in rows} == {
            ("alice@a.test", DEFAULT_TENANT, world.now)
        }
        await world.fails(Conflict, op.SettleQueue(queue, "one", (outcome(0, "relayed"),), world.now))

    async def test_a_leased_entry_of_whom_some_wait_stays(self, world: World) -> None:
        queue = await self.leased(world, "carol@b.test", "dave@b.test")
        await settle(world, queue, outcome(0, "relayed"), owner="one", until=world.now + 60)
        assert (await world.entry(queue)).lease_owner == "one"
        await settle(world, queue, outcome(1, "waiting", next_attempt=world.now + 300), owner="one")
        entry = await world.entry(queue)
        assert (entry.lease_owner, [r.state for r in entry.recipients]) == ("", ["relayed", "waiting"])
        world.clock.advance(300)
        assert (await world.claim("two")).queues == (queue,)
        await settle(world, queue, outcome(1, "relayed"), owner="two")
        assert await world.store.queue() == ()

    async def test_an_outcome_that_is_named_twice_ends_nobody_else(self, world: World) -> None:
        queue = await self.leased(world, "carol@b.test", "dave@b.test")
        await settle(world, queue, outcome(0, "relayed"), outcome(0, "relayed"), owner="one")
        assert [r.state for r in (await world.entry(queue)).recipients] == ["relayed", "waiting"]

    async def test_who_lost_the_lease_an_entry_came_with_records_nothing(self, world: World) -> None:
        queue = await self.leased(world)
        await world.fails(Conflict, op.SettleQueue(queue, "two", (outcome(0, "relayed"),), world.now))
        world.clock.advance(60)
        await world.claim("two")
        await world.fails(Conflict, op.SettleQueue(queue, "one", (outcome(0, "relayed"),), world.now))
        assert (await world.entry(queue)).lease_owner == "two"

    @pytest.mark.parametrize("act", ["hold", "release", "retry"])
    async def test_an_operator_who_acted_meanwhile_changes_no_outcome(self, world: World, act: str) -> None:
        queue = await self.leased(world)
        await world.do(op.ChangeQueue(queue, act, world.now))
        await settle(world, queue, outcome(0, "relayed"), owner="one")
        assert await world.store.queue() == ()

    async def test_what_was_removed_or_erased_meanwhile_is_not_settled(self, world: World) -> None:
        removed, erased = await self.leased(world), await self.leased(world)
        await world.do(op.ChangeQueue(removed, "remove", world.now))
        await world.do(op.RemoveAccount(world.alice, world.now))
        for queue in (removed, erased):
            await world.fails(Conflict, op.SettleQueue(queue, "one", (outcome(0, "relayed"),), world.now))

    async def test_a_content_that_is_in_a_mailbox_too_stays_there(self, world: World) -> None:
        people = (op.QueueRecipient("carol@b.test"),)
        relay = op.Enqueue(
            world.alice, DEFAULT_TENANT, 0, "", people, lease_owner="one", lease_until=world.now + 60
        )
        results = await world.do(op.Append(world.alice, INBOX, 0), relay, contents=(mail("both"),))
        await settle(world, results[1].queue, outcome(0, "relayed"), owner="one")  # type: ignore[attr-defined]
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == mail("both")

    async def test_settling_what_was_leased_and_bouncing_are_one_act(self, world: World) -> None:
        queue = await self.leased(world)
        notice = op.Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, 0, "", (op.QueueRecipient("alice@a.test"),))
        done = op.SettleQueue(queue, "one", (outcome(0, "failed"),), world.now)
        nobody = op.Enqueue(AccountId(987_654), DEFAULT_TENANT, 0, "", (op.QueueRecipient("c@b.test"),))
        await world.fails(NoSuchAccount, done, nobody, contents=(mail("undelivered"),))
        assert (await world.entry(queue)).lease_owner == "one"
        await world.do(done, notice, contents=(mail("undelivered"),))
        (entry,) = await world.store.queue()
        assert entry.account == SYSTEM_ACCOUNT

    # --- leases ------------------------------------------------------------------------------------

    async def test_a_leased_entry_is_given_to_nobody_else(self, world: World) -> None:
        queue = await world.enqueue()
        assert (await world.claim("one")).queues == (queue,)
        entry = await world.entry(queue)
        assert (entry.lease_owner, entry.lease_until) == ("one", world.now + 60)
        for owner in ("two", "one"):
            again = await world.claim(owner)
            assert again.queues == ()
            assert again.next_due == entry.lease_until
        world.clock.advance(60)
        assert (await world.claim("two")).queues == (queue,)
        assert (await world.entry(queue)).lease_owner == "two"

    async def test_what_is_not_due_waits(self, world: World) -> None:
        late = await world.enqueue(not_before=world.now + 100)
        later = await world.enqueue(not_before=world.now + 200)
        soon = await world.enqueue()
        assert await world.claim() == op.Claimed((soon,), world.now + 100)
        await settle(world, soon, outcome(0, "relayed"))
        assert await world.claim() == op.Claimed((), world.now + 100)
        world.clock.advance(100)
        assert await world.claim() == op.Claimed((late,), world.now + 100)
        await settle(world, late, outcome(0, "failed"))
        assert await world.claim() == op.Claimed((), world.now + 100)
        world.clock.advance(100)
        assert (await world.claim()).queues == (later,)
        await settle(world, later, outcome(0, "relayed"))
        assert await world.claim() == op.Claimed((), 0)

    async def test_the_longest_waiting_go_first(self, world: World) -> None:
        second = await world.enqueue(not_before=world.now + 20)
        first = await world.enqueue(not_before=world.now + 10)
        third = await world.enqueue(not_before=world.now + 30)
        world.clock.advance(50)
        got = await world.claim(limit=2)
        assert got.queues == (first, second)
        assert 0 < got.next_due <= world.now, "one is due that was not given"
        assert (await world.claim()).queues == (third,)

    async def test_of_many_some_of_the_latest_go_too(self, world: World) -> None:
        made = [await world.enqueue(not_before=world.now + number) for number in range(1, 13)]
        world.clock.advance(50)
        assert (await world.claim(limit=8)).queues == (*made[:6], *made[-2:])
        assert (await world.claim(limit=8)).queues == tuple(made[6:10])
        again = [await world.enqueue(not_before=world.now + number) for number in range(1, 9)]
        world.clock.advance(50)
        assert (await world.claim(limit=8)).queues == tuple(again)

    async def test_higher_priorities_go_first_and_the_longest_waiting_among_them(self, world: World) -> None:
        made = {}
        for name, priority, later in (("bulk", -9, 0), ("old", 0, 0), ("new", 0, 1), ("urgent", 9, 2)):
            due = world.now + 1 + later
            made[name] = await world.enqueue(not_before=due, priority=priority)
        far = await world.enqueue(not_before=world.now + 100, priority=5)
        world.clock.advance(10)
        got = await world.claim(limit=2)
        assert got.queues == (made["urgent"], made["old"])
        assert 0 < got.next_due <= world.now
        got = await world.claim()
        assert got.queues == (made["new"], made["bulk"])
        assert got.next_due == world.now + 60, "the leases of those that were given end first"
        world.clock.advance(90)
        await world.one(op.Done, op.ChangeQueue(far, "hold", world.now))
        assert far not in (await world.claim()).queues

    # --- what has left -----------------------------------------------------------------------------

    async def test_who_has_left_is_remembered_with_the_last_answer(self, world: World) -> None:
        queue = await world.enqueue("c@b.test", "d@b.test", trace="abc-2", message_id="1@a.test")
        accepted = world.now
        await world.claim()
        later = outcome(0, "waiting", code=451, text="not now", next_attempt=world.now)
        await settle(world, queue, later, outcome(1, "relayed", code=250, host="mx"))
        (row,) = (await world.store.finished()).rows
        assert (row.address, row.state, row.attempts, row.host) == ("d@b.test", "relayed", 1, "mx")
        world.clock.advance(60)
        await world.claim()
        end = outcome(0, "expired", code=451, enhanced="4.4.1", text="still not")
        await settle(world, queue, end)
        newest, _ = (await world.store.finished()).rows
        assert (newest.queue, newest.trace, newest.message_id) == (queue, "abc-2", "1@a.test")
        assert (newest.sender, newest.created, newest.time) == ("alice@a.test", accepted, world.now)
        assert (newest.state, newest.attempts, newest.code) == ("expired", 2, 451)
        assert (newest.enhanced, newest.text) == ("4.4.1", "still not")

    async def test_who_has_left_is_found_by_what_people_know(self, world: World) -> None:
        first = await world.enqueue("C@b.test", trace="abc", message_id="1@a.test")
        second = await world.enqueue("d@b.test", trace="abd-1", message_id="2@a.test")
        for queue in (first, second):
            await world.one(op.Done, op.ChangeQueue(queue, "remove", world.now))
        for about, found in (
            ("c@B.TEST", [first]), ("abc", [first]), ("abd", [second]), ("ab", []), ("2@a.test", [second]),
            ("alice@a.test", [second, first]), ("*", []), ("%", []), ("", [second, first]), ("removed", []),
        ):  # fmt: skip
            page = await world.store.finished(about)
            assert [row.queue for row in page.rows] == found, about
            assert page.before == 0
        assert [r.state for r in (await world.store.finished(queue=first)).rows] == ["removed"]
        newest, oldest = (await world.store.finished()).rows
        assert (await world.store.finished(before=newest.number)).rows == (oldest,)

    async def test_who_has_left_is_forgotten_after_some_days(self, world: World) -> None:
        for _ in range(3):
            queue = await world.enqueue()
            await world.one(op.Done, op.ChangeQueue(queue, "remove", world.now))
            world.clock.advance(DAY)
        days = op.FINISHED_DAYS - 2
        world.clock.advance(days * DAY)
        await world.one(op.Purged, op.Sweep(world.now))
        assert len((await world.store.finished()).rows) == 2
        world.clock.advance(3 * DAY)
        await world.one(op.Purged, op.Sweep(world.now, limit=1))
        assert len((await world.store.finished()).rows) == 1
        await world.one(op.Purged, op.Sweep(world.now))
        assert not (await world.store.finished()).rows

    async def test_a_mail_that_waits_has_left_nothing_behind(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        await settle(world, queue, outcome(0, "waiting", next_attempt=world.now + 60))
        for act in ("hold", "release", "retry"):
            await world.one(op.Done, op.ChangeQueue(queue, act, world.now))
        assert not (await world.store.finished()).rows

    async def test_a_lease_of_a_clock_that_jumped_back_has_ended(self, world: World) -> None:
        queue = await world.enqueue()
        world.clock.jump(400 * DAY)
        assert (await world.claim("one")).queues == (queue,)
        world.clock.jump(-400 * DAY)
        assert (await world.claim("two")).queues == (queue,)
        entry = await world.entry(queue)
        assert (entry.lease_owner, entry.lease_until) == ("two", world.now + 60)
        world.clock.jump(-30)
        assert (await world.claim("three")).queues == (), "a small step back ends no lease"

    async def test_a_clock_that_jumps_forward_ends_leases_and_loses_nothing(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim("one")
        world.clock.jump(400 * DAY)
        assert (await world.claim("two")).queues == (queue,)
        with pytest.raises(Conflict):
            await settle(world, queue, outcome(0, "relayed"), owner="one")
        await settle(world, queue, outcome(0, "relayed"), owner="two")
        assert await world.store.queue() == ()

    # --- outcomes ----------------------------------------------------------------------------------

    async def test_outcomes_are_recorded(self, world: World) -> None:
        queue = await world.enqueue("carol@b.test", "dave@b.test", "erin@b.test")
        await world.claim()
        later = world.now + 900
        await settle(
            world,
            queue,
            outcome(
                0, "waiting", code=450, enhanced="4.2.1", text="busy", host="mx.b.test", next_attempt=later
            ),
            outcome(2, "failed", code=550, enhanced="5.1.1", text="no such user", host="mx.b.test"),
        )
        entry = await world.entry(queue)
        carol, dave, erin = entry.recipients
        assert (carol.state, carol.attempts, carol.next_attempt) == ("waiting", 1, later)
        assert (carol.code, carol.enhanced, carol.text, carol.host) == (450, "4.2.1", "busy", "mx.b.test")
        assert (dave.state, dave.attempts) == ("waiting", 0)
        assert (erin.state, erin.attempts, erin.code) == ("failed", 1, 550)
        assert (entry.lease_owner, entry.lease_until) == ("", 0)
        assert (await world.claim()).queues == (queue,), "dave is still due"
        await settle(world, queue, outcome(1, "relayed"))
        assert await world.claim() == op.Claimed((), later)
        world.clock.advance(900)
        assert (await world.claim()).queues == (queue,)
        await settle(world, queue, outcome(0, "expired"))
        with pytest.raises(NoSuchThing):
            await world.entry(queue)

    async def test_a_lease_may_be_kept_while_others_are_tried(self, world: World) -> None:
        queue = await world.enqueue("carol@b.test", "dave@b.test")
        await world.claim("one")
        until = world.now + 300
        await settle(world, queue, outcome(0, "relayed"), owner="one", until=until)
        entry = await world.entry(queue)
        assert (entry.lease_owner, entry.lease_until) == ("one", until)
        world.clock.advance(200)
        assert await world.claim("two", lease=300) == op.Claimed((), until)
        await settle(world, queue, outcome(1, "relayed"), owner="one", until=until)
        assert await world.store.queue() == ()

    async def test_a_settled_entry_is_due_when_its_first_recipient_is(self, world: World) -> None:
        queue = await world.enqueue("carol@b.test", "dave@b.test")
        await world.claim()
        soon, later = world.now + 100, world.now + 1000
        await settle(
            world, queue, outcome(0, "waiting", next_attempt=later), outcome(1, "waiting", next_attempt=soon)
        )
        assert await world.claim() == op.Claimed((), soon)

    async def test_what_was_put_off_has_not_been_tried(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        later = world.now + 40
        await settle(
            world, queue, outcome(0, "waiting", text="others first", next_attempt=later, tried=False)
        )
        (carol,) = (await world.entry(queue)).recipients
        assert (carol.state, carol.attempts, carol.next_attempt) == ("waiting", 0, later)
        assert carol.text == "others first"
        assert await world.claim() == op.Claimed((), later)

    async def test_a_delay_is_told_once(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        await settle(world, queue, outcome(0, "waiting", delay_notified=True))
        assert (await world.entry(queue)).recipients[0].delay_notified
        await world.claim()
        await settle(world, queue, outcome(0, "waiting"))
        assert (await world.entry(queue)).recipients[0].delay_notified

    async def test_who_lost_the_lease_records_nothing(self, world: World) -> None:
        queue = await world.enqueue()
        relayed = (outcome(0, "relayed"),)
        await world.fails(Conflict, op.SettleQueue(queue, "worker", relayed, world.now))
        await world.claim("one")
        world.clock.advance(60)
        await world.claim("two")
        await world.fails(Conflict, op.SettleQueue(queue, "one", relayed, world.now))
        await settle(world, queue, *relayed, owner="two")
        await world.fails(Conflict, op.SettleQueue(queue, "two", relayed, world.now))
        await world.fails(Conflict, op.SettleQueue(QueueId(987_654), "two", relayed, world.now))

    async def test_settling_and_bouncing_are_one_act(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        notice = op.Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, 0, "", (op.QueueRecipient("alice@a.test"),))
        done = op.SettleQueue(queue, "worker", (outcome(0, "failed"),), world.now)
        lost = op.SettleQueue(queue, "other", (outcome(0, "failed"),), world.now)
        await world.fails(Conflict, notice, lost, contents=(mail("undelivered"),))
        await world.do(notice, done, contents=(mail("undelivered"),))
        (entry,) = await world.store.queue()
        assert entry.account == SYSTEM_ACCOUNT

    # --- an operator's acts ------------------------------------------------------------------------

    async def test_hold_and_release(self, world: World) -> None:
        queue = await world.enqueue()
        await world.do(op.ChangeQueue(queue, "hold", world.now))
        assert (await world.entry(queue)).held
        assert await world.claim() == op.Claimed((), 0)
        await world.do(op.ChangeQueue(queue, "release", world.now))
        assert not (await world.entry(queue)).held
        assert (await world.claim()).queues == (queue,)

    async def test_a_hold_during_an_attempt(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        await world.do(op.ChangeQueue(queue, "hold", world.now))
        await settle(world, queue, outcome(0, "waiting", next_attempt=world.now + 1))
        world.clock.advance(10)
        assert await world.claim() == op.Claimed((), 0)

    async def test_retry_makes_due_and_breaks_no_lease(self, world: World) -> None:
        queue = await world.enqueue()
        await world.claim()
        await settle(world, queue, outcome(0, "waiting", next_attempt=world.now + 5 * DAY))
        await world.do(op.ChangeQueue(queue, "hold", world.now))
        await world.do(op.ChangeQueue(queue, "retry", world.now))
        assert not (await world.entry(queue)).held
        assert (await world.claim("one")).queues == (queue,)
        await world.do(op.ChangeQueue(queue, "retry", world.now))
        assert (await world.claim("two")).queues == (), "who tries it now is not disturbed"
        await settle(world, queue, outcome(0, "relayed"), owner="one")

    async def test_remove(self, world: World) -> None:
        queue = await world.enqueue()
        blob = (await world.entry(queue)).blob
        await world.do(op.ChangeQueue(queue, "remove", world.now))
        assert await world.store.queue() == ()
        assert await world.store.many_octets(world.alice, [blob]) == [None]

    async def test_acts_that_cannot_be(self, world: World) -> None:
        queue = await world.enqueue()
        await world.fails(BadName, op.ChangeQueue(queue, "explode", world.now))
        for act in ("hold", "release", "retry", "remove"):
            await world.fails(NoSuchThing, op.ChangeQueue(QueueId(987_654), act, world.now))
