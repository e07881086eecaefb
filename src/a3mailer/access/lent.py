"""Another's account as one reader may see it: mailboxes by rights, their mail, and the reader's own \\Seen.

What JMAP reads of an account (``account_mail``, ``account_changes``, rows by email and by thread) goes
through here for accounts of others, so that nothing that reads can show what was not granted (RFC 4314, RFC
8620 section 1.6.2). A mailbox is there where it may be listed or read, an email where one of its mailboxes
may be read. What is read by email (fragments, texts) is asked for emails that were found here.

``scope`` says what is visible: where it is another one than before, no changes lead from one view to the
next, as rows come and go that nothing happened to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from a3mailer.access.rights import Rights
from a3mailer.access.subscriptions import subscribed
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, EmailId, MailboxId, ModSeq, ThreadId
from a3mailer.store.ports import AccountReader, DirectoryReader, DocumentReader, MailReader, SeenReader
from a3mailer.store.rows import AccountChanges, AccountColumns, Columns, Mailbox, Message, Placed

READ = "message.read"
LIST = "mailbox.list"


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

    __slots__ = ("_marks", "_rights", "_store", "account", "subject")

    def __init__(self, store: Reader, rights: Rights, subject: Principal, account: AccountId) -> None:
        self._store = store
        self._rights = rights
        self.subject = subject
        self.account = account
        self._marks: dict[MailboxId, _Marks] = {}

    # --- what is visible ---------------------------------------------------------------------------

    async def readable(self) -> frozenset[int]:
        """The mailboxes whose mail may be read."""
        found = await self._store.mailboxes(self.account)
        return frozenset([int(box.id) for box in found if await self._may(READ, box.id)])

    async def scope(self) -> str:
        """Equal while the same is visible."""
        rights = [
            (int(box.id), await self._rights.allowed(self.subject, self.account, box.id))
            for box in await self._store.mailboxes(self.account)
        ]
        shown = ",".join(f"{box}{letters}" for box, letters in sorted(rights) if letters)
        return hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()

    async def _may(self, action: str, mailbox: MailboxId) -> bool:
        return await self._rights.may(self.subject, action, self.account, mailbox)

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]:
        """With the owner's names, and the reader's subscriptions and counts."""
        owner = await self._rights.owner(self._own(account))
        if owner is None:
            raise NoSuchAccount(str(account))
        prefix, reader = owner.prefix(self.subject), self.subject.account
        found: list[Mailbox] = []
        for box in await self._store.mailboxes_seen_by(reader, account):
            if await self._may(LIST, box.id) or await self._may(READ, box.id):
                is_subscribed = await subscribed(self._store, reader, prefix + box.name)
                found.append(replace(box, subscribed=is_subscribed))
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
        kept = [at for at, box in enumerate(whole.mailboxes) if box in visible]
        flags = bytearray(
            _seen(whole.flags[at], whole.uids[at], marks[whole.mailboxes[at]].seen) for at in kept
        )
        names = ("mailboxes", "uids", "emails", "threads", "dates", "sizes")
        columns = {
            name: type(column)(column.typecode, [column[at] for at in kept])
            for name in names
            for column in (getattr(whole, name),)
        }
        keywords = {new: whole.keywords[old] for new, old in enumerate(kept) if old in whole.keywords}
        return replace(whole, flags=flags, keywords=keywords, **columns)

    async def account_changes(self, account: AccountId, since: ModSeq) -> AccountChanges:
        """As of ``AccountReader``; what others have seen is no change. Errors: NoSuchAccount."""
        found = await self._store.account_changes(self._own(account), since)
        visible = await self.readable()
        rows: list[Placed] = []
        complete = found.complete
        touched = [box for box in found.mailboxes if box in visible]
        for box in sorted(visible):
            mailbox = MailboxId(box)
            news = await self._store.changes_seen_by(self.subject.account, account, mailbox, since)
            complete = complete and news.complete
            if news.changed.uids:
                marks = await self._marks_of(mailbox)
                marks.modseqs.update(zip(news.changed.uids, news.changed.modseqs, strict=True))
                rows += await self._placed(mailbox, news.changed)
                if mailbox not in touched:
                    touched.append(mailbox)
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

    async def _shown(self, rows: Iterable[Message]) -> tuple[Message, ...]:
        visible: dict[MailboxId, bool] = {}
        marks: dict[MailboxId, _Marks] = {}
        found: list[Message] = []
        for row in rows:
            if row.mailbox not in visible:
                visible[row.mailbox] = await self._may(READ, row.mailbox)
                if visible[row.mailbox]:
                    marks[row.mailbox] = await self._marks_of(row.mailbox)
            if visible[row.mailbox]:
                mine = marks[row.mailbox]
                modseq = ModSeq(max(row.modseq, mine.modseqs.get(row.uid, 0)))
                found.append(replace(row, flags=_seen(row.flags, row.uid, mine.seen), modseq=modseq))
        return tuple(found)

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


def _seen(flags: int, uid: int, seen: set[int]) -> int:
    return flags | SEEN if uid in seen else flags & ~SEEN
