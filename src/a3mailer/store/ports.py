"""The doors a backend offers. Backends live in ``store/backends``; nobody names them but ``app``.

Writing is one door, ``commit``: a transaction of contents and operations that is durable, all or none,
when it returns. Reading is by rows and columns. Reads are of the last commit that was answered to the
caller or a later one. All methods raise ``mail.errors`` only.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol

import msgspec

from a3mailer.mail.changes import Change
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
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
from a3mailer.mail.message import MessageIndex
from a3mailer.store.operations import Operation, Result, Tally
from a3mailer.store.rows import (
    Account,
    AccountChanges,
    AccountColumns,
    AddressEntry,
    AuditRecord,
    Changes,
    Columns,
    Credential,
    Document,
    Domain,
    FinishedPage,
    Fragments,
    Grant,
    Mailbox,
    Message,
    QueueCounts,
    QueueEntry,
    Report,
    Token,
)
from a3mailer.store.texts import Likely, Matches, Sought, TextCounts


class Content(msgspec.Struct, frozen=True):
    """Octets to keep with the index made of them."""

    octets: bytes | mmap.mmap
    index: MessageIndex
    unique: bool = False
    """The octets bear a mark of their own (our Received field): no copy of them is looked for."""


class Transaction(msgspec.Struct, frozen=True):
    """What is to become durable together."""

    operations: tuple[Operation, ...]
    contents: tuple[Content, ...] = ()
    tenant: TenantId = DEFAULT_TENANT
    """Whose de-duplication and dictionary the contents fall under."""
    fingerprint: bytes = b""
    """Of envelope and received octets: a retry after a crash is answered, not repeated (ADR 0010)."""


class Writer(Protocol):
    """The one way anything is changed."""

    async def commit(self, transaction: Transaction) -> tuple[Result, ...]:
        """Make it durable, then return one result an operation, in order.

        The first operation that fails undoes the whole and its error is raised. Errors besides those of
        the operations: StoreFull, Uncertain (the writer died and did not come back in time), TryLater.
        """
        ...


class MailReader(Protocol):
    """Mailboxes and messages (RFC 9051 section 2.3)."""

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]: ...
    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        """Errors: NoSuchMailbox."""
        ...

    async def mailbox_named(self, account: AccountId, name: str) -> Mailbox:
        """INBOX in any case (RFC 9051 section 5.1). Errors: NoSuchMailbox."""
        ...

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        """A whole mailbox as of one commit."""
        ...

    async def first_unseen(self, account: AccountId, mailbox: MailboxId) -> tuple[ModSeq, int]:
        """The mailbox's modseq, and how many messages come before the first without \\Seen as of then.

        -1 when there is none, or when it is not found near either end."""
        ...

    async def preceding(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> tuple[ModSeq, list[int]]:
        """The mailbox's modseq, and how many messages come before each of these (ascending) as of then.

        For few of a large mailbox, whose columns nobody has. Errors: NoSuchMailbox."""
        ...

    async def twins(self, account: AccountId, mailbox: MailboxId) -> dict[int, int]:
        """Numbers by uid that tell messages of one email in INBOX from each other, as long as they are there;
        of those that have none there is one an email."""
        ...

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes: ...
    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        """Rows of those that exist or are still in the vault after an expunge, ascending by uid."""
        ...

    async def envelopes(self, account: AccountId, emails: array[int]) -> list[bytes]:
        """ENVELOPE fragments in the order asked; b"" where gone. Bulk path of FETCH."""
        ...

    async def bodystructures(self, account: AccountId, emails: array[int]) -> list[bytes]: ...
    async def subjects(self, account: AccountId, emails: array[int]) -> list[str | None]:
        """Decoded Subjects in the order asked; None where gone. Bulk path of sorting, like the next two."""
        ...

    async def sent_dates(self, account: AccountId, emails: array[int]) -> list[int | None]:
        """Seconds since the epoch, 0 where Date says none."""
        ...

    async def lineages(self, account: AccountId, emails: array[int]) -> list[bytes | None]:
        """Who each mail is and whom it follows (``mail.message.identifiers.lineage``), in the order asked;
        None where gone, and of mails whose lineage nobody has written down: their headers tell."""
        ...

    async def internal_dates(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> list[int | None]:
        """Of messages by uid, in the order asked, which is ascending; None where gone."""
        ...

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        """In the order asked, those that exist."""
        ...

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """The octets of a content the account refers to. Errors: NoSuchMessage, DamagedContent, TryLater."""
        ...

    async def content_size(self, account: AccountId, blob: BlobId) -> int:
        """Octets of a content the account refers to. Errors: NoSuchMessage."""
        ...

    async def many_octets(self, account: AccountId, blobs: Sequence[BlobId]) -> list[bytes | None]:
        """Whole contents in bulk; None where damaged or gone."""
        ...

    async def contents(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Whole contents of messages by uid; None where damaged. Messages that are gone are left out."""
        ...

    async def vault(self, account: AccountId) -> tuple[Message, ...]:
        """Expunged messages whose contents are kept."""
        ...


