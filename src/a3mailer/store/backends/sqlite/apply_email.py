"""Executing the operations on emails: all rows of an email, in whatever mailboxes they are."""

from __future__ import annotations

from array import array
from typing import Final

import apsw

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage, OverQuota
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import EmailId, ModSeq
from a3mailer.store.backends.sqlite.apply_mail import (
    IN_VAULT,
    MOVED,
    NUMBER_BITS,
    add_copy,
    expunge_rows,
)
from a3mailer.store.backends.sqlite.apply_seen import carry
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger, Row
from a3mailer.store.operations import ChangeEmail, Destroyed, DestroyEmails, Done, RememberSignature

ROWS: Final = (
    "SELECT m.mailbox, m.uid, m.flags, m.keywords, m.modseq, m.email, m.size, m.thread, m.internal_date,"
    " m.saved_date, m.blob, m.added, m.twin"
)
OF_EMAILS: Final = (
    " FROM carray(?1) AS c CROSS JOIN fragments AS f ON f.id = (?3 | c.value) CROSS JOIN messages AS m"
    " ON m.account = ?2 AND m.mailbox = f.mailbox AND m.uid = f.uid AND m.copied = 0",
    " FROM carray(?1) AS c CROSS JOIN messages AS m INDEXED BY messages_copied"
    " ON m.account = ?2 AND m.email = c.value AND m.copied = 1",
)
"""Where rows of emails (?1) of an account (?2, ?3 shifted) are found: where they came in, and elsewhere."""
_OF_EMAILS: Final = " UNION ALL ".join(ROWS + source for source in OF_EMAILS)


def rows_of(ledger: Ledger, account: int, emails: tuple[EmailId, ...]) -> list[Row]:
    """Live rows, (mailbox, row as ``expunge_rows`` takes it), by email, mailbox and uid."""
    ledger.flush()
    wanted = apsw.carray(array("q", sorted(set[int](emails)) or [0]))
    rows = ledger.execute(_OF_EMAILS, (wanted, account, account << NUMBER_BITS)).fetchall()
    return sorted(rows, key=lambda row: (row[5], row[0], row[1]))


def change_email(ledger: Ledger, op: ChangeEmail, work: Work) -> Done:
    """One modseq for all rows and mailboxes that really change. No mailbox gets a second row: no twins."""
    account = ledger.touch_account(op.account)
    rows = rows_of(ledger, op.account, (op.email,))
    shown = [row for row in rows if not row[2] & DELETED]
    if not shown:
        raise NoSuchMessage(str(op.email))
    have = {row[0] for row in shown}
    wanted = have if op.mailboxes is None else set(op.mailboxes)
    wanted = (wanted | set(op.into)) - set(op.out_of)
    if not wanted:
        raise NoSuchMailbox("an email is in one mailbox at least")
    merged = _after(op, *_merged(shown))
    modseq = account.modseq + 1
    changed = _mark(ledger, op, [row for row in rows if row[0] in wanted], merged, modseq)
    entering = wanted - {row[0] for row in rows}
    leaving = have - wanted
    grown = (len(entering) - len(leaving)) * shown[0][6]
    if grown > 0 and account.quota and account.used_octets + grown > account.quota:
        raise OverQuota(f"{account.used_octets} of {account.quota} octets used")
    for number in sorted(entering):
        mailbox = ledger.touch_mailbox(op.account, number)
        ledger.add_keywords(mailbox, merged[1] or "")
        source, uid, *_ = shown[0]
        fresh = add_copy(ledger, account, mailbox, modseq, *merged, shown[0][1:])
        carry(ledger, (op.account, source), mailbox, [(uid, fresh)], modseq, 0)
    ledger.flush()
    for row in shown:
        if row[0] in leaving:
            mailbox = ledger.touch_mailbox(op.account, row[0])
            expunge_rows(ledger, account, mailbox, [row[1:]], modseq, MOVED)
    ledger.execute(
        "UPDATE fragments SET copies = copies + ? WHERE id = ?",
        (len(entering) - sum(row[0] in leaving for row in shown), op.account << NUMBER_BITS | op.email),
    )
    if changed := changed | entering | leaving:
        ledger.next_modseq(account, *[ledger.touch_mailbox(op.account, number) for number in sorted(changed)])
    return Done(ModSeq(account.modseq))


