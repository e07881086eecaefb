"""What is read of an account as a whole (RFC 8621): the store shows all, ``lent.Lent`` what one may see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from a3mailer.mail.ids import AccountId, BlobId, EmailId
from a3mailer.store.ports import AccountReader
from a3mailer.store.rows import Document, Fragments, Mailbox


class AccountView(AccountReader, Protocol):
    """The part of the store's readers that shows an account's mail; each method is as it is there."""

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]: ...
    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        """As ``MailReader``."""
        ...

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """As ``MailReader``."""
        ...

    async def content_size(self, account: AccountId, blob: BlobId) -> int:
        """As ``MailReader``."""
        ...

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None:
        """As ``DocumentReader``."""
        ...
