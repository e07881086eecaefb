"""Everything that can be written: plain values, executed all or none as one durable transaction.

Each operation is executed by one function of a backend (``store/backends/*/apply_*.py``, one table),
and each has one result type. They cross a process boundary as MessagePack arrays, so fields are only
ever appended. ``content`` fields count the contents of their ``Transaction``.
"""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.mail.flags import ALL_FLAGS
from a3mailer.mail.ids import (
    SYSTEM_ACCOUNT,
    AccountId,
    BlobId,
    EmailId,
    MailboxId,
    ModSeq,
    QueueId,
    TenantId,
    ThreadId,
    Uid,
)
from a3mailer.store.document_operations import PutDocument as PutDocument
from a3mailer.store.document_operations import RemoveDocument as RemoveDocument
from a3mailer.store.email_operations import ChangeEmail as ChangeEmail
from a3mailer.store.email_operations import Destroyed as Destroyed
from a3mailer.store.email_operations import DestroyEmails as DestroyEmails
from a3mailer.store.email_operations import RememberSignature as RememberSignature
from a3mailer.store.mailbox_operations import CreateMailbox as CreateMailbox
from a3mailer.store.mailbox_operations import DeleteMailbox as DeleteMailbox
from a3mailer.store.mailbox_operations import MailboxCreated as MailboxCreated
from a3mailer.store.mailbox_operations import Notice as Notice
from a3mailer.store.mailbox_operations import Noticed as Noticed
from a3mailer.store.mailbox_operations import RenameMailbox as RenameMailbox
from a3mailer.store.mailbox_operations import SetMailbox as SetMailbox
from a3mailer.store.operation import Done as Done
from a3mailer.store.operation import Operation as Operation
from a3mailer.store.operation import Purged as Purged
from a3mailer.store.operation import Result as Result
from a3mailer.store.report_operations import AddTallies as AddTallies
from a3mailer.store.report_operations import DropReports as DropReports
from a3mailer.store.report_operations import DropTallies as DropTallies
from a3mailer.store.report_operations import PutReport as PutReport
from a3mailer.store.report_operations import Tallied as Tallied
from a3mailer.store.report_operations import Tally as Tally
from a3mailer.store.sharing_operations import ChangeGrant as ChangeGrant
from a3mailer.store.sharing_operations import SeeNewest as SeeNewest
from a3mailer.store.upload_operations import PutUpload as PutUpload
from a3mailer.store.upload_operations import Uploaded as Uploaded

# --- messages --------------------------------------------------------------------------------------


class Append(Operation, frozen=True):
    """Put content number ``content`` into a mailbox. Result: Appended. Errors: NoSuchMailbox, OverQuota.

    ``check_quota`` is off for delivery (quota is refused at RCPT; after that one mail may exceed it).
    ``delivery`` makes it idempotent: a (queue id, recipient) key that is known is answered, not repeated."""

    account: AccountId
    mailbox: MailboxId
    content: int
    flags: int = 0
    keywords: tuple[str, ...] = ()
    internal_date: int = 0
    """Seconds since the epoch; 0 = now."""
    check_quota: bool = True
    delivery: bytes = b""
    also: tuple[MailboxId, ...] = ()
    """Further mailboxes it is in from the beginning, as if copied there."""


class AppendInto(Append, frozen=True):
    """Put it into the mailbox that is called ``name``, which is made, subscribed, where there is none.

    Where it cannot be made, for its name or as there are too many, into ``mailbox``. Result: Appended."""

    name: str = ""
    special_use: str = ""
    """Of a mailbox that is made."""


class Appended(Result, frozen=True):
    mailbox: MailboxId
    uid_validity: int
    uid: Uid
    modseq: ModSeq
    email: EmailId
    thread: ThreadId


class Copy(Operation, frozen=True):
    """RFC 9051 section 6.4.7, all or none; uids that are gone are left out. Result: Copied.

    Errors: NoSuchMailbox, OverQuota. ``move`` expunges the sources in the same act (RFC 6851).
    What is not in ``mask`` (flags) and ``words`` (keywords) is not copied; of \\Seen it is the reader's."""

    account: AccountId
    source: MailboxId
    uids: tuple[Uid, ...]
    target: MailboxId
    move: bool = False
    reader: AccountId = SYSTEM_ACCOUNT
    mask: int = ALL_FLAGS
    words: bool = True