def _merged(rows: list[Row]) -> tuple[int, str]:
    """What an email has that differs between its rows: any of them counts, \\Seen only where all have it."""
    flags, seen = 0, SEEN
    keywords: set[str] = set()
    for row in rows:
        flags |= row[2]
        seen &= row[2]
        keywords.update((row[3] or "").split())
    return flags & ~SEEN | seen, " ".join(sorted(keywords))


def _after(op: ChangeEmail, flags: int, keywords: str | None) -> tuple[int, str | None]:
    flags = (flags | op.flags_on) & ~op.flags_off
    if not op.keywords and op.keywords_off == ():
        return flags, keywords or None
    words = set() if op.keywords_off is None else set((keywords or "").split()) - set(op.keywords_off)
    return flags, " ".join(sorted(words | set(op.keywords))) or None


def _mark(
    ledger: Ledger, op: ChangeEmail, staying: list[Row], merged: tuple[int, str | None], modseq: int
) -> set[int]:
    """Flags and keywords of the rows that stay; the mailboxes in which one really changed."""
    shown = {row[0] for row in staying if not row[2] & DELETED}
    changes = []
    for row in staying:
        before = row[2]
        if before & DELETED and row[0] in shown:
            continue
        flags, text = merged if before & DELETED else _after(op, before, row[3])
        if (before, row[3]) != (flags, text):
            mailbox = ledger.touch_mailbox(op.account, row[0])
            mailbox.unseen += (before & SEEN != 0) - (flags & SEEN != 0)
            mailbox.deleted += (flags & DELETED != 0) - (before & DELETED != 0)
            ledger.add_keywords(mailbox, text or "")
            changes.append((flags, text, modseq, op.account, row[0], row[1]))
    ledger.connection.executemany(
        "UPDATE messages SET flags=?, keywords=?, modseq=? WHERE account=? AND mailbox=? AND uid=?", changes
    )
    return {change[4] for change in changes}


def destroy_emails(ledger: Ledger, op: DestroyEmails, work: Work) -> Destroyed:
    """Rows that are marked \\Deleted go as well, but do not make an email one that was there."""
    account = ledger.touch_account(op.account)
    rows = rows_of(ledger, op.account, op.emails)
    there = {row[5] for row in rows if not row[2] & DELETED}
    by_mailbox: dict[int, list[Row]] = {}
    for row in rows:
        if row[5] in there:
            by_mailbox.setdefault(row[0], []).append(row[1:])
    if by_mailbox:
        states = {number: ledger.touch_mailbox(op.account, number) for number in sorted(by_mailbox)}
        modseq = ledger.next_modseq(account, *states.values())
        for number, state in states.items():
            expunge_rows(ledger, account, state, by_mailbox[number], modseq, IN_VAULT)
    return Destroyed(tuple([EmailId(email) for email in sorted(there)]), ModSeq(account.modseq))


def remember_signature(ledger: Ledger, op: RememberSignature, work: Work) -> Done:
    """Rows that are marked \\Deleted change as well: they may come back."""
    account = ledger.touch_account(op.account)
    rows = rows_of(ledger, op.account, (op.email,))
    if not rows:
        raise NoSuchMessage(str(op.email))
    number = op.account << NUMBER_BITS | op.email
    ledger.execute("UPDATE fragments SET smime = ? WHERE id = ?", (op.value, number))
    if op.told:
        boxes = [ledger.touch_mailbox(op.account, box) for box in sorted({row[0] for row in rows})]
        modseq = ledger.next_modseq(account, *boxes)
        ledger.connection.executemany(
            "UPDATE messages SET modseq=? WHERE account=? AND mailbox=? AND uid=?",
            [(modseq, op.account, row[0], row[1]) for row in rows],
        )
    return Done(ModSeq(account.modseq))
