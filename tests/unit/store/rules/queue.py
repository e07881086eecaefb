"""Compliance: the queue, hints, and what is there after reopening."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from a3mailer.mail import errors
from a3mailer.mail.changes import Change
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    INBOX,
    SYSTEM_ACCOUNT,
    AccountId,
    BlobId,
    QueueId,
    Uid,
)
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from tests.unit.store.rules.harness import BODY, DOMAIN, StoreHarness, content


class QueueCompliance(StoreHarness):
    """The queue and the store as a whole."""

    async def test_queue_entry(self, store: Store, account: AccountId) -> None:
        number = await self.enqueue(store, account, 500)
        entry = await store.queue_entry(number)
        assert (entry.account, entry.reverse_path, entry.size) == (account, f"alice@{DOMAIN}", len(BODY))
        assert [r.address for r in entry.recipients] == ["x@elsewhere.test", "y@e.test"]
        assert entry.recipients[0].notify == ("FAILURE", "DELAY")
        assert entry.recipients[0].original == "rfc822;x"
        assert {(r.state, r.next_attempt) for r in entry.recipients} == {("waiting", 500)}
        assert await store.octets(account, entry.blob) == BODY
        assert await store.queue() == (entry,)
        with pytest.raises(errors.NoSuchThing):
            await store.queue_entry(QueueId(12345))

    async def test_leases(self, store: Store) -> None:
        one, two = await self.enqueue(store, not_before=100), await self.enqueue(store, not_before=200)
        assert await self.one(store, op.ClaimQueue("w1", 50, 350)) == op.Claimed((), 100)
        assert await self.one(store, op.ClaimQueue("w1", 150, 400)) == op.Claimed((one,), 200)
        assert await self.one(store, op.ClaimQueue("w2", 250, 500)) == op.Claimed((two,), 0)
        assert await self.one(store, op.ClaimQueue("w2", 399, 500)) == op.Claimed((), 0)
        assert await self.one(store, op.ClaimQueue("w2", 400, 600)) == op.Claimed((one,), 0)
        assert (await store.queue_entry(one)).lease_owner == "w2"
        with pytest.raises(errors.Conflict):
            await self.one(store, op.SettleQueue(one, "w1", (op.RecipientOutcome(0, "relayed"),), 420))

    async def test_settle(self, store: Store) -> None:
        number = await self.enqueue(store, not_before=100)
        await self.one(store, op.ClaimQueue("w", 100, 400))
        outcomes = (
            op.RecipientOutcome(0, "relayed", 250, "2.0.0", "ok", "mx.e.test"),
            op.RecipientOutcome(1, "waiting", 451, "4.0.0", "later", "mx.e.test", 1000, True),
        )
        await self.one(store, op.SettleQueue(number, "w", outcomes, 120))
        entry = await store.queue_entry(number)
        waiting = entry.recipients[1]
        assert (waiting.state, waiting.attempts, waiting.next_attempt) == ("waiting", 1, 1000)
        assert (waiting.code, waiting.text, waiting.delay_notified) == (451, "later", True)
        assert await self.one(store, op.ClaimQueue("w", 999, 1100)) == op.Claimed((), 1000)
        assert await self.one(store, op.ClaimQueue("w", 1000, 1100)) == op.Claimed((number,), 0)
        last = (op.RecipientOutcome(1, "failed", 550),)
        await self.one(store, op.SettleQueue(number, "w", last, 1010))
        assert await store.queue() == ()
        with pytest.raises(errors.NoSuchMessage):
            await store.octets(SYSTEM_ACCOUNT, entry.blob)

    async def test_operators_acts(self, store: Store) -> None:
        number = await self.enqueue(store, not_before=100)
        await self.one(store, op.ChangeQueue(number, "hold", 0))
        assert (await store.queue_entry(number)).held
        assert await self.one(store, op.ClaimQueue("w", 200, 300)) == op.Claimed((), 0)
        await self.one(store, op.ChangeQueue(number, "release", 0))
        await self.one(store, op.ChangeQueue(number, "retry", 50))
        assert await self.one(store, op.ClaimQueue("w", 50, 60)) == op.Claimed((number,), 0)
        await self.one(store, op.ChangeQueue(number, "remove", 0))
        assert await store.queue() == ()
        with pytest.raises(errors.NoSuchThing):
            await self.one(store, op.ChangeQueue(number, "remove", 0))

    async def test_delivery_and_relay_together(self, store: Store, account: AccountId) -> None:
        relay = op.Enqueue(account, DEFAULT_TENANT, 0, "", (op.QueueRecipient("z@e.test"),))
        results = await store.commit(Transaction((op.Append(account, INBOX, 0), relay), (content(),)))
        assert isinstance(results[1], op.Enqueued)
        await self.one(store, op.ChangeQueue(results[1].queue, "remove", 0))
        blob = (await self.message(store, account, INBOX, 1)).blob
        assert await store.octets(account, blob) == BODY

    async def test_watchers_hear(self, store: Store, account: AccountId) -> None:
        import asyncio

        heard: list[Change] = []
        arrived = asyncio.Event()

        def hear(change: Change) -> None:
            heard.append(change)
            if (change.account, change.mailbox) == (account, INBOX):
                arrived.set()

        stop = store.watch(hear)
        done = await self.append(store, account)
        async with asyncio.timeout(5):
            await arrived.wait()
        assert Change(account, INBOX, done.modseq) in heard
        stop()
        heard.clear()
        await self.append(store, account)
        await asyncio.sleep(0.05)
        assert heard == []

    async def test_it_is_all_there_after_reopening(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        async with self.opened(tmp_path) as store:
            await store.commit(Transaction((op.PutDomain(DEFAULT_TENANT, DOMAIN),)))
            account = await self.make_account(store)
            await self.fill(store, account, 20)
            await self.one(store, op.Expunge(account, INBOX, (Uid(3),)))
            row, columns = await store.columns(account, INBOX)
        async with self.opened(tmp_path) as store:
            again, found = await store.columns(account, INBOX)
            assert (again, found) == (row, columns)
            blobs: Sequence[BlobId] = [m.blob for m in await store.messages(account, INBOX, list(found.uids))]  # type: ignore[arg-type]
            expected = [BODY + b"%d" % (uid - 1) for uid in found.uids]
            assert await store.many_octets(account, blobs) == expected
            assert (await self.append(store, account)).uid == 21
            await self.counters_are_right(store, account)
