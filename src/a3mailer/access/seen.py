"""Another's mailbox, read as one of its readers sees it: what ``OpenMailbox`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from a3mailer.mail.ids import AccountId, MailboxId, ModSeq, Uid
from a3mailer.store.ports import MailReader, SeenReader
from a3mailer.store.rows import Changes, Columns, Mailbox, Message


class MailboxReader(Protocol):
    """The part of ``MailReader`` that an open mailbox needs."""

    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        """Errors: NoSuchMailbox."""
        ...

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        """Errors: NoSuchMailbox."""
        ...

    async def first_unseen(self, account: AccountId, mailbox: MailboxId) -> tuple[ModSeq, int]:
        """Errors: NoSuchMailbox."""
        ...

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        """Errors: NoSuchMailbox."""
        ...

    async def preceding(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> tuple[ModSeq, list[int]]:
        """As ``MailReader``. Errors: NoSuchMailbox."""
        ...

    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        """As ``MailReader``."""
        ...

    async def internal_dates(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> list[int | None]:
        """As ``MailReader``."""
        ...


class Reader(MailReader, SeenReader, Protocol):
    """What is read here."""


class SeenBy:
    """A ``MailboxReader`` with the marks of ``reader``."""

    __slots__ = ("_reader", "_store")

    def __init__(self, store: Reader, reader: AccountId) -> None:
        self._store = store
        self._reader = reader

    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        """The row, with the reader's count of unseen messages."""
        return await self._store.mailbox_seen_by(self._reader, account, mailbox)

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        """As the reader sees them."""
        return await self._store.columns_seen_by(self._reader, account, mailbox)

    async def first_unseen(self, account: AccountId, mailbox: MailboxId) -> tuple[ModSeq, int]:
        """Of what the reader has not seen."""
        return await self._store.first_unseen_by(self._reader, account, mailbox)

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        """As the reader sees them."""
        return await self._store.changes_seen_by(self._reader, account, mailbox, since)

    async def preceding(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> tuple[ModSeq, list[int]]:
        """Everybody's."""
        return await self._store.preceding(account, mailbox, uids)

    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        """Rows; their \\Seen is the owner's."""
        return await self._store.messages(account, mailbox, uids)

    async def internal_dates(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> list[int | None]:
        """Everybody's."""
        return await self._store.internal_dates(account, mailbox, uids)
