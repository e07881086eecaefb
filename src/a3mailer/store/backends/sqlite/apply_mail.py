"""Executing the operations on messages: append, copy, move, flags, expunge, undelete."""

from __future__ import annotations

from array import array
from typing import Final

import apsw

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage, OverQuota
from a3mailer.mail.flags import ALL_FLAGS, DELETED, SEEN, keywords_text
from a3mailer.mail.ids import EmailId, MailboxId, ModSeq, ThreadId, Uid
from a3mailer.store.backends.sqlite.apply_seen import as_seen, carry, forget_messages, marks
from a3mailer.store.backends.sqlite.apply_seen import put as put_marks
from a3mailer.store.backends.sqlite.apply_twins import Twins
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import AccountState, Ledger, MailboxState, Row
from a3mailer.store.operations import (
    Append,
    Appended,
    Copied,
    Copy,
    Expunge,
    Expunged,
    Flagged,
    StoreFlags,
    Undelete,
)

NUMBER_BITS: Final = 32
"""Packed ids: account << NUMBER_BITS | number."""
TOMBSTONE: Final = 0
IN_VAULT: Final = 1
MOVED: Final = 2


def append(ledger: Ledger, op: Append, work: Work) -> Appended:
    """The path of every delivery: counters in memory, rows in waiting, two look-ups at most."""
    if op.delivery and (known := ledger.delivery(op.account, op.delivery)):
        mailbox_id, validity, uid, modseq, email, thread = known
        return Appended(
            MailboxId(mailbox_id), validity, Uid(uid), ModSeq(modseq), EmailId(email), ThreadId(thread)
        )
    mailbox = ledger.touch_mailbox(op.account, op.mailbox)
    account = ledger.touch_account(op.account)
    piece = work.pieces[op.content]
    size = piece.size
    if op.check_quota and account.quota and account.used_octets + size > account.quota:
        raise OverQuota(f"{account.used_octets} of {account.quota} octets used")
    keywords = None
    if op.keywords:
        keywords = keywords_text(op.keywords)
        ledger.add_keywords(mailbox, keywords)
    email = account.next_email
    account.next_email = email + 1
    uid = _take_uid(mailbox)
    modseq = ledger.next_modseq(account, mailbox)
    thread = ledger.thread(op.account, piece.thread_keys, email)
    _count(account, mailbox, 1, op.flags, size)
    ledger.keep(work.pieces, op.content, work.tenant, op.account)
    date = op.internal_date or ledger.now
    add = ledger.add
    add(
        "messages",
        (op.account, op.mailbox, uid, op.flags, modseq, modseq, email, size, keywords, thread, date,
         ledger.now, piece.blob),
    )  # fmt: skip
    add(
        "fragments",
        (op.account << NUMBER_BITS | email, 1 + len(op.also), size, piece.sent_date, piece.has_attachment,
         piece.blob, piece.envelope, piece.bodystructure, piece.subject, piece.preview, piece.parts,
         op.mailbox, uid, piece.lineage),
    )  # fmt: skip
    for number in op.also:
        further = ledger.touch_mailbox(op.account, number)
        ledger.add_keywords(further, keywords or "")
        first = (
            uid,
            op.flags,
            keywords,
            modseq,
            email,
            size,
            thread,
            date,
            ledger.now,
            piece.blob,
            modseq,
            0,
        )
        add_copy(ledger, account, further, modseq, op.flags, keywords, first)
        further.modseq = modseq
        ledger.hints.append((op.account, number, modseq))
    if op.delivery:
        row = (op.mailbox, mailbox.uid_validity, uid, modseq, email, thread)
        ledger.add_delivery(op.account, op.delivery, row)
    return Appended(
        op.mailbox, mailbox.uid_validity, Uid(uid), ModSeq(modseq), EmailId(email), ThreadId(thread)
    )


