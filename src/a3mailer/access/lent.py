"""Another's account as one reader may see it: mailboxes by rights, their mail, and the reader's own \\Seen.

What JMAP reads of an account (``account_mail``, ``account_changes``, rows by email and by thread) goes
through here for accounts of others, so that nothing that reads can show what was not granted (RFC 4314, RFC
8620 section 1.6.2). A mailbox is there where it may be listed, an email where one of its mailboxes may
be listed and read. What is read by email beyond that (sort keys, texts) is asked for emails that were found
here.

A blob is there where an email that is there has it. Which one that is is remembered when the email is shown
and found by looking through all that is there; whether it still is there is asked each time. What the reader
uploads for this account is kept in the reader's own, so nobody else can name it, and counts there.

``scope`` says what is visible: where it is another one than before, no changes lead from one view to the
next, as rows come and go that nothing happened to.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from a3mailer.access.rights import Rights
from a3mailer.access.subscriptions import subscriptions
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import NoSuchAccount, NoSuchMessage
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId
from a3mailer.mail.rights import ROOT
from a3mailer.store.ports import AccountReader, DirectoryReader, DocumentReader, MailReader, SeenReader
from a3mailer.store.rows import (
    AccountChanges,
    AccountColumns,
    Columns,
    Document,
    Fragments,
    Mailbox,
    Message,
    Placed,
)

READ: Final = "message.read"
LIST: Final = "mailbox.list"
AT_ONCE: Final = 512
"""Emails whose blobs are read at once."""
APART: Final = 2000
"""Rows of an account that are looked through outside the event loop."""


class Reader(MailReader, AccountReader, DirectoryReader, DocumentReader, SeenReader, Protocol):
    """What is read here."""


@dataclass(slots=True)
class _Marks:
    """The reader's own \\Seen in one mailbox, up to a modseq."""

    modseq: ModSeq
    seen: set[int]
    modseqs: dict[int, int] = field(default_factory=dict)
    """Of rows that were told of as changed: that of the row, or of the reader's mark, which is later."""


