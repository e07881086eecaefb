"""The rules of transactions: all or none, answered once, and heard of by who watches."""

from __future__ import annotations

import asyncio

import pytest

from a3mailer.mail.errors import (
    AddressReserved,
    AlreadyExists,
    BadName,
    Conflict,
    MailError,
    NoSuchAccount,
    NoSuchDomain,
    NoSuchMailbox,
    NoSuchThing,
    NotAllowed,
    OverQuota,
)
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, SYSTEM_ACCOUNT, AccountId, MailboxId, QueueId, Uid
from a3mailer.store import operations as op
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Transaction
from a3mailer.testing.store.case import Ear, StoreCase, World, content, mail
from a3mailer.testing.store.picture import picture

NOBODY = AccountId(987_654)
NOWHERE = MailboxId(987_654)

FAILING: tuple[tuple[type[MailError], Operation], ...] = (
    (NoSuchMailbox, op.Append(AccountId(1), NOWHERE, 0)),
    (NoSuchMailbox, op.Copy(AccountId(1), INBOX, (Uid(1),), NOWHERE)),
    (NoSuchMailbox, op.StoreFlags(AccountId(1), NOWHERE, (Uid(1),), "+", SEEN)),
    (NoSuchAccount, op.CreateMailbox(NOBODY, "x")),
    (AlreadyExists, op.CreateMailbox(AccountId(1), "Drafts")),
    (BadName, op.CreateMailbox(AccountId(1), "a//b")),
    (NotAllowed, op.DeleteMailbox(AccountId(1), INBOX)),
    (NoSuchDomain, op.CreateAccount(DEFAULT_TENANT, "x@nowhere.test")),
    (AlreadyExists, op.CreateAccount(DEFAULT_TENANT, "bob@a.test")),
    (Conflict, op.SettleQueue(QueueId(987_654), "worker", (), 1)),
    (NoSuchThing, op.ChangeQueue(QueueId(987_654), "hold", 1)),
    (Conflict, op.RemoveDomain("a.test")),
    (NoSuchAccount, op.RemoveAccount(NOBODY, 0)),
)