class Copied(Result, frozen=True):
    uid_validity: int
    pairs: tuple[tuple[Uid, Uid], ...]
    """(source uid, target uid), ascending."""
    modseq: ModSeq


class StoreFlags(Operation, frozen=True):
    """RFC 9051 section 6.4.6 and RFC 7162 section 3.1.3. ``mode`` is ``+``, ``-`` or ``=``.

    Messages whose modseq is above ``unchanged_since`` (when >= 0) are left and reported. Only messages
    that really change get a new modseq. Only flags in ``mask`` change, keywords with ``words``.
    With a ``reader`` \\Seen is its own mark in another's mailbox, and counts for ``unchanged_since``.
    Result: Flagged."""

    account: AccountId
    mailbox: MailboxId
    uids: tuple[Uid, ...]
    mode: str
    flags: int
    keywords: tuple[str, ...] = ()
    unchanged_since: int = -1
    reader: AccountId = SYSTEM_ACCOUNT
    mask: int = ALL_FLAGS
    words: bool = True


class Flagged(Result, frozen=True):
    changed: tuple[Uid, ...]
    refused: tuple[Uid, ...]
    modseq: ModSeq


class Expunge(Operation, frozen=True):
    """Remove messages into the vault; ``only_deleted`` keeps those without \\Deleted. Result: Expunged.

    With ``every``: NoSuchMessage when one of them is gone already."""

    account: AccountId
    mailbox: MailboxId
    uids: tuple[Uid, ...]
    only_deleted: bool = False
    every: bool = False


class Expunged(Result, frozen=True):
    uids: tuple[Uid, ...]
    modseq: ModSeq


class Undelete(Operation, frozen=True):
    """Put expunged messages of the vault back into ``target`` under new uids. Result: Copied."""

    account: AccountId
    emails: tuple[EmailId, ...]
    target: MailboxId


class PurgeVault(Operation, frozen=True):
    """Forget contents expunged before ``before`` (seconds); tombstones stay. Result: Purged."""

    before: int
    limit: int = 1000


class ExpireMailboxes(Operation, frozen=True):
    """Expunge what the mailboxes' ``expire_days`` says is over at ``now``. Result: Purged."""

    now: int
    limit: int = 1000


# --- queue -----------------------------------------------------------------------------------------


class QueueRecipient(msgspec.Struct, frozen=True, array_like=True):
    """One forward-path to relay to, with its DSN parameters."""

    address: str
    notify: tuple[str, ...] = ()
    original: str = ""


class Enqueue(Operation, frozen=True):
    """Take responsibility for relaying content number ``content``. Result: Enqueued.

    ``account`` is the owner (submitter, forwarder), SYSTEM_ACCOUNT for our own notices.
    ``message_id``: of the content, without brackets; ``tls``: ``required``, ``optional`` or empty (RFC 8689).
    With ``lease_until`` it is leased as by ``ClaimQueue`` and nobody is told: who brings it tries it."""

    account: AccountId
    tenant: TenantId
    content: int
    reverse_path: str
    recipients: tuple[QueueRecipient, ...]
    trace: str = ""
    body: str = "8BITMIME"
    smtputf8: bool = False
    return_content: str = ""
    envelope_id: str = ""
    not_before: int = 0
    hops: int = 0
    priority: int = 0
    deliver_by: int = 0
    by_mode: str = ""
    tls: str = ""
    message_id: str = ""
    lease_owner: str = ""
    lease_until: int = 0


class Enqueued(Result, frozen=True):
    queue: QueueId
    created: int = 0
    owner: str = ""  # who leased it; nobody where a retry is answered, as the entry has had its own life


LATE_SHARE: Final = 4
"""One of so many that are given is of the latest, where not all can be: a backlog keeps no new mail back."""


class ClaimQueue(Operation, frozen=True):
    """Lease due recipients of up to ``limit`` entries until ``until``: nobody else is given them meanwhile.

    Higher priorities go first (RFC 6710 section 5.1), then what waits longest; of many, one in LATE_SHARE is
    of the latest. A lease that ends more than twice ``until - now`` from now was written under a clock that
    has since jumped back and counts as ended: no jump stalls the queue. Result: Claimed."""

    owner: str
    now: int
    until: int
    limit: int = 100


class Claimed(Result, frozen=True):
    queues: tuple[QueueId, ...]
    next_due: int
    """When the next entry not given is due; 0 for never."""


class RecipientOutcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one recipient in one attempt."""

    number: int
    state: str
    """``delivered``, ``relayed``, ``failed``, ``waiting`` or ``expired``."""
    code: int = 0
    enhanced: str = ""
    text: str = ""
    host: str = ""
    next_attempt: int = 0
    delay_notified: bool = False
    tried: bool = True
    """False for one that was put off: no attempt is counted."""


class SettleQueue(Operation, frozen=True):
    """Record outcomes of an attempt and end the lease; an entry with nobody waiting leaves the queue.

    Whoever does not wait any more is kept as ``Finished`` for some days.
    ``lease_until`` above 0 keeps the lease until then: other recipients are still being tried.
    Errors: Conflict when ``owner`` lost the lease or the entry is gone; then nothing is recorded."""

    queue: QueueId
    owner: str
    outcomes: tuple[RecipientOutcome, ...]
    now: int
    lease_until: int = 0


class ChangeQueue(Operation, frozen=True):
    """An operator's act: ``hold``, ``release``, ``retry`` (due now) or ``remove``."""

    queue: QueueId
    act: str
    now: int


# --- directory -------------------------------------------------------------------------------------


class PutTenant(Operation, frozen=True):
    tenant: TenantId
    name: str


class PutDomain(Operation, frozen=True):
    """Add or change a domain (A-labels, lower case). ``settings`` is a JSON object of its options."""

    tenant: TenantId
    name: str
    catch_all: str = ""
    settings: str = "{}"


class RemoveDomain(Operation, frozen=True):
    """Errors: NoSuchThing, Conflict when it still has addresses."""

    name: str


class CreateAccount(Operation, frozen=True):
    """A principal with its mailboxes INBOX, Sent, Drafts, Junk, Trash, Archive. Result: AccountCreated.

    ``kind`` is ``person``, ``group``, ``service`` or ``list``: the address of a list is of the kind
    ``list``, too, so that nobody takes it for a person's.
    Errors: AlreadyExists, AddressReserved, NoSuchDomain."""

    tenant: TenantId
    address: str
    kind: str = "person"
    display_name: str = ""
    quota: int = 0
    role: str = "user"
    now: int = 0
    credentials: tuple[tuple[str, str], ...] = ()
    """(kind, secret) of the unnamed credentials it begins with, as ``PutCredential`` keeps them."""


class AccountCreated(Result, frozen=True):
    account: AccountId


class ChangeAccount(Operation, frozen=True):
    """None leaves a field as it is. Changing ``enabled`` or ``role`` bumps the credential epoch."""

    account: AccountId
    display_name: str | None = None
    quota: int | None = None
    enabled: bool | None = None
    role: str | None = None
    settings: str | None = None


class RenameAccount(Operation, frozen=True):
    """Give an account a new main address; mail is kept and the old address stays as alias."""

    account: AccountId
    address: str


class RemoveAccount(Operation, frozen=True):
    """Erase an account: keys, rows, contents; its addresses are reserved until ``reserved_until``."""

    account: AccountId
    reserved_until: int


class ResetAccount(Operation, frozen=True):
    """Empty an account to its state after creation: mail, mailboxes, quota use, scripts. Credentials stay."""

    account: AccountId


class PutAlias(Operation, frozen=True):
    """``address`` leads to ``targets``, as ``alias`` or ``group``; ``reclaim``: even if it is reserved."""

    tenant: TenantId
    address: str
    targets: tuple[str, ...]
    kind: str = "alias"
    reclaim: bool = False


class RemoveAlias(Operation, frozen=True):
    address: str
    reserved_until: int = 0


class PutCredential(Operation, frozen=True):
    """Add or replace one credential of an account and bump its credential epoch.

    ``kind``: ``password`` (argon2id), ``scram-sha-256``, ``app-password`` ...; ``secret`` as stored."""

    account: AccountId
    name: str
    kind: str
    secret: str
    scopes: str = ""
    expires: int = 0
    now: int = 0


class RenewCredential(Operation, frozen=True):
    """Keep the same credential in another form, hashed anew, where it is still ``was``; the epoch stays."""

    account: AccountId
    name: str
    kind: str
    was: str
    secret: str


class RemoveCredential(Operation, frozen=True):
    account: AccountId
    name: str
    kind: str