class Lent:
    """One account of another, for one reader; it is kept while the scope stays."""

    __slots__ = (
        "_emails",
        "_generation",
        "_letters",
        "_looked",
        "_marks",
        "_rights",
        "_store",
        "account",
        "subject",
    )

    def __init__(self, store: Reader, rights: Rights, subject: Principal, account: AccountId) -> None:
        self._store = store
        self._rights = rights
        self.subject = subject
        self.account = account
        self._marks: dict[MailboxId, _Marks] = {}
        self._emails: dict[BlobId, EmailId] = {}
        """What has a blob, as far as it was shown."""
        self._letters: dict[MailboxId, str] = {}
        self._generation = -1
        """That of the rights that ``_letters`` are of."""
        self._looked: tuple[int, frozenset[int]] | None = None
        """As of which modseq all that is there is in there, and what could be read then."""

    # --- what is visible ---------------------------------------------------------------------------

    async def readable(self) -> frozenset[int]:
        """The mailboxes whose mail may be read."""
        found = await self._store.mailboxes(self.account)
        return frozenset([int(box.id) for box in found if await self._may_read(box.id)])

    async def letters(self, mailbox: MailboxId) -> str:
        """The rights that the reader may use there; none where it may not even list it."""
        generation = self._rights.generation
        if generation != self._generation:
            self._letters.clear()
            self._generation = generation
        known = self._letters.get(mailbox)
        if known is None:
            known = await self._asked(mailbox)
            if generation == self._rights.generation == self._generation:
                self._letters[mailbox] = known
        return known

    async def _asked(self, mailbox: MailboxId) -> str:
        letters = await self._rights.allowed(self.subject, self.account, mailbox)
        if not await self._may(READ, mailbox):
            letters = letters.replace("r", "")  # a token may be good for mailboxes and not for mail
        return letters if "l" in letters or mailbox == ROOT else ""

    async def scope(self) -> str:
        """Equal while the same is visible, and subscribed to."""
        return (await self.standing())[0]

    async def standing(self) -> tuple[str, bool]:
        """The scope, and whether the reader has subscribed to anything that it may list."""
        boxes = await self._store.mailboxes(self.account)
        rights = [(int(box.id), await self.letters(box.id)) for box in boxes]
        owner, names = await self._rights.owner(self.account), frozenset[str]()
        if owner is not None:
            subscribed_to = await subscriptions(self._store, self.subject.account)
            prefix = owner.prefix(self.subject)
            names = frozenset(str(box.id) for box in boxes if prefix + box.name in subscribed_to)
        shown = ",".join(
            f"{box}{letters}{'+' if str(box) in names else ''}" for box, letters in sorted(rights) if letters
        )
        scope = hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()
        return scope, any(letters and str(box) in names for box, letters in rights)

    async def _may(self, action: str, mailbox: MailboxId) -> bool:
        return await self._rights.may(self.subject, action, self.account, mailbox)

    async def _may_read(self, mailbox: MailboxId) -> bool:
        """``mayReadItems`` takes both (RFC 8621 section 2)."""
        return await self._may(READ, mailbox) and await self._may(LIST, mailbox)

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]:
        """With the owner's names, and the reader's subscriptions and counts."""
        owner = await self._rights.owner(self._own(account))
        if owner is None:
            raise NoSuchAccount(str(account))
        prefix, reader = owner.prefix(self.subject), self.subject.account
        names = await subscriptions(self._store, reader)
        found: list[Mailbox] = []
        for box in await self._store.mailboxes_seen_by(reader, account):
            if await self._may(LIST, box.id):
                found.append(replace(box, subscribed=prefix + box.name in names))
        return tuple(found)

    def _own(self, account: AccountId) -> AccountId:
        if account != self.account:
            raise NoSuchAccount(str(account))
        return account

    # --- rows --------------------------------------------------------------------------------------

    async def account_columns(self, account: AccountId) -> AccountColumns:
        """As of ``AccountReader``. Errors: NoSuchAccount."""
        whole = await self._store.account_columns(self._own(account))
        visible = await self.readable()
        marks = {box: await self._marks_of(MailboxId(box)) for box in visible}
        seen = {box: mine.seen for box, mine in marks.items()}
        if len(whole.emails) > APART:
            return await asyncio.to_thread(_columns, whole, seen)
        return _columns(whole, seen)

    async def account_changes(self, account: AccountId, since: ModSeq) -> AccountChanges:
        """As of ``AccountReader``; what others have seen is no change. Errors: NoSuchAccount."""
        found = await self._store.account_changes(self._own(account), since)
        if found.complete and found.modseq == since:
            return replace(found, changed=(), gone=(), mailboxes=(), mailboxes_gone=())
        visible = await self.readable()
        rows: list[Placed] = []
        complete = found.complete
        touched = sorted(box for box in found.mailboxes if box in visible)
        for mailbox in touched:  # a reader's mark, too, is an act in its mailbox
            news = await self._store.changes_seen_by(self.subject.account, account, mailbox, since)
            complete = complete and news.complete
            if news.changed.uids:
                marks = await self._marks_of(mailbox)
                marks.modseqs.update(zip(news.changed.uids, news.changed.modseqs, strict=True))
                rows += await self._placed(mailbox, news.changed)
        gone = tuple(each for each in found.gone if each.mailbox in visible)
        return replace(
            found,
            changed=tuple(rows),
            gone=gone,
            mailboxes=tuple(touched),
            mailboxes_gone=(),
            complete=complete,
        )

    async def _placed(self, mailbox: MailboxId, changed: Columns) -> list[Placed]:
        emails = [EmailId(each) for each in dict.fromkeys(changed.emails)]
        known = {
            int(row.uid): row
            for row in await self._store.places(self.account, emails)
            if row.mailbox == mailbox
        }
        return [
            Placed(
                mailbox, uid, row.email, row.thread, flags, row.keywords, modseq, row.added,
                row.internal_date, row.size,
            )
            for uid, flags, modseq in zip(changed.uids, changed.flags, changed.modseqs, strict=True)
            if (row := known.get(uid)) is not None
        ]  # fmt: skip

    async def places(self, account: AccountId, emails: Sequence[EmailId]) -> tuple[Message, ...]:
        """As of ``AccountReader``."""
        return await self._shown(await self._store.places(self._own(account), emails))

    async def thread_places(self, account: AccountId, threads: Sequence[ThreadId]) -> tuple[Message, ...]:
        """As of ``AccountReader``."""
        return await self._shown(await self._store.thread_places(self._own(account), threads))

    async def blob_places(self, account: AccountId, blobs: Sequence[BlobId]) -> tuple[Message, ...]:
        """As of ``AccountReader``."""
        return await self._shown(await self._store.blob_places(self._own(account), blobs))

    async def _shown(self, rows: Iterable[Message]) -> tuple[Message, ...]:
        visible: dict[MailboxId, bool] = {}
        marks: dict[MailboxId, _Marks] = {}
        found: list[Message] = []
        for row in rows:
            if row.mailbox not in visible:
                visible[row.mailbox] = await self._may_read(row.mailbox)
                if visible[row.mailbox]:
                    marks[row.mailbox] = await self._marks_of(row.mailbox)
            if visible[row.mailbox]:
                mine = marks[row.mailbox]
                modseq = ModSeq(max(row.modseq, mine.modseqs.get(row.uid, 0)))
                self._emails[row.blob] = row.email
                found.append(replace(row, flags=_seen(row.flags, row.uid, mine.seen), modseq=modseq))
        return tuple(found)

    async def _there(self, emails: Sequence[EmailId]) -> tuple[Message, ...]:
        """Rows that may be read, with the owner's marks."""
        rows = await self._store.places(self.account, emails)
        boxes = {row.mailbox for row in rows}
        visible = {box for box in boxes if await self._may_read(box)}
        return tuple(row for row in rows if row.mailbox in visible)

    # --- contents ----------------------------------------------------------------------------------

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        """As of ``MailReader``."""
        asked = tuple(emails)
        rows = await self._there(asked) if self._own(account) else ()
        self._emails.update({row.blob: row.email for row in rows})
        there = {row.email for row in rows}
        return await self._store.fragments(account, [email for email in asked if email in there])

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """As of ``MailReader``."""
        return await self._store.octets(await self._holder(account, blob), blob, start, end)

    async def content_size(self, account: AccountId, blob: BlobId) -> int:
        """As of ``MailReader``."""
        return await self._store.content_size(await self._holder(account, blob), blob)

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None:
        """None: scripts of others are not there."""
        return None

    async def _holder(self, account: AccountId, blob: BlobId) -> AccountId:
        """Where a blob is kept: with an email that may be read, or with the reader. Errors: NoSuchMessage."""
        self._own(account)
        if await self._has(blob):
            return account
        with suppress(NoSuchMessage):
            await self._store.content_size(self.subject.account, blob)
            return self.subject.account
        await self._look_through()
        if not await self._has(blob):
            raise NoSuchMessage(f"no blob {blob.hex()} that may be read")
        return account

    async def _has(self, blob: BlobId) -> bool:
        email = self._emails.get(blob)
        return email is not None and any(row.blob == blob for row in await self._there((email,)))

    async def _look_through(self) -> None:
        """Remember the blobs of all that may be read, unless nothing is new since that was done."""
        visible, row = await self.readable(), await self._store.account(self.account)
        if row is None or self._looked == (row.modseq, visible):
            return
        whole = await self._store.account_columns(self.account)
        if len(whole.emails) > APART:
            emails = await asyncio.to_thread(_emails, whole, visible)
        else:
            emails = _emails(whole, visible)
        self._emails.clear()
        for at in range(0, len(emails), AT_ONCE):
            rows = await self._store.places(self.account, emails[at : at + AT_ONCE])
            self._emails.update({row.blob: row.email for row in rows if row.mailbox in visible})
            await asyncio.sleep(0)
        self._looked = (whole.modseq, visible)

    async def _marks_of(self, mailbox: MailboxId) -> _Marks:
        """As of now."""
        reader, marks = self.subject.account, self._marks.get(mailbox)
        if marks is not None:
            news = await self._store.changes_seen_by(reader, self.account, mailbox, marks.modseq)
            if news.complete:
                marks.seen.difference_update(news.vanished)
                for uid, flags in zip(news.changed.uids, news.changed.flags, strict=True):
                    (marks.seen.add if flags & SEEN else marks.seen.discard)(uid)
                marks.modseq = news.modseq
                return marks
        box, columns = await self._store.columns_seen_by(reader, self.account, mailbox)
        seen = {uid for uid, flags in zip(columns.uids, columns.flags, strict=True) if flags & SEEN}
        marks = self._marks[mailbox] = _Marks(box.modseq, seen)
        return marks


def _columns(whole: AccountColumns, seen: Mapping[int, Set[int]]) -> AccountColumns:
    """The rows of some mailboxes, with what was seen in each."""
    kept = [at for at, box in enumerate(whole.mailboxes) if box in seen]
    flags = bytearray(_seen(whole.flags[at], whole.uids[at], seen[whole.mailboxes[at]]) for at in kept)
    names = ("mailboxes", "uids", "emails", "threads", "dates", "sizes")
    columns = {
        name: type(column)(column.typecode, [column[at] for at in kept])
        for name in names
        for column in (getattr(whole, name),)
    }
    keywords = {new: whole.keywords[old] for new, old in enumerate(kept) if old in whole.keywords}
    return replace(whole, flags=flags, keywords=keywords, **columns)


def _emails(whole: AccountColumns, visible: Container[int]) -> list[EmailId]:
    """Each once that is in one of these mailboxes."""
    rows = zip(whole.mailboxes, whole.emails, strict=True)
    return [EmailId(email) for email in dict.fromkeys(email for box, email in rows if box in visible)]


def _seen(flags: int, uid: int, seen: Set[int]) -> int:
    return flags | SEEN if uid in seen else flags & ~SEEN
