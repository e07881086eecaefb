"""Operations on emails, wherever they lie (RFC 8621 section 4): all rows of an email in one act.

What ``operations`` says of operations holds for them.
"""

from __future__ import annotations

from a3mailer.mail.ids import AccountId, EmailId, MailboxId, ModSeq
from a3mailer.store.operation import Operation, Result


class ChangeEmail(Operation, frozen=True):
    """Keywords and mailboxes of one email, in all rows that are not marked \\Deleted. Result: Done.

    ``mailboxes`` is what it is in afterwards; None leaves that as it is but for ``into`` and ``out_of``. Rows
    it gets have the flags of those it has; one that is marked \\Deleted there is unmarked instead.
    ``keywords_off`` None takes away every keyword but ``keywords``.
    Errors: NoSuchMessage, NoSuchMailbox (one that it is to be in, or it would be in none), OverQuota,
    TooMany."""

    account: AccountId
    email: EmailId
    flags_on: int = 0
    flags_off: int = 0
    keywords: tuple[str, ...] = ()
    keywords_off: tuple[str, ...] | None = ()
    mailboxes: tuple[MailboxId, ...] | None = None
    into: tuple[MailboxId, ...] = ()
    out_of: tuple[MailboxId, ...] = ()


class DestroyEmails(Operation, frozen=True):
    """Expunge every row of these emails into the vault. Result: Destroyed."""

    account: AccountId
    emails: tuple[EmailId, ...]


class Destroyed(Result, frozen=True):
    emails: tuple[EmailId, ...]
    """Those that were there, in ascending order."""
    modseq: ModSeq


class RememberSignature(Operation, frozen=True):
    """Keep what was found out of the signature of an email with its fragments. Result: Done.

    ``told``: clients were told otherwise, so that the email counts as changed, in all its rows. Else nobody
    is told and no modseq is taken. Errors: NoSuchMessage."""

    account: AccountId
    email: EmailId
    value: bytes
    """A few sentences; what they say is the access floor's own."""
    told: bool = False