class AccountReader(Protocol):
    """An account's mail as a whole, whatever its mailboxes (RFC 8620 section 5.2, RFC 8621)."""

    async def account_columns(self, account: AccountId) -> AccountColumns:
        """All of it, as of one commit. Errors: NoSuchAccount."""
        ...

    async def account_changes(self, account: AccountId, since: ModSeq) -> AccountChanges:
        """Costs what changed and how many mailboxes there are. Errors: NoSuchAccount."""
        ...

    async def places(self, account: AccountId, emails: Sequence[EmailId]) -> tuple[Message, ...]:
        """Every live row of these emails, by email, mailbox and uid."""
        ...

    async def thread_places(self, account: AccountId, threads: Sequence[ThreadId]) -> tuple[Message, ...]:
        """Every live row of the emails of these threads, by email, mailbox and uid."""
        ...

    async def blob_places(self, account: AccountId, blobs: Sequence[BlobId]) -> tuple[Message, ...]:
        """Every live row whose content is one of these, by email, mailbox and uid.

        Where the account holds any of them it costs what there is of mail: rows have no order by content."""
        ...


class QueueReader(Protocol):
    """What waits to leave (RFC 5321 section 4.5.4)."""

    async def queue(self, limit: int = 1000, after: int = 0) -> tuple[QueueEntry, ...]: ...
    async def queue_entry(self, queue: QueueId) -> QueueEntry:
        """Errors: NoSuchThing."""
        ...

    async def finished(self, about: str = "", queue: int = 0, before: int = 0) -> FinishedPage:
        """Recipients that have left the queue, newest first, a bounded number looked at.

        ``about``: an address (sender or recipient, case does not count), Message-ID or trace, exactly, or the
        trace of the connection; ``queue``: of that entry. With neither: all."""
        ...

    async def queue_counts(self, now: int) -> QueueCounts:
        """By state at ``now``, seconds since the epoch."""
        ...


class DirectoryReader(Protocol):
    """Who and what there is. Cheap: served from memory where the backend can."""

    async def domain(self, name: str) -> Domain | None: ...
    async def domains(self) -> tuple[Domain, ...]: ...
    async def address(self, address: str) -> AddressEntry | None:
        """Exactly this address (lower case); no subaddress, no catch-all: those are identity's rules."""
        ...

    async def account(self, account: AccountId) -> Account | None: ...
    async def is_limited(self, account: AccountId) -> bool:
        """Whether the account has a quota; cheaper than its row, which counts every mail."""
        ...

    async def accounts(self, limit: int = 1000, after: int = 0) -> tuple[Account, ...]: ...
    async def addresses_of(self, account: AccountId) -> tuple[str, ...]:
        """Main address first, then the aliases that lead to this account alone."""
        ...

    async def aliases(self) -> tuple[AddressEntry, ...]: ...
    async def credentials(self, account: AccountId) -> tuple[Credential, ...]: ...
    async def token(self, digest: bytes) -> Token | None: ...
    async def tokens(self) -> tuple[Token, ...]:
        """Every token of every account, by account and age."""
        ...

    async def settings(self) -> dict[str, str]:
        """Settings kept in the store (``PutSetting``)."""
        ...