def add_copy(
    ledger: Ledger,
    account: AccountState,
    mailbox: MailboxState,
    modseq: int,
    flags: int,
    keywords: str | None,
    row: Row,
    twins: Twins | None = None,
) -> int:
    """A row of ``_SELECT`` once more in a (touched) mailbox; its new uid."""
    _, _, _, _, email, size, thread, internal_date, _, blob, _, twin = row
    uid = _take_uid(mailbox)
    if twins is not None:
        twin = twins.enter(email, twin, uid)
    _count(account, mailbox, 1, flags, size)
    ledger.add(
        "copies",
        (account.account, mailbox.mailbox, uid, flags, modseq, modseq, email, size, keywords, thread,
         internal_date, ledger.now, blob, twin),
    )  # fmt: skip
    return uid


def _take_uid(mailbox: MailboxState) -> int:
    uid: int = mailbox.uid_next
    mailbox.uid_next = uid + 1
    return uid


def _count(account: AccountState, mailbox: MailboxState, messages: int, flags: int, size: int) -> None:
    mailbox.count(messages, flags, size)
    account.used_messages += messages
    account.used_octets += messages * size


def uid_array(uids: tuple[Uid, ...]) -> array[int]:
    """Numbers as SQLite's carray wants them: never empty (0 is no uid)."""
    return array("q", sorted(set[int](uids)) or [0])


_FIELDS: Final = (
    "SELECT uid, flags, keywords, modseq, email, size, thread, internal_date, saved_date, blob, added, twin"
    " FROM messages"
)
_SELECT: Final = _FIELDS + " WHERE account = ? AND mailbox = ? AND uid IN carray(?) ORDER BY uid"


_UPDATE: Final = "UPDATE messages SET flags=?, keywords=?, modseq=? WHERE account=? AND mailbox=? AND uid=?"


def _select(ledger: Ledger, account: int, mailbox: int, uids: tuple[Uid, ...]) -> list[Row]:
    ledger.flush()
    return ledger.execute(_SELECT, (account, mailbox, apsw.carray(uid_array(uids)))).fetchall()


def store_flags(ledger: Ledger, op: StoreFlags, work: Work) -> Flagged:
    """One modseq for all messages that really change (RFC 7162 section 3.1.3)."""
    mailbox = ledger.touch_mailbox(op.account, op.mailbox)
    account = ledger.touch_account(op.account)
    if op.reader or op.mask != ALL_FLAGS or not op.words:
        return _store_some(ledger, op, account, mailbox)
    words = set(op.keywords)
    changes: list[Row] = []
    refused: list[Uid] = []
    modseq = account.modseq + 1
    for uid, flags, keywords, since, *_ in _select(ledger, op.account, op.mailbox, op.uids):
        if 0 <= op.unchanged_since < since:
            refused.append(Uid(uid))
            continue
        wanted, text = _flags_after(op, words, flags, keywords)
        if wanted != flags or text != keywords:
            mailbox.unseen += (flags & SEEN != 0) - (wanted & SEEN != 0)
            mailbox.deleted += (wanted & DELETED != 0) - (flags & DELETED != 0)
            changes.append((wanted, text, modseq, op.account, op.mailbox, uid))
    if changes:
        if words and op.mode != "-":
            ledger.add_keywords(mailbox, keywords_text(op.keywords))
        ledger.next_modseq(account, mailbox)
        ledger.connection.executemany(_UPDATE, changes)
    return Flagged(tuple([Uid(row[5]) for row in changes]), tuple(refused), ModSeq(mailbox.modseq))


