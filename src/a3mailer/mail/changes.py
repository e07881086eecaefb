"""What changed: the hint every view of a mailbox wakes on."""

from __future__ import annotations

from typing import Final, NamedTuple

from a3mailer.mail.ids import AccountId, MailboxId, ModSeq


class Change(NamedTuple):
    """Something of ``mailbox`` changed and its account's modseq is now ``modseq``.

    A hint only: who receives it reads the store since the modseq it knows, so a lost, doubled or
    late one costs nothing. ``mailbox`` 0 means the account's tree of mailboxes, SCRIPTS its Sieve scripts;
    account 0 with mailbox 0 means the directory, with mailbox 1 the queue, with mailbox 2 (``RIGHTS``) the
    rights on mailboxes. A tuple, because every worker makes one for every delivery.
    """

    account: AccountId
    mailbox: MailboxId
    modseq: ModSeq


SCRIPTS: Final = MailboxId(-1)
"""In place of a mailbox: the scripts of an account."""
ANNOTATIONS: Final = MailboxId(-2)
"""In place of a mailbox: the annotations that an account keeps (RFC 5464)."""
PUSHES: Final = MailboxId(-3)
"""In place of a mailbox: the push subscriptions of an account."""
NOTICES: Final = MailboxId(-4)
"""In place of a mailbox: what an account is told of its rights on mailboxes of others (RFC 9670)."""
QUEUE: Final = (AccountId(0), MailboxId(1))
"""Account and mailbox of the change that something of the queue is due."""
RIGHTS: Final = (AccountId(0), MailboxId(2))
"""Account and mailbox of the change that somebody's rights on mailboxes are others now."""
EVERYTHING: Final = Change(AccountId(-1), MailboxId(0), ModSeq(0))
"""Hints were lost: anything may have changed, every view looks for itself."""
