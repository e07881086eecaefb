"""The operations on mailboxes (RFC 9051 section 6.3)."""

from __future__ import annotations

from a3mailer.mail.ids import AccountId, MailboxId, ModSeq, Uid
from a3mailer.store.operation import Operation, Result


class CreateMailbox(Operation, frozen=True):
    """RFC 9051 section 6.3.4. ``name`` is the full path, ``/`` between levels; missing parents are made.

    Errors: AlreadyExists, BadName, TooMany. Result: MailboxCreated."""

    account: AccountId
    name: str
    special_use: str = ""
    subscribed: bool = False


class MailboxCreated(Result, frozen=True):
    mailbox: MailboxId
    uid_validity: int
    modseq: ModSeq


class RenameMailbox(Operation, frozen=True):
    """RFC 9051 section 6.3.6, children included; renaming INBOX moves its messages into a new mailbox.

    Errors: NoSuchMailbox, AlreadyExists, BadName."""

    account: AccountId
    mailbox: MailboxId
    name: str


class DeleteMailbox(Operation, frozen=True):
    """RFC 9051 section 6.3.5: its messages are expunged into the vault. Children stay.

    Errors: NoSuchMailbox, NotAllowed (INBOX)."""

    account: AccountId
    mailbox: MailboxId


class SetMailbox(Operation, frozen=True):
    """Change attributes; None leaves one as it is. ``expire_days`` 0 switches expiry off."""

    account: AccountId
    mailbox: MailboxId
    subscribed: bool | None = None
    special_use: str | None = None
    expire_days: int | None = None
    sort_order: int | None = None


class Notice(Operation, frozen=True):
    """A session was told of the messages below ``until``: who comes later is not the first (RFC 3501
    section 2.3.2). 0: of all that there are.

    Nothing of this is news to anybody. Errors: NoSuchMailbox. Result: Noticed."""

    account: AccountId
    mailbox: MailboxId
    until: Uid = Uid(0)


class Noticed(Result, frozen=True):
    """Of messages from ``first`` on, below ``until``, nobody was told before."""

    first: Uid
    until: Uid
