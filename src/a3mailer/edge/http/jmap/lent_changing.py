"""Changing emails in another's account: what each act needs of their mailboxes (RFC 8621 section 4.6).

Only the rows of an email that the reader sees are touched. Its \\Seen is a mark of its own. What is put into
a mailbox has there those keywords that the reader may set (RFC 4314 section 4), as COPY of IMAP has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from a3mailer.access.keywords import spelled
from a3mailer.access.loans import Loan
from a3mailer.access.rights import mask_of
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import EmailId, MailboxId, Uid
from a3mailer.store.operations import Append, Copy, Expunge, Operation, SeeNewest, StoreFlags
from a3mailer.store.rows import Mailbox

Rows = Mapping[MailboxId, tuple[Uid, ...]]
"""Of one email, by mailbox."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become of one email."""

    on: int
    off: int
    words_on: frozenset[str]
    words_off: frozenset[str]
    """In lower case."""
    into: tuple[MailboxId, ...]
    out_of: tuple[MailboxId, ...]

    def __bool__(self) -> bool:
        return any((self.on, self.off, self.words_on, self.words_off, self.into, self.out_of))


async def rows_of(loan: Loan, emails: Sequence[EmailId]) -> dict[int, Rows]:
    """What the reader sees of emails; those it sees nothing of are left out."""
    found: dict[int, dict[MailboxId, tuple[Uid, ...]]] = {}
    for row in await loan.view.places(loan.account, emails):
        if not row.flags & DELETED:
            boxes = found.setdefault(int(row.email), {})
            boxes[row.mailbox] = (*boxes.get(row.mailbox, ()), row.uid)
    return dict(found)


def needs_keywords(account: Account, flags: int, words: Iterable[str], boxes: Iterable[int]) -> None:
    """Errors: SetError (``forbidden``)."""
    mailboxes = tuple(boxes)
    if flags & SEEN:
        account.needs("s", *mailboxes)
    if flags & ~SEEN or any(True for _ in words):
        account.needs("w", *mailboxes)


def changing(
    account: Account, loan: Loan, wanted: Wanted, rows: Rows, boxes: Mapping[int, Mailbox]
) -> tuple[Operation, ...]:
    """Errors: SetError (``forbidden``)."""
    needs_keywords(account, wanted.on | wanted.off, wanted.words_on | wanted.words_off, rows)
    account.needs("i", *wanted.into)
    account.needs("te", *wanted.out_of)
    found: list[Operation] = []
    for mailbox, uids in rows.items():
        known = boxes[mailbox].keywords
        on = spelled(tuple(sorted(wanted.words_on)), known)
        off = tuple(word for word in known if word.lower() in wanted.words_off)
        for mode, flags, words in (("+", wanted.on, on), ("-", wanted.off, off)):
            if flags or words:
                found.append(
                    StoreFlags(
                        loan.account, mailbox, uids, mode, flags, words, reader=loan.view.subject.account
                    )
                )
    return (*found, *_moving(loan, wanted, rows))


def _moving(loan: Loan, wanted: Wanted, rows: Rows) -> Iterable[Operation]:
    """Copies first, then what it leaves; the last copy is a move where it can, for the sake of quotas."""
    leaving = list(wanted.out_of)
    source = leaving[0] if leaving else next(iter(rows))
    for number, target in enumerate(wanted.into, 1):
        mask, words = mask_of(loan.letters.get(int(target), ""))
        move = bool(leaving) and number == len(wanted.into)
        uids = rows[source] if move else rows[source][:1]
        reader = loan.view.subject.account
        yield Copy(loan.account, source, uids, target, move, reader, mask, words)
        if move:
            leaving.remove(source)
    for mailbox in leaving:
        yield Expunge(loan.account, mailbox, rows[mailbox])


def destroying(account: Account, loan: Loan, rows: Rows) -> tuple[Operation, ...]:
    """Out of every mailbox where the reader sees it. Errors: SetError (``forbidden``)."""
    account.needs("te", *rows)
    return tuple(Expunge(loan.account, mailbox, uids) for mailbox, uids in rows.items())


def appending(account: Account, loan: Loan, append: Append) -> tuple[Operation, ...]:
    """The same mail as the reader's. Errors: SetError (``forbidden``)."""
    boxes = (append.mailbox, *append.also)
    account.needs("i", *boxes)
    needs_keywords(account, append.flags, append.keywords, boxes)
    reader = loan.view.subject.account
    marks = (SeeNewest(loan.account, box, reader, 1) for box in boxes if append.flags & SEEN)
    plain = Append(
        append.account, append.mailbox, append.content, append.flags & ~SEEN, append.keywords,
        append.internal_date, also=append.also,
    )  # fmt: skip
    return (plain, *marks)