def _store_some(ledger: Ledger, op: StoreFlags, account: AccountState, mailbox: MailboxState) -> Flagged:
    """Only what the mask lets through, and the \\Seen of a reader apart from that of the owner."""
    rows = _select(ledger, op.account, op.mailbox, op.uids)
    shown = rows
    if op.reader:
        ledger.account(op.reader)
        shown = as_seen(rows, marks(ledger, op.account, op.mailbox, op.reader, [row[0] for row in rows]))
    words, own = set(op.keywords), SEEN if op.reader else 0
    changed: list[Uid] = []
    refused: list[Uid] = []
    changes: list[Row] = []
    seen: list[tuple[int, bool]] = []
    for (uid, base, *_), (_, flags, keywords, since, *_) in zip(rows, shown, strict=True):
        if 0 <= op.unchanged_since < since:
            refused.append(Uid(uid))
            continue
        wanted, text = _flags_after(op, words, flags, keywords)
        wanted = flags & ~op.mask | wanted & op.mask
        text = text if op.words else keywords
        if wanted == flags and text == keywords:
            continue
        changed.append(Uid(uid))
        if (wanted ^ flags) & own:
            seen.append((uid, bool(wanted & SEEN)))
        stored = wanted & ~own | base & own
        if stored != base or text != keywords:
            mailbox.unseen += (base & SEEN != 0) - (stored & SEEN != 0)
            mailbox.deleted += (stored & DELETED != 0) - (base & DELETED != 0)
            changes.append((stored, text, account.modseq + 1, op.account, op.mailbox, uid))
    if changed:
        if words and op.words and op.mode != "-":
            ledger.add_keywords(mailbox, keywords_text(op.keywords))
        modseq = ledger.next_modseq(account, mailbox)
        ledger.connection.executemany(_UPDATE, changes)
        put_marks(ledger, mailbox, op.reader, modseq, seen)
    return Flagged(tuple(changed), tuple(refused), ModSeq(mailbox.modseq))


def _flags_after(op: StoreFlags, words: set[str], flags: int, keywords: str | None) -> tuple[int, str | None]:
    if op.mode == "=":
        return op.flags, keywords_text(op.keywords) or None
    wanted = flags | op.flags if op.mode == "+" else flags & ~op.flags
    if not words:
        return wanted, keywords
    have = set((keywords or "").split())
    have = have | words if op.mode == "+" else have - words
    return wanted, " ".join(sorted(have)) or None


def copy(ledger: Ledger, op: Copy, work: Work) -> Copied:
    """COPY keeps the email (RFC 8474 section 4.1); MOVE expunges the sources with the same modseq."""
    source = ledger.touch_mailbox(op.account, op.source)
    target = ledger.touch_mailbox(op.account, op.target)
    account = ledger.touch_account(op.account)
    rows = _select(ledger, op.account, op.source, op.uids)
    added = sum(row[5] for row in rows)
    if rows and not op.move and account.quota and account.used_octets + added > account.quota:
        raise OverQuota(f"{account.used_octets} of {account.quota} octets used")
    if not rows:
        return Copied(target.uid_validity, (), ModSeq(target.modseq))
    modseq = ledger.next_modseq(
        account, *((source, target) if op.move and source is not target else (target,))
    )
    pairs = []
    copies, mask = rows, op.mask | (SEEN if op.reader else 0)  # of \\Seen the reader's mark is meant
    if mask != ALL_FLAGS or not op.words:
        copies = [(row[0], row[1] & mask, row[2] if op.words else None, *row[3:]) for row in rows]
    ledger.add_keywords(target, " ".join(row[2] for row in copies if row[2]))
    leaving = {row[0] for row in rows} if op.move and source is target else frozenset()
    twins = Twins(ledger, op.account, op.target, (row[4] for row in rows), leaving)
    for row in copies:
        pairs.append(
            (Uid(row[0]), Uid(add_copy(ledger, account, target, modseq, row[1], row[2], row, twins)))
        )
    carry(ledger, (op.account, op.source), target, pairs, modseq, 0 if op.mask & SEEN else op.reader)
    if op.move:
        expunge_rows(ledger, account, source, rows, modseq, MOVED)
    else:
        ledger.connection.executemany(
            "UPDATE fragments SET copies = copies + 1 WHERE id = ?",
            [(op.account << NUMBER_BITS | row[4],) for row in rows],
        )
    ledger.flush()
    return Copied(target.uid_validity, tuple(pairs), ModSeq(modseq))


