"""The memory backend with eyes: what was committed, what lies in a mailbox, and commits that fail."""

from __future__ import annotations

import dataclasses
from typing import Any

from a3mailer.mail.ids import INBOX, AccountId, TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import APPLY, MemoryStore
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Account, QueueEntry


class WatchedStore(MemoryStore):
    """``fail`` is raised by the next commits, one each, ``fail_in`` by the next of a tenant;
    ``transactions`` are those that went through."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.transactions: list[Transaction] = []
        self.fail: list[Exception] = []
        self.fail_in: dict[int, Exception] = {}

    async def commit(self, transaction: Transaction) -> tuple[op.Result, ...]:
        if self.fail:
            raise self.fail.pop(0)
        if transaction.tenant in self.fail_in:
            raise self.fail_in.pop(transaction.tenant)
        results = await super().commit(transaction)
        self.transactions.append(transaction)
        return results

    def put(self, operation: op.Operation) -> Any:
        """Execute one operation now, before the test begins."""
        self._state.now = int(self._clock.now())
        result = APPLY[type(operation)](self._state, operation)
        self._state.journal.clear()
        self._state.changes.clear()
        return result

    def put_domain(self, name: str, catch_all: str = "", tenant: int = 1, settings: str = "{}") -> None:
        self.put(op.PutDomain(TenantId(tenant), name, catch_all, settings))

    def put_account(self, address: str, role: str = "user") -> Account:
        made = self.put(op.CreateAccount(TenantId(1), address, role=role))
        return self._state.accounts[made.account]

    def put_alias(self, address: str, *targets: str, kind: str = "alias", tenant: int = 1) -> None:
        self.put(op.PutAlias(TenantId(tenant), address, targets, kind))

    def change(self, account: AccountId, **fields: Any) -> None:
        """Set fields of an account's row."""
        self._state.accounts[account] = dataclasses.replace(self._state.accounts[account], **fields)

    def remove(self, account: AccountId) -> None:
        """An account goes away."""
        self.put(op.RemoveAccount(account, 0))

    def inbox(self, account: int) -> list[bytes]:
        """What an account's INBOX holds, in the order of its uids."""
        rows = self._state.messages.get((AccountId(account), INBOX), {})
        return [self._state.blobs[rows[uid].blob] for uid in sorted(rows)]

    @property
    def entries(self) -> list[QueueEntry]:
        """The queue, oldest first."""
        return sorted(self._state.queue.values(), key=lambda entry: entry.id)

    def content(self, entry: QueueEntry) -> bytes:
        """What a queue entry holds."""
        return self._state.blobs[entry.blob]
