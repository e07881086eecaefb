"""What the memory backend keeps, and the journal that undoes a transaction that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from a3mailer.mail.changes import Change
from a3mailer.mail.errors import NoSuchAccount, NoSuchMailbox
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, QueueId, TenantId, ThreadId
from a3mailer.store.operations import Appended
from a3mailer.store.ports import Content
from a3mailer.store.rows import (
    Account,
    AddressEntry,
    AuditRecord,
    Credential,
    Document,
    Domain,
    Finished,
    Fragments,
    Mailbox,
    Message,
    QueueEntry,
    Report,
    Token,
)

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Gone:
    """An expunged message: ``message`` is None once the vault forgot it (a tombstone only)."""

    uid: int
    modseq: ModSeq
    expunged_at: int
    message: Message | None
    moved: bool
    email: EmailId
    thread: ThreadId
    added: ModSeq


@dataclass(frozen=True, slots=True)
class Upload:
    """Octets that nothing refers to yet."""

    size: int
    expires: int


@dataclass(slots=True)
class State:
    """All tables. Rows are frozen; every change goes through ``put`` and ``drop``, so it can be undone."""

    tenants: dict[TenantId, str] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    accounts: dict[AccountId, Account] = field(default_factory=dict)
    addresses: dict[str, AddressEntry] = field(default_factory=dict)
    credentials: dict[tuple[AccountId, str, str], Credential] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    documents: dict[tuple[AccountId, str, str], Document] = field(default_factory=dict)
    grants: dict[tuple[AccountId, MailboxId, str], str] = field(default_factory=dict)
    """(owner, mailbox, identifier) -> rights"""
    marks: dict[tuple[AccountId, MailboxId, AccountId, int], tuple[ModSeq, bool]] = field(
        default_factory=dict
    )
    """(owner, mailbox, reader, uid) -> when the reader's \\Seen changed, and to what"""
    twins: dict[tuple[AccountId, MailboxId, int], int] = field(default_factory=dict)
    """(account, mailbox, uid) -> what tells messages of one email in INBOX from each other"""
    mailboxes: dict[tuple[AccountId, MailboxId], Mailbox] = field(default_factory=dict)
    messages: dict[tuple[AccountId, MailboxId], dict[int, Message]] = field(default_factory=dict)
    gone: dict[tuple[AccountId, MailboxId], dict[int, Gone]] = field(default_factory=dict)
    fragments: dict[tuple[AccountId, EmailId], Fragments] = field(default_factory=dict)
    threads: dict[tuple[AccountId, bytes], ThreadId] = field(default_factory=dict)
    deliveries: dict[tuple[AccountId, bytes], Appended] = field(default_factory=dict)
    delivered: dict[tuple[AccountId, bytes], int] = field(default_factory=dict)
    """When a delivery key became known."""
    forgotten: dict[tuple[AccountId, MailboxId], ModSeq] = field(default_factory=dict)
    """Up to which modseq tombstones of a mailbox were dropped."""
    uploads: dict[tuple[AccountId, BlobId, AccountId], Upload] = field(default_factory=dict)
    """By account, content and uploader; the oldest first."""
    forgotten_of: dict[AccountId, ModSeq] = field(default_factory=dict)
    """The same of all mailboxes of an account."""
    mailboxes_gone: dict[tuple[AccountId, MailboxId], tuple[ModSeq, ModSeq, int]] = field(
        default_factory=dict
    )
    """(modseq, the one it was made with, when) of deleted mailboxes."""
    blobs: dict[BlobId, bytes] = field(default_factory=dict)
    queue: dict[QueueId, QueueEntry] = field(default_factory=dict)
    finished: dict[int, Finished] = field(default_factory=dict)
    audit: dict[int, AuditRecord] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    tallies: dict[tuple[str, int, str, str], int] = field(default_factory=dict)
    """(kind, period, domain, key) -> count"""
    reports: dict[int, Report] = field(default_factory=dict)
    counters: dict[tuple[AccountId, str], int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    """Of the transaction in progress."""
    doubted: Counter[bytes] = field(default_factory=Counter)
    """Fingerprints whose next transaction is not executed."""
    journal: list[Callable[[], None]] = field(default_factory=list)
    """How to undo the transaction in progress, last first."""
    stored: dict[int, BlobId] = field(default_factory=dict)
    """Contents of the transaction in progress, by their number."""
    contents: tuple[Content, ...] = ()
    now: int = 0

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set a row."""
        if key in table:
            old = table[key]
            self.journal.append(lambda: table.__setitem__(key, old))
        else:
            self.journal.append(lambda: table.__delitem__(key))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Remove a row that is there."""
        old = table.pop(key)
        self.journal.append(lambda: table.__setitem__(key, old))

    def undo(self) -> None:
        """Take back everything since the transaction began."""
        while self.journal:
            self.journal.pop()()

    def next(self, account: AccountId, counter: str) -> int:
        """The next number of a counter of an account, from 1; never given twice."""
        number = self.counters.get((account, counter), 0) + 1
        self.put(self.counters, (account, counter), number)
        return number

    def account(self, account: AccountId) -> Account:
        try:
            return self.accounts[account]
        except KeyError:
            raise NoSuchAccount(str(account)) from None

    def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        try:
            return self.mailboxes[account, mailbox]
        except KeyError:
            raise NoSuchMailbox(str(mailbox)) from None

    def changed(self, account: AccountId, mailbox: int, modseq: int = 0) -> None:
        """Note a change for the watchers."""
        self.changes.append(Change(account, MailboxId(mailbox), ModSeq(modseq)))

    def blob(self, content: int) -> BlobId:
        """The blob of a content of this transaction, stored at its first use."""
        if content not in self.stored:
            blob = BlobId(self.next(AccountId(0), "blob").to_bytes(16, "big"))
            self.put(self.blobs, blob, bytes(self.contents[content].octets))
            self.stored[content] = blob
        return self.stored[content]
