"""A store in memory for tests of transfer: what was delivered and queued, with the queue's real rules."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from a3mailer.mail.changes import Change
from a3mailer.mail.errors import Conflict, NoSuchMailbox, NoSuchThing
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, QueueId, ThreadId, Uid
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Mailbox, QueuedRecipient, QueueEntry
from tests.unit.identity.directory_rows import Rows


class MemoryRows(Rows):
    """The part of ``store.ports.Store`` that transfer uses. ``fail`` is raised by the next commits."""

    def __init__(self) -> None:
        super().__init__()
        self.time: Callable[[], float] = lambda: 0.0
        self.mail: dict[tuple[int, int], list[bytes]] = {}
        self.transactions: list[Transaction] = []
        self.blobs: dict[bytes, bytes] = {}
        self.entries: dict[int, QueueEntry] = {}
        self.gone: set[int] = set()
        self.fail: list[Exception] = []
        self.deliveries: dict[bytes, op.Result] = {}
        self._numbers = itertools.count(1)
        self._heard: list[Callable[[Change], None]] = []

    def inbox(self, account: int) -> list[bytes]:
        """What an account's INBOX holds."""
        return self.mail.get((account, 1), [])

    # --- Writer --------------------------------------------------------------------------------------
    async def commit(self, transaction: Transaction) -> tuple[op.Result, ...]:
        if self.fail:
            raise self.fail.pop(0)
        kept = dict(self.entries), {k: list(v) for k, v in self.mail.items()}, dict(self.deliveries)
        try:
            results = tuple(self._apply(each, transaction) for each in transaction.operations)
        except Exception:
            self.entries, self.mail, self.deliveries = kept
            raise
        self.transactions.append(transaction)
        if any(isinstance(each, op.Enqueue | op.ChangeQueue) for each in transaction.operations):
            for heard in list(self._heard):
                heard(Change(AccountId(0), MailboxId(1), ModSeq(0)))
        return results

    def _apply(self, each: op.Operation, transaction: Transaction) -> op.Result:
        done: Any = getattr(self, f"_{type(each).__name__.lower()}")
        result: op.Result = done(each, transaction)
        return result

    def _append(self, each: op.Append, transaction: Transaction) -> op.Result:
        if each.account in self.gone:
            raise NoSuchMailbox
        if each.delivery and each.delivery in self.deliveries:
            return self.deliveries[each.delivery]
        box = self.mail.setdefault((each.account, each.mailbox), [])
        box.append(bytes(transaction.contents[each.content].octets))
        uid = Uid(len(box))
        done = op.Appended(each.mailbox, 1, uid, ModSeq(1), EmailId(uid), ThreadId(uid))
        if each.delivery:
            self.deliveries[each.delivery] = done
        return done

    def _enqueue(self, each: op.Enqueue, transaction: Transaction) -> op.Result:
        number = QueueId(next(self._numbers))
        blob = BlobId(b"%016d" % number)
        octets = bytes(transaction.contents[each.content].octets)
        self.blobs[blob] = octets
        now = int(self.time())
        self.entries[number] = QueueEntry(
            number, each.account, each.tenant, blob, len(octets), each.reverse_path, each.body,
            each.smtputf8, each.return_content, each.envelope_id, each.trace, each.hops, now, False, "", 0,
            tuple(
                QueuedRecipient(n, r.address, r.notify, r.original, "waiting", 0,
                                max(now, each.not_before), 0, "", "", "", False)
                for n, r in enumerate(each.recipients)
            ),
        )  # fmt: skip
        return op.Enqueued(number)

    def _claimqueue(self, each: op.ClaimQueue, transaction: Transaction) -> op.Result:
        given: list[QueueId] = []
        later: list[int] = []
        for entry in self.entries.values():
            due = min((r.next_attempt for r in entry.recipients if r.state == "waiting"), default=0)
            leased = each.now < entry.lease_until <= each.now + 2 * (each.until - each.now)
            if entry.held:
                continue
            if due <= each.now and not leased and len(given) < each.limit:
                given.append(entry.id)
            else:
                later.append(entry.lease_until if leased else due)
        for number in given:
            self._change(number, lease_owner=each.owner, lease_until=each.until)
        return op.Claimed(tuple(given), min(later, default=0))

    def _settlequeue(self, each: op.SettleQueue, transaction: Transaction) -> op.Result:
        entry = self.entries.get(each.queue)
        if entry is None or entry.lease_owner != each.owner:
            raise Conflict
        recipients = list(entry.recipients)
        for o in each.outcomes:
            old = recipients[o.number]
            recipients[o.number] = dataclasses.replace(
                old, state=o.state, attempts=old.attempts + 1, next_attempt=o.next_attempt, code=o.code,
                enhanced=o.enhanced, text=o.text, host=o.host,
                delay_notified=old.delay_notified or o.delay_notified,
            )  # fmt: skip
        if all(r.state != "waiting" for r in recipients):
            del self.entries[each.queue]
            return op.Done()
        owner = each.owner if each.lease_until else ""
        self._change(
            each.queue, recipients=tuple(recipients), lease_owner=owner, lease_until=each.lease_until
        )
        return op.Done()

    def _changequeue(self, each: op.ChangeQueue, transaction: Transaction) -> op.Result:
        if each.queue not in self.entries:
            raise NoSuchThing
        if each.act == "remove":
            del self.entries[each.queue]
        elif each.act in ("hold", "release"):
            self._change(each.queue, held=each.act == "hold")
        else:
            old = self.entries[each.queue].recipients
            due = tuple(dataclasses.replace(r, next_attempt=each.now) for r in old)
            self._change(each.queue, recipients=due)
        return op.Done()

    def _audit(self, each: op.Audit, transaction: Transaction) -> op.Result:
        return op.Done()

    def _change(self, number: int, **fields: Any) -> None:
        self.entries[number] = dataclasses.replace(self.entries[number], **fields)

    # --- readers -------------------------------------------------------------------------------------
    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        if account in self.gone:
            raise NoSuchMailbox
        return Mailbox(account, mailbox, "INBOX", 1, Uid(1), ModSeq(1), 0, 0, 0, 0, "", True, 0, ())

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        return self.blobs[blob][start:end]

    async def queue(self, limit: int = 1000, after: int = 0) -> tuple[QueueEntry, ...]:
        return tuple(e for n, e in sorted(self.entries.items()) if n > after)[:limit]

    async def queue_entry(self, queue: QueueId) -> QueueEntry:
        if queue not in self.entries:
            raise NoSuchThing
        return self.entries[queue]

    def watch(self, heard: Callable[[Change], None]) -> Callable[[], None]:
        self._heard.append(heard)
        return lambda: self._heard.remove(heard)
