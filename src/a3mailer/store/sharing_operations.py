"""The operations on mailboxes that several people use: rights (RFC 4314), and what each has seen."""

from __future__ import annotations

from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.store.operation import Operation


class ChangeGrant(Operation, frozen=True):
    """Change what ``identifier`` (``mail.rights``) may do with a mailbox; without any right it is forgotten.

    ``mode`` is ``=``, ``+`` or ``-``. Mailbox ``ROOT`` is the account itself. A new mailbox begins with the
    rights of its parent, or of ``ROOT``; they go with their mailbox, with the account or group they are given
    to. The mailbox counts as changed. Watchers hear of the account's tree and of ``mail.changes.RIGHTS``.
    Errors: NoSuchAccount, NoSuchMailbox, BadName, TooMany. Result: Done."""

    account: AccountId
    mailbox: MailboxId
    identifier: str
    mode: str
    rights: str


class SeeNewest(Operation, frozen=True):
    """``reader`` has seen the last ``count`` messages of another's mailbox: those that it has just put there.

    Errors: NoSuchMailbox, NoSuchAccount. Result: Done."""

    account: AccountId
    mailbox: MailboxId
    reader: AccountId
    count: int