class PutToken(Operation, frozen=True):
    """A bearer token by the hash of its value: scopes, expiry, epoch it was made in."""

    account: AccountId
    digest: bytes
    name: str
    scopes: str
    expires: int
    now: int


class RemoveToken(Operation, frozen=True):
    account: AccountId
    digest: bytes


class BumpEpoch(Operation, frozen=True):
    """Sign an account out everywhere: sessions of an older credential epoch end."""

    account: AccountId


# --- audit and settings ----------------------------------------------------------------------------


class Audit(Operation, frozen=True):
    """One audit record, in the same transaction as what it records. ``detail`` is a JSON object."""

    tenant: TenantId
    subject: str
    action: str
    target: str
    outcome: str
    trace: str = ""
    detail: str = "{}"
    now: int = 0


class Doubt(Operation, frozen=True):
    """Whoever brought the transactions of these fingerprints may not have heard that they were committed: the
    next transaction of each is answered without results and not executed (ADR 0010). Result: Done."""

    fingerprints: tuple[bytes, ...]


class PutSetting(Operation, frozen=True):
    """A setting of the ``store`` source of the configuration; an empty value removes it."""

    name: str
    value: str


class PutDictionary(Operation, frozen=True):
    """A compression dictionary a tenant, sealed like a blob; made by the store's own training."""

    tenant: TenantId
    number: int
    octets: bytes
    now: int


class RewrapKeys(Operation, frozen=True):
    """Rotation: account keys wrapped by the new key-encryption key."""

    key_id: str
    wrapped: tuple[tuple[AccountId, bytes], ...]
    tenants: tuple[tuple[TenantId, bytes], ...] = ()


class EraseEmails(Operation, frozen=True):
    """Erase messages of vault or mailboxes at once, contents included (erasure overrides the vault)."""

    account: AccountId
    emails: tuple[EmailId, ...]


class Relocate(Operation, frozen=True):
    """Compaction moved records: (tenant, blob, new segment, new offset); ignored for blobs that are gone."""

    moves: tuple[tuple[TenantId, BlobId, int, int], ...]


RECEIPT_DAYS: Final = 5
"""How long a receipt waits for the retry it answers: as long as a queue anywhere keeps a mail."""
FINISHED_DAYS: Final = 7
"""How long it is known what became of the recipients that left the queue."""
DELIVERY_DAYS: Final = 30
"""How long a delivery key is known: longer than a mail can stay in our queue."""


class Sweep(Operation, frozen=True):
    """Forget what has outlived its use at ``now``: receipts, delivery keys, finished
    recipients, reserved addresses, tokens, documents, uploads. Result: Purged."""

    now: int
    limit: int = 1000


class DropTombstones(Operation, frozen=True):
    """Forget that messages were expunged before ``before`` (seconds) whose contents the vault does not hold.

    ``changes`` since a modseq of theirs or an older one says that it is not complete. Result: Purged."""

    before: int
    limit: int = 1000


AnyOperation = (
    CreateMailbox
    | RenameMailbox
    | DeleteMailbox
    | SetMailbox
    | Notice
    | ChangeGrant
    | SeeNewest
    | Append
    | AppendInto
    | Copy
    | StoreFlags
    | Expunge
    | Undelete
    | ChangeEmail
    | DestroyEmails
    | RememberSignature
    | PurgeVault
    | ExpireMailboxes
    | Enqueue
    | ClaimQueue
    | SettleQueue
    | ChangeQueue
    | PutTenant
    | PutDomain
    | RemoveDomain
    | CreateAccount
    | ChangeAccount
    | RenameAccount
    | RemoveAccount
    | ResetAccount
    | PutAlias
    | RemoveAlias
    | PutCredential
    | RenewCredential
    | RemoveCredential
    | PutToken
    | RemoveToken
    | PutDocument
    | RemoveDocument
    | BumpEpoch
    | Audit
    | Doubt
    | PutSetting
    | PutDictionary
    | RewrapKeys
    | EraseEmails
    | Relocate
    | Sweep
    | DropTombstones
    | AddTallies
    | DropTallies
    | PutReport
    | DropReports
    | PutUpload
)
"""Every operation there is: what a backend's table must cover."""

AnyResult = (
    Done
    | MailboxCreated
    | Noticed
    | Appended
    | Copied
    | Flagged
    | Expunged
    | Destroyed
    | Purged
    | Enqueued
    | Claimed
    | AccountCreated
    | Tallied
    | Uploaded
)
"""Every result there is."""