class TransactionRules(StoreCase):
    """``commit`` and ``watch``."""

    async def _lived_in(self, world: World) -> tuple[Operation, ...]:
        """Some history, and one operation of nearly every kind that would go well after it."""
        added = await world.fill(world.alice, 5)
        work = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Work/now"))
        await world.expunge(world.alice, 5)
        queue = await world.enqueue()
        taken = await world.enqueue()
        await world.claim(limit=1)
        gone = await world.create("gone@a.test")
        alice, sent = world.alice, await world.named(world.alice, "Sent")
        return (
            op.Append(alice, INBOX, 0, SEEN, ("word",), delivery=b"key"),
            op.Append(world.bob, INBOX, 0),
            op.AppendInto(world.bob, INBOX, 0, name="Made/here", delivery=b"key"),
            op.Copy(alice, INBOX, (Uid(1), Uid(2)), work.mailbox),
            op.Copy(alice, INBOX, (Uid(2),), sent, move=True),
            op.StoreFlags(alice, INBOX, (Uid(1), Uid(3)), "+", SEEN, ("word",)),
            op.Expunge(alice, INBOX, (Uid(3),)),
            op.Undelete(alice, (added[4].email,), INBOX),
            op.EraseEmails(alice, (added[3].email,)),
            op.PurgeVault(world.now + 1),
            op.SetMailbox(alice, sent, subscribed=False, expire_days=1),
            op.ExpireMailboxes(world.now + 10 * 86_400),
            op.RenameMailbox(alice, work.mailbox, "Play/now"),
            op.RenameMailbox(alice, INBOX, "Old"),
            op.DeleteMailbox(alice, sent),
            op.Enqueue(alice, DEFAULT_TENANT, 0, "alice@a.test", (op.QueueRecipient("carol@b.test"),)),
            op.ClaimQueue("other", world.now, world.now + 60),
            op.ChangeQueue(queue, "hold", world.now),
            op.ChangeQueue(taken, "remove", world.now),
            op.PutDomain(DEFAULT_TENANT, "c.test"),
            op.CreateAccount(DEFAULT_TENANT, "new@a.test"),
            op.ChangeAccount(alice, quota=10_000_000, role="auditor"),
            op.RenameAccount(alice, "anna@a.test"),
            op.PutAlias(DEFAULT_TENANT, "team@a.test", ("bob@a.test",), "group"),
            op.PutCredential(alice, "", "password", "hash"),
            op.PutToken(alice, b"t" * 32, "phone", "", 0, world.now),
            op.BumpEpoch(world.bob),
            op.Audit(DEFAULT_TENANT, "alice", "test", "x", "done"),
            op.PutSetting("a.b", "c"),
            op.ResetAccount(world.bob),
            op.RemoveAccount(gone, world.now + 100),
        )

    async def test_everything_of_a_transaction_is_done(self, world: World) -> None:
        operations = await self._lived_in(world)
        before = await picture(world.store)
        results = await world.do(*operations, contents=(mail("new"),))
        assert len(results) == len(operations)
        assert await picture(world.store) != before

    @pytest.mark.parametrize(
        ("error", "last"), FAILING, ids=lambda x: getattr(x, "__name__", type(x).__name__)
    )
    async def test_or_nothing_of_it(self, world: World, error: type[MailError], last: Operation) -> None:
        operations = await self._lived_in(world)
        await world.fails(error, *operations, last, contents=(mail("new"),))
        await world.do(*operations, contents=(mail("new"),))

    async def test_each_good_operation_before_a_bad_one_is_undone(self, world: World) -> None:
        operations = await self._lived_in(world)
        bad = op.ChangeQueue(QueueId(987_654), "hold", 1)
        for operation in operations:
            await world.fails(NoSuchThing, operation, bad, contents=(mail("new"),))

    async def test_a_failure_spoils_nothing_beside_it(self, world: World) -> None:
        good = [Transaction((op.Append(world.alice, INBOX, 0),), (content(mail(f"{n}")),)) for n in range(6)]
        bad = Transaction(
            (op.Append(world.alice, INBOX, 0), op.Append(world.alice, NOWHERE, 0)), good[0].contents
        )
        failed = []

        async def send(transaction: Transaction) -> None:
            try:
                await world.store.commit(transaction)
            except NoSuchMailbox:
                failed.append(transaction)

        async with asyncio.TaskGroup() as group:
            for n in range(6):
                group.create_task(send(good[n]))
                group.create_task(send(bad))
        assert len(failed) == 6
        assert await world.uids(world.alice) == [1, 2, 3, 4, 5, 6]
        box = await world.box(world.alice)
        assert (box.messages, box.uid_next) == (6, 7)

    async def test_an_empty_transaction(self, world: World) -> None:
        assert await world.store.commit(Transaction(())) == ()

    async def test_later_operations_see_earlier_ones(self, world: World) -> None:
        sent = await world.named(world.alice, "Sent")
        results = await world.do(
            op.Append(world.alice, INBOX, 0),
            op.StoreFlags(world.alice, INBOX, (Uid(1),), "+", SEEN),
            op.Copy(world.alice, INBOX, (Uid(1),), sent),
            op.Expunge(world.alice, INBOX, (Uid(1),)),
            op.CreateAccount(DEFAULT_TENANT, "carol@a.test"),
            op.PutAlias(DEFAULT_TENANT, "caro@a.test", ("carol@a.test",)),
            contents=(mail(),),
        )
        assert isinstance(results[1], op.Flagged)
        assert results[1].changed == (1,)
        assert isinstance(results[2], op.Copied)
        assert results[2].pairs == ((1, 1),)
        assert isinstance(results[4], op.AccountCreated)
        assert (await world.address("caro@a.test")).account == results[4].account
        assert (await world.message(world.alice, Uid(1), sent)).flags == SEEN

    async def test_quota_is_counted_inside_a_transaction(self, world: World) -> None:
        await world.do(op.ChangeAccount(world.alice, quota=2 * len(mail())))
        one = op.Append(world.alice, INBOX, 0)
        await world.fails(OverQuota, one, one, one, contents=(mail(),))
        await world.do(one, one, contents=(mail(),))

    async def test_a_name_freed_in_a_transaction_is_free(self, world: World) -> None:
        await world.do(
            op.RemoveAccount(world.alice, 0),
            op.CreateAccount(DEFAULT_TENANT, "alice@a.test"),
        )
        assert (await world.address("alice@a.test")).account != world.alice
        await world.fails(
            AddressReserved,
            op.RemoveAccount(world.bob, world.now + 10),
            op.CreateAccount(DEFAULT_TENANT, "bob@a.test"),
        )

    async def test_the_same_mail_sent_twice_arrives_twice(self, world: World) -> None:
        """A fingerprint answers the retry after a crash only (ADR 0010)."""
        one = Transaction((op.Append(world.alice, INBOX, 0),), (content(mail()),), fingerprint=b"f" * 32)
        first, second = await world.store.commit(one), await world.store.commit(one)
        assert first != second
        assert await world.uids(world.alice) == [1, 2]

    async def test_a_doubted_mail_is_answered_once_more_and_not_stored(self, world: World) -> None:
        """Whoever brought it went without a word; its retry is one, what comes after that is not."""
        one = Transaction((op.Append(world.alice, INBOX, 0),), (content(mail()),), fingerprint=b"f" * 32)
        await world.store.commit(one)
        await world.store.commit(Transaction((op.Doubt((b"f" * 32, b"g" * 32)),)))
        assert await world.store.commit(one) == ()
        assert await world.uids(world.alice) == [1]
        await world.store.commit(one)
        assert await world.uids(world.alice) == [1, 2]

    async def test_a_doubt_that_fails_with_its_transaction_is_none(self, world: World) -> None:
        one = Transaction((op.Append(world.alice, INBOX, 0),), (content(mail()),), fingerprint=b"f" * 32)
        await world.store.commit(one)
        with pytest.raises(NoSuchMailbox):
            await world.store.commit(
                Transaction((op.Doubt((b"f" * 32,)), op.Append(world.alice, NOWHERE, 0)), (content(mail()),))
            )
        assert await world.store.commit(one) != ()
        assert await world.uids(world.alice) == [1, 2]

    # --- hints -------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("operation", "place"),
        [
            (op.Append(AccountId(1), INBOX, 0), (1, INBOX)),
            (op.StoreFlags(AccountId(1), INBOX, (Uid(1),), "+", SEEN), (1, INBOX)),
            (op.Expunge(AccountId(1), INBOX, (Uid(1),)), (1, INBOX)),
            (op.Copy(AccountId(1), INBOX, (Uid(1),), MailboxId(2)), (1, 2)),
            (op.Copy(AccountId(1), INBOX, (Uid(1),), MailboxId(2), move=True), (1, INBOX)),
            (op.CreateMailbox(AccountId(1), "Work"), (1, 0)),
            (op.RenameMailbox(AccountId(1), MailboxId(2), "Work"), (1, 0)),
            (op.DeleteMailbox(AccountId(1), MailboxId(2)), (1, 0)),
            (op.SetMailbox(AccountId(1), MailboxId(2), subscribed=False), (1, 0)),
            (op.ChangeAccount(AccountId(1), quota=5), (SYSTEM_ACCOUNT, 0)),
            (op.PutAlias(DEFAULT_TENANT, "x@a.test", ("bob@a.test",)), (SYSTEM_ACCOUNT, 0)),
            (op.PutSetting("a.b", "c"), (SYSTEM_ACCOUNT, 0)),
            (
                op.Enqueue(AccountId(1), DEFAULT_TENANT, 0, "", (op.QueueRecipient("c@b.test"),)),
                (SYSTEM_ACCOUNT, 1),
            ),
        ],
        ids=lambda x: type(x).__name__ if isinstance(x, Operation) else "",
    )
    async def test_a_change_is_heard(
        self, world: World, operation: Operation, place: tuple[AccountId, MailboxId]
    ) -> None:
        assert world.alice == 1
        await world.append(world.alice, mail("there before"))
        ear = Ear(world.store)
        await world.do(operation, contents=(mail(),))
        await ear.hears_of(*place)
        if place[0] == world.alice:
            modseq = (await world.account(world.alice)).modseq
            assert max(c.modseq for c in ear.changes if (c.account, c.mailbox) == place) == modseq
        ear.stop()

    async def test_who_hears_reads_what_was_told(self, world: World) -> None:
        ear = Ear(world.store)
        found: list[int] = []

        async def listen() -> None:
            await ear.hears_of(world.alice, INBOX)
            found.extend((await world.changes(world.alice)).changed.uids)

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            await world.append(world.alice)
        assert found == [1]
        ear.stop()

    async def test_a_failed_transaction_and_one_that_changes_nothing_are_not_heard(
        self, world: World
    ) -> None:
        await world.append(world.alice, flags=SEEN)
        first = Ear(world.store)
        await world.append(world.bob, mail("before"))
        await first.hears_of(world.bob, INBOX)
        first.stop()
        ear = Ear(world.store)
        good, bad = op.Append(world.alice, INBOX, 0), op.Append(world.alice, NOWHERE, 0)
        await world.fails(NoSuchMailbox, good, bad, contents=(mail(),))
        await world.flag(world.alice, (1,), "+", SEEN)
        await world.expunge(world.alice, 77)
        queue = await world.enqueue(lease_owner="one", lease_until=world.now + 60)  # it is theirs to try
        relayed = (op.RecipientOutcome(0, "relayed"),)
        await world.one(op.Done, op.SettleQueue(queue, "one", relayed, world.now))
        await world.append(world.bob, mail("the end"))
        await ear.hears_of(world.bob, INBOX)
        assert not [place for place in ear.places() if place[0] in (world.alice, SYSTEM_ACCOUNT)]
        ear.stop()

    async def test_who_stopped_hears_no_more(self, world: World) -> None:
        stopped, ear = Ear(world.store), Ear(world.store)
        stopped.stop()
        await world.append(world.alice)
        await ear.hears_of(world.alice, INBOX)
        assert stopped.changes == []
        ear.stop()
