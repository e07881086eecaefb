"""What every part of the compliance suite stands on: a fresh store, an account, a few verbs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from a3mailer.config.tree import Settings
from a3mailer.config.tree import Store as StoreSettings
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    INBOX,
    SYSTEM_ACCOUNT,
    AccountId,
    MailboxId,
    QueueId,
    Uid,
)
from a3mailer.mail.message import MessageIndex
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import Columns, Message

DOMAIN = "example.test"
BODY = b"From: a@example.test\r\nSubject: hello\r\n\r\nhello\r\n"


def message_index(subject: str = "hello", thread_keys: tuple[bytes, ...] = ()) -> MessageIndex:
    """An index whose fragments can be told apart by their subject."""
    name = subject.encode()
    return MessageIndex(
        envelope=b'("' + name + b'")',
        bodystructure=b'("TEXT" "PLAIN" "' + name + b'")',
        preview=f"preview of {subject}",
        subject=subject,
        date=1_000_000_000,
        has_attachment=False,
        thread_keys=thread_keys,
    )


def content(octets: bytes = BODY, subject: str = "hello", thread_keys: tuple[bytes, ...] = ()) -> Content:
    """A content with an index."""
    return Content(octets, message_index(subject, thread_keys))


def uids_of(columns: Columns) -> list[int]:
    """The uids of some columns."""
    return list(columns.uids)


class StoreHarness:
    """One fresh store a test."""

    durable: ClassVar[bool] = True
    settings: ClassVar[Settings] = Settings(store=StoreSettings(segment_size=1 << 20))

    async def open_store(self, directory: Path, settings: Settings) -> Store:
        """A store on this (empty or used) directory."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def opened(self, directory: Path) -> AsyncIterator[Store]:
        """A store that is closed at the end."""
        store = await self.open_store(directory, self.settings)
        try:
            yield store
        finally:
            await store.close()

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        async with self.opened(tmp_path) as store:
            await store.commit(Transaction((op.PutDomain(DEFAULT_TENANT, DOMAIN),)))
            yield store

    @pytest.fixture
    async def account(self, store: Store) -> AccountId:
        return await self.make_account(store)

    async def make_account(self, store: Store, name: str = "alice", quota: int = 0) -> AccountId:
        """An account of the test's domain."""
        create = op.CreateAccount(DEFAULT_TENANT, f"{name}@{DOMAIN}", quota=quota)
        (result,) = await store.commit(Transaction((create,)))
        assert isinstance(result, op.AccountCreated)
        return result.account

    async def append(
        self,
        store: Store,
        account: AccountId,
        mailbox: MailboxId = INBOX,
        octets: bytes = BODY,
        **fields: object,
    ) -> op.Appended:
        """One message."""
        subject = str(fields.pop("subject", "hello"))
        keys = fields.pop("thread_keys", ())
        operation = op.Append(account, mailbox, 0, **fields)  # type: ignore[arg-type]
        one = Content(octets, message_index(subject, keys))  # type: ignore[arg-type]
        (result,) = await store.commit(Transaction((operation,), (one,)))
        assert isinstance(result, op.Appended)
        return result

    async def fill(self, store: Store, account: AccountId, count: int) -> list[op.Appended]:
        """``count`` messages with subjects 1, 2, ... in INBOX, in one transaction."""
        operations = tuple(op.Append(account, INBOX, n) for n in range(count))
        contents = tuple(content(BODY + b"%d" % n, str(n + 1)) for n in range(count))
        results = await store.commit(Transaction(operations, contents))
        assert all(isinstance(r, op.Appended) for r in results)
        return list(results)  # type: ignore[arg-type]

    async def one(self, store: Store, operation: op.Operation) -> op.Result:
        """The result of one operation without contents."""
        (result,) = await store.commit(Transaction((operation,)))
        return result

    async def message(self, store: Store, account: AccountId, mailbox: MailboxId, uid: int) -> Message:
        """The row of one message."""
        (message,) = await store.messages(account, mailbox, [Uid(uid)])
        return message

    async def counters_are_right(self, store: Store, account: AccountId) -> None:
        """The stored counters say what counting says."""
        total = octets = 0
        for mailbox in await store.mailboxes(account):
            row, columns = await store.columns(account, mailbox.id)
            assert row.messages == len(columns.uids)
            assert row.unseen == sum(not flags & SEEN for flags in columns.flags)
            assert row.deleted == sum(flags & DELETED != 0 for flags in columns.flags)
            assert row.octets == sum(columns.sizes)
            assert list(columns.uids) == sorted(set(columns.uids))
            assert all(uid < row.uid_next for uid in columns.uids)
            assert all(modseq <= row.modseq for modseq in columns.modseqs)
            total += row.messages
            octets += row.octets
        entry = await store.account(account)
        assert entry is not None
        assert (entry.used_messages, entry.used_octets) == (total, octets)

    async def enqueue(
        self, store: Store, account: AccountId = SYSTEM_ACCOUNT, not_before: int = 0
    ) -> QueueId:
        """One entry for two recipients."""
        operation = op.Enqueue(
            account,
            DEFAULT_TENANT,
            0,
            f"alice@{DOMAIN}",
            (
                op.QueueRecipient("x@elsewhere.test", ("FAILURE", "DELAY"), "rfc822;x"),
                op.QueueRecipient("y@e.test"),
            ),
            not_before=not_before,
        )
        (result,) = await store.commit(Transaction((operation,), (content(),)))
        assert isinstance(result, op.Enqueued)
        return result.queue