def expunge(ledger: Ledger, op: Expunge, work: Work) -> Expunged:
    """Rows go to the vault with a tombstone's modseq; contents stay until PurgeVault."""
    mailbox = ledger.touch_mailbox(op.account, op.mailbox)
    account = ledger.touch_account(op.account)
    rows = _select(ledger, op.account, op.mailbox, op.uids)
    if op.every and len(rows) < len(set(op.uids)):
        raise NoSuchMessage("one of them is gone")
    if op.only_deleted:
        rows = [row for row in rows if row[1] & DELETED]
    if rows:
        modseq = ledger.next_modseq(account, mailbox)
        expunge_rows(ledger, account, mailbox, rows, modseq, IN_VAULT)
    return Expunged(tuple([Uid(row[0]) for row in rows]), ModSeq(mailbox.modseq))


def expunge_rows(
    ledger: Ledger, account: AccountState, mailbox: MailboxState, rows: list[Row], modseq: int, kept: int
) -> None:
    """Turn rows of ``_SELECT`` of a (touched) mailbox into tombstones; both states are counted down."""
    for row in rows:
        _count(account, mailbox, -1, row[1], row[5])
    forget_messages(ledger, account.account, mailbox.mailbox, [row[0] for row in rows])
    ledger.connection.executemany(
        "INSERT INTO expunged (account, mailbox, modseq, uid, kept, expunged_at, flags, keywords, email,"
        " size, thread, internal_date, saved_date, blob, added) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (account.account, mailbox.mailbox, modseq, uid, kept, ledger.now, flags, keywords, email, size,
             thread, internal_date, saved_date, blob, added)
            for uid, flags, keywords, _, email, size, thread, internal_date, saved_date, blob, added, *_
            in rows
        ],
    )  # fmt: skip
    ledger.execute(
        "DELETE FROM messages WHERE account = ? AND mailbox = ? AND uid IN carray(?)",
        (account.account, mailbox.mailbox, apsw.carray(array("q", [row[0] for row in rows]))),
    )


def all_rows(ledger: Ledger, account: int, mailbox: int) -> list[Row]:
    """Every message of a mailbox, as ``expunge_rows`` takes them."""
    ledger.flush()
    return ledger.execute(
        _FIELDS + " WHERE account = ? AND mailbox = ? ORDER BY uid", (account, mailbox)
    ).fetchall()


def undelete(ledger: Ledger, op: Undelete, work: Work) -> Copied:
    """The newest row of each email in the vault comes back under a new uid."""
    target = ledger.touch_mailbox(op.account, op.target)
    account = ledger.touch_account(op.account)
    if not op.emails:
        return Copied(target.uid_validity, (), ModSeq(target.modseq))
    rows = ledger.execute(
        "SELECT mailbox, uid, flags, keywords, modseq, email, size, thread, internal_date, saved_date, blob,"
        " added, 0 FROM expunged"
        " WHERE account = ? AND kept = 1 AND email IN carray(?) ORDER BY modseq, mailbox, uid",
        (op.account, apsw.carray(array("q", op.emails))),
    ).fetchall()
    newest = {row[5]: row for row in rows}
    if not newest:
        return Copied(target.uid_validity, (), ModSeq(target.modseq))
    modseq = ledger.next_modseq(account, target)
    pairs = []
    twins = Twins(ledger, op.account, op.target, newest)
    for email in sorted(newest):
        mailbox, *row = newest[email]
        uid, flags, keywords, since = row[:4]
        ledger.add_keywords(target, keywords or "")
        fresh = add_copy(ledger, account, target, modseq, flags & ~DELETED, keywords, tuple(row), twins)
        pairs.append((Uid(uid), Uid(fresh)))
        ledger.execute(
            "UPDATE expunged SET kept = 2 WHERE account=? AND mailbox=? AND modseq=? AND uid=?",
            (op.account, mailbox, since, uid),
        )
    ledger.flush()
    return Copied(target.uid_validity, tuple(pairs), ModSeq(modseq))


def need_mailbox(ledger: Ledger, account: int, name: str) -> int:
    """The id of a mailbox by its canonical name. Errors: NoSuchMailbox."""
    row = ledger.execute(
        "SELECT mailbox FROM mailboxes WHERE account=? AND name=?", (account, name)
    ).fetchone()
    if row is None:
        raise NoSuchMailbox(name)
    return int(row[0])