class DocumentReader(Protocol):
    """Small texts that accounts keep (``PutDocument``). What has expired is not there."""

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None: ...
    async def documents(
        self, account: AccountId, kind: str, prefix: str = "", limit: int = 1000, after: str = ""
    ) -> tuple[Document, ...]:
        """Those whose names begin with ``prefix`` and come after ``after``, by name."""
        ...

    async def documents_due(self, kind: str, until: int, limit: int = 100) -> tuple[Document, ...]:
        """Of all accounts those with 0 < ``due`` <= ``until``, the longest due first."""
        ...


class SharingReader(Protocol):
    """Who may do what with whose mailboxes (``ChangeGrant``). What is asked often is kept by who asks."""

    async def grants(self, account: AccountId) -> tuple[Grant, ...]:
        """All on mailboxes of an owner, by mailbox and identifier."""
        ...

    async def granted(self, tenant: TenantId, identifiers: Sequence[str]) -> tuple[Grant, ...]:
        """All to these identifiers by owners of a tenant, by owner, mailbox and identifier."""
        ...

    async def grantees(self, tenant: TenantId, prefix: str) -> tuple[str, ...]:
        """The identifiers that begin with ``prefix`` and have rights from owners of a tenant, in order."""
        ...


class SeenReader(Protocol):
    """Another's mailbox as ``reader`` sees it: \\Seen is its own mark, with a modseq of its own."""

    async def mailboxes_seen_by(self, reader: AccountId, account: AccountId) -> tuple[Mailbox, ...]: ...
    async def mailbox_seen_by(self, reader: AccountId, account: AccountId, mailbox: MailboxId) -> Mailbox:
        """Errors: NoSuchMailbox."""
        ...

    async def columns_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[Mailbox, Columns]:
        """As ``columns``."""
        ...

    async def first_unseen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[ModSeq, int]:
        """As ``first_unseen``; -1 also when it is not near the beginning."""
        ...

    async def changes_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId, since: ModSeq
    ) -> Changes:
        """As ``changes``: what others have seen is no change."""
        ...


class AuditReader(Protocol):
    """What was done by whom, in the order it was committed."""

    async def audit(self, after: int = 0, limit: int = 1000) -> tuple[AuditRecord, ...]: ...


class ReportReader(Protocol):
    """Reports of others about us, and what ours will be made of."""

    async def reports(
        self, kind: str = "", domain: str = "", since: int = 0, after: int = 0, limit: int = 1000
    ) -> tuple[Report, ...]:
        """Those received at ``since`` or later with numbers above ``after``, in order; empty: of any."""
        ...

    async def report(self, number: int) -> Report:
        """Errors: NoSuchThing."""
        ...

    async def tallied(self, kind: str, before: int) -> tuple[tuple[int, str], ...]:
        """(period, domain) of which there are tallies, of periods that began before ``before``, in order."""
        ...

    async def tallies(self, kind: str, period: int, domain: str) -> tuple[Tally, ...]:
        """In the order of their keys."""
        ...


class TextReader(Protocol):
    """An index of texts (ADR 0037): a filter that is never wrong, and never needed."""

    async def texts_with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        """Which of ``emails`` have each of the sought texts, of those the index holds.

        What it says of those is exact; ``turn`` is called now and then, for others to get theirs."""
        ...

    async def texts_likely(
        self, account: AccountId, sought: Sequence[Sought], turn: Callable[[], Awaitable[None]]
    ) -> Likely:
        """Which emails of the whole account may have each of the sought texts; ``turn`` as above."""
        ...

    async def text_counts(self, account: AccountId) -> TextCounts:
        """How far the index of an account has got."""
        ...

    def forget_texts(self, account: AccountId) -> None:
        """Erase the index of an account; it is made again."""
        ...


class Watcher(Protocol):
    """Hears of changes, whoever made them."""

    def watch(self, heard: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``heard`` on the loop for each change of any process; returns the call that ends it."""
        ...


class StoreUnusable(Exception):
    """The data directory cannot be served; the text says why. For people, not for protocols."""


class Store(
    Writer,
    MailReader,
    AccountReader,
    QueueReader,
    DirectoryReader,
    DocumentReader,
    SharingReader,
    SeenReader,
    AuditReader,
    ReportReader,
    TextReader,
    Watcher,
    Protocol,
):
    """All of it: what a backend is."""

    async def close(self) -> None: ...
