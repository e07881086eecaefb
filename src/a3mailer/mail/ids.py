"""The identifiers of the house, each its own type so that none is taken for another."""

from __future__ import annotations

from typing import Final, NewType

TenantId = NewType("TenantId", int)
AccountId = NewType("AccountId", int)
"""Globally unique and never reused; every table's key begins with it. 0 is the system's own account."""
MailboxId = NewType("MailboxId", int)
"""Unique inside an account, never reused (RFC 8474 MAILBOXID)."""
Uid = NewType("Uid", int)
UidValidity = NewType("UidValidity", int)
ModSeq = NewType("ModSeq", int)
"""One counter an account: mailboxes' HIGHESTMODSEQ and JMAP states are both read from it (RFC 7162)."""
EmailId = NewType("EmailId", int)
"""One message of one account; kept by COPY's source and by MOVE (RFC 8474 EMAILID)."""
ThreadId = NewType("ThreadId", int)
QueueId = NewType("QueueId", int)
BlobId = NewType("BlobId", bytes)
"""16 octets: 6 of milliseconds, 10 random, so that new rows cluster."""

SYSTEM_ACCOUNT: Final = AccountId(0)
DEFAULT_TENANT: Final = TenantId(1)
INBOX: Final = MailboxId(1)
"""Every account's first mailbox; its id never changes and it cannot be deleted (RFC 9051 section 5.1)."""
