"""Everything that can be read: plain rows and columns."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final, NamedTuple

from a3mailer.mail.changes import ANNOTATIONS, NOTICES, PUSHES, SCRIPTS
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, QueueId, TenantId, ThreadId, Uid


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox with its stored counters, so that STATUS and SELECT never count."""

    account: AccountId
    id: MailboxId
    name: str
    uid_validity: int
    uid_next: Uid
    modseq: ModSeq
    """HIGHESTMODSEQ (RFC 7162)."""
    messages: int
    unseen: int
    deleted: int
    octets: int
    special_use: str
    subscribed: bool
    expire_days: int
    keywords: tuple[str, ...]
    """Keywords in use, for FLAGS and PERMANENTFLAGS."""
    added: ModSeq = ModSeq(0)  # noqa: RUF009
    """It was made with this modseq."""
    changed: ModSeq = ModSeq(0)  # noqa: RUF009
    """That of its last new name, attribute or grant; what happens to messages does not count."""
    sort_order: int = 0
    noticed: Uid = Uid(1)  # noqa: RUF009
    """Sessions of IMAP were told of the messages below."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Messages of a mailbox as parallel columns, ascending by uid."""

    uids: array[int]
    flags: bytearray
    """System flags, one octet each."""
    keywords: dict[int, str]
    """uid -> keywords text, only where there are any."""
    modseqs: array[int]
    emails: array[int]
    sizes: array[int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox since a modseq."""

    changed: Columns
    """New and changed messages."""
    vanished: array[int]
    """Uids expunged, ascending."""
    modseq: ModSeq
    uid_next: Uid
    complete: bool
    """False when tombstones that old were dropped: the reader must take the whole again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message's row; its octets and fragments are read apart."""

    account: AccountId
    mailbox: MailboxId
    uid: Uid
    email: EmailId
    thread: ThreadId
    flags: int
    keywords: str
    modseq: ModSeq
    internal_date: int
    saved_date: int
    size: int
    blob: BlobId
    added: ModSeq = ModSeq(0)  # noqa: RUF009
    """The modseq it came into the mailbox with."""


class Placed(NamedTuple):
    """One row of an account, whatever its mailbox: what a view of all mail is kept up with."""

    mailbox: int
    uid: int
    email: int
    thread: int
    flags: int
    keywords: str
    modseq: int
    added: int
    internal_date: int
    size: int


class Departed(NamedTuple):
    """A row that was expunged, by a move or for good."""

    mailbox: int
    uid: int
    email: int
    thread: int
    added: int
    modseq: int
    """That of the expunge."""


@dataclass(frozen=True, slots=True)
class AccountColumns:
    """All live messages of an account as parallel columns, ascending by mailbox and uid."""

    modseq: ModSeq
    mailboxes: array[int]
    uids: array[int]
    emails: array[int]
    threads: array[int]
    flags: bytearray
    keywords: dict[int, str]
    """By place in the columns, only where there are any."""
    dates: array[int]
    """Internal dates."""
    sizes: array[int]


@dataclass(frozen=True, slots=True)
class AccountChanges:
    """What happened in an account since a modseq."""

    modseq: ModSeq
    """The account's, as of now."""
    changed: tuple[Placed, ...]
    """Live rows that are new or changed, by mailbox and uid."""
    gone: tuple[Departed, ...]
    """By mailbox and uid; those of deleted mailboxes, too."""
    mailboxes: tuple[MailboxId, ...]
    """Made since, or with a new name or attribute, or something happened in them."""
    mailboxes_gone: tuple[tuple[MailboxId, ModSeq, ModSeq], ...]
    """Deleted since: the modseqs each was made and deleted with."""
    complete: bool
    """False when tombstones that old were dropped: the reader must take the whole again."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """What was precomputed at delivery (``mail.message.MessageIndex``)."""

    email: EmailId
    envelope: bytes
    bodystructure: bytes
    index: bytes
    """``MessageIndex.pack()``."""
    preview: str
    subject: str
    sent_date: int
    has_attachment: bool
    size: int
    blob: BlobId
    smime: bytes = b""
    """What was found out of its signature since (``operations.RememberSignature``); empty: nothing."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One queued mail with all its recipients."""

    id: QueueId
    account: AccountId
    tenant: TenantId
    blob: BlobId
    size: int
    reverse_path: str
    body: str
    smtputf8: bool
    return_content: str
    envelope_id: str
    trace: str
    hops: int
    created: int
    held: bool
    lease_owner: str
    lease_until: int
    recipients: tuple[QueuedRecipient, ...]
    not_before: int = 0
    """When its sender wants it to leave; 0: at once (RFC 4865)."""
    priority: int = 0
    deliver_by: int = 0
    by_mode: str = ""
    tls: str = ""
    message_id: str = ""

    @property
    def begun(self) -> int:
        """Since when it should have been delivered."""
        return max(self.created, self.not_before)


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of one recipient that has left the queue."""

    number: int
    """In the order they left."""
    time: int
    queue: QueueId
    tenant: TenantId
    trace: str
    message_id: str
    sender: str
    created: int
    """When the mail was accepted."""
    address: str
    attempts: int
    state: str
    """As ``RecipientOutcome`` names it; ``removed`` by an operator."""
    code: int
    enhanced: str
    text: str
    host: str


@dataclass(frozen=True, slots=True)
class FinishedPage:
    """Newest first. ``before`` is where to go on; 0: nothing is left."""

    rows: tuple[Finished, ...]
    before: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many mails are in the queue, by state; each counts once."""

    waiting: int
    trying: int
    """Leased to a worker."""
    held: int
    """By an operator, whether somebody is at it or not."""


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    number: int
    address: str
    notify: tuple[str, ...]
    original: str
    state: str
    attempts: int
    next_attempt: int
    code: int
    enhanced: str
    text: str
    host: str
    delay_notified: bool


@dataclass(frozen=True, slots=True)
class Domain:
    tenant: TenantId
    name: str
    catch_all: str
    settings: str


@dataclass(frozen=True, slots=True)
class Account:
    id: AccountId
    tenant: TenantId
    address: str
    kind: str
    display_name: str
    role: str
    enabled: bool
    epoch: int
    """The credential epoch: a session made in an older one has ended."""
    quota: int
    """Octets; 0 = no limit."""
    used_octets: int
    used_messages: int
    modseq: ModSeq
    created: int
    settings: str


@dataclass(frozen=True, slots=True)
class AddressEntry:
    """What an address of ours leads to. ``kind``: account, list, alias, group or reserved."""

    address: str
    tenant: TenantId
    kind: str
    account: AccountId
    targets: tuple[str, ...]
    reserved_until: int


@dataclass(frozen=True, slots=True)
class Credential:
    account: AccountId
    name: str
    kind: str
    secret: str
    scopes: str
    expires: int
    created: int


@dataclass(frozen=True, slots=True)
class Token:
    account: AccountId
    digest: bytes
    name: str
    scopes: str
    expires: int
    created: int
    epoch: int


SCRIPT_ROLL: Final = "sieve-roll"
SCRIPT: Final = "sieve"
SCRIPT_LIST: Final = "sieve-list"
"""Kinds of documents: which scripts an account has, and one of them (``access/scripts.py``); a list that its
scripts may ask for (RFC 6134), one member a line."""
SCRIPT_KINDS: Final = "sieve"
"""What the kinds of all documents begin with that scripts are, or are remembered by."""
PUSH: Final = "push"
"""Kind of documents: push subscriptions (``access/pushes.py``)."""
METADATA: Final = "metadata"
"""Annotations of mailboxes: their names begin with the number of the mailbox and ``/``, and go with it."""
SUBSCRIPTION: Final = "subscription"
"""Kind of documents: names that an account subscribed to and are no mailbox of its own."""
NOTICE: Final = "share-notice"
"""Kind of documents: what an account is told of its rights on mailboxes of others (``access/notices.py``)."""
SEALED_KINDS: Final = frozenset(("hook", SCRIPT_ROLL, SCRIPT, SCRIPT_LIST, PUSH, METADATA))
"""Kinds of documents that hold a secret: no backend writes them to a disk in clear."""
TOLD_KINDS: Final = {
    SCRIPT_ROLL: SCRIPTS,
    PUSH: PUSHES,
    METADATA: ANNOTATIONS,
    SUBSCRIPTION: MailboxId(0),
    NOTICE: NOTICES,
}
"""Kinds of documents that watchers are told of, and what the Change has for the mailbox."""


@dataclass(frozen=True, slots=True)
class Document:
    """See ``PutDocument``."""

    account: AccountId
    kind: str
    name: str
    value: str
    due: int
    expires: int
    created: int
    """When it was put there, or last replaced."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one identifier may do with a mailbox (``ChangeGrant``)."""

    account: AccountId
    """The owner."""
    mailbox: MailboxId
    identifier: str
    rights: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    number: int
    tenant: TenantId
    time: int
    subject: str
    action: str
    target: str
    outcome: str
    trace: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was received (``operations.PutReport``)."""

    number: int
    kind: str
    domain: str
    received: int
    begins: int
    ends: int
    source: str
    identity: str
    content: str
