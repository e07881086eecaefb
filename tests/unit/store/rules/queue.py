"""Compliance: the queue, hints, and what is there after reopening."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a3mailer.mail.changes import Change
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    INBOX,
    AccountId,
    BlobId,
    Uid,
)
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from tests.unit.store.rules.harness import BODY, DOMAIN, StoreHarness, content


class QueueCompliance(StoreHarness):
    """The queue and the store as a whole."""

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
