"""Executing what forgets: releasing blobs, the vault's purge, expiry, erasure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import apsw

from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.store.backends.sqlite.apply_documents import forget_all_annotations
from a3mailer.store.backends.sqlite.apply_mail import IN_VAULT, NUMBER_BITS, TOMBSTONE, expunge_rows
from a3mailer.store.backends.sqlite.apply_seen import forget_account
from a3mailer.store.backends.sqlite.apply_sharing import forget_owner
from a3mailer.store.backends.sqlite.extents import PART_FROM
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import (
    DELIVERY_DAYS,
    FINISHED_DAYS,
    RECEIPT_DAYS,
    Done,
    DropTombstones,
    EraseEmails,
    ExpireMailboxes,
    Purged,
    PurgeVault,
    Sweep,
)

DAY: Final = 86_400


_PARTS: Final = "SELECT part, count(*) FROM blob_parts WHERE tenant=? AND blob=? GROUP BY part"


def release_content(
    ledger: Ledger, tenant: int, blob: bytes, account: int, size: int, count: int = 1
) -> None:
    """``count`` emails or queue entries of ``account`` less hold this content of ``size`` octets."""
    if size > PART_FROM:
        for part, places in ledger.execute(_PARTS, (tenant, blob)).fetchall():
            _release_blob(ledger, tenant, part, account, count * places)
    _release_blob(ledger, tenant, blob, account, count)


def _release_blob(ledger: Ledger, tenant: int, blob: bytes, account: int, count: int) -> None:
    """``account`` holds the blob ``count`` times less; the last reference of all frees the contents."""
    key = (tenant, blob, account)
    row = ledger.execute(
        "SELECT count FROM blob_refs WHERE tenant=? AND blob=? AND account=?", key
    ).fetchone()
    if row is None:
        return
    if row[0] > count:
        ledger.execute(
            "UPDATE blob_refs SET count = count - ? WHERE tenant=? AND blob=? AND account=?", (count, *key)
        )
        return
    ledger.execute("DELETE FROM blob_refs WHERE tenant=? AND blob=? AND account=?", key)
    if (
        ledger.execute("SELECT 1 FROM blob_refs WHERE tenant=? AND blob=? LIMIT 1", key[:2]).fetchone()
        is None
    ):
        _free_blob(ledger, tenant, blob)


def _free_blob(ledger: Ledger, tenant: int, blob: bytes) -> None:
    row = ledger.execute(
        "DELETE FROM blobs WHERE tenant=? AND blob=? RETURNING segment, length, hash, own", (tenant, blob)
    ).fetchone()
    if row is None:
        return
    segment, length, digest, own = row
    if own is not None:
        ledger.execute("DELETE FROM blob_parts WHERE tenant=? AND blob=?", (tenant, blob))
    ledger.execute(
        "UPDATE segments SET live = live - ?, records = records - 1 WHERE segment=?", (length, segment)
    )
    if digest is not None:
        ledger.execute("DELETE FROM blob_hashes WHERE tenant=? AND hash=? AND blob=?", (tenant, digest, blob))


def _release_email(ledger: Ledger, account: int, email: int, copies: int = 1) -> None:
    """``copies`` rows less hold this email; with the last one fragments and contents go."""
    number = account << NUMBER_BITS | email
    row = ledger.execute("SELECT copies, blob, size FROM fragments WHERE id=?", (number,)).fetchone()
    if row is None:
        return
    if row[0] > copies:
        ledger.execute("UPDATE fragments SET copies = copies - ? WHERE id=?", (copies, number))
        return
    ledger.execute("DELETE FROM fragments WHERE id=?", (number,))
    release_content(ledger, ledger.account(account).tenant, row[1], account, row[2])


def purge_vault(ledger: Ledger, op: PurgeVault, work: Work) -> Purged:
    """What is left is a tombstone that says nothing but that a uid is gone."""
    ledger.flush()
    rows = ledger.execute(
        "SELECT account, mailbox, modseq, uid, email FROM expunged WHERE kept = 1 AND expunged_at < ?"
        " ORDER BY expunged_at LIMIT ?",
        (op.before, op.limit),
    ).fetchall()
    for account, mailbox, modseq, uid, email in rows:
        _to_tombstone(ledger, account, mailbox, modseq, uid)
        _release_email(ledger, account, email)
    return Purged(len(rows))


def _to_tombstone(ledger: Ledger, account: int, mailbox: int, modseq: int, uid: int) -> None:
    ledger.execute(
        "UPDATE expunged SET kept=0, flags=0, keywords=NULL, size=0, internal_date=0, saved_date=0, blob=x''"
        " WHERE account=? AND mailbox=? AND modseq=? AND uid=?",
        (account, mailbox, modseq, uid),
    )


def expire_mailboxes(ledger: Ledger, op: ExpireMailboxes, work: Work) -> Purged:
    """By the date a message came into the mailbox, oldest first."""
    ledger.flush()
    count = 0
    expiring = ledger.execute(
        "SELECT account, mailbox, expire_days FROM mailboxes WHERE expire_days > 0"
    ).fetchall()
    for account, mailbox, days in expiring:
        if count >= op.limit:
            break
        rows = ledger.execute(
            "SELECT uid, flags, keywords, modseq, email, size, thread, internal_date, saved_date, blob, added"
            " FROM messages WHERE account=? AND mailbox=? AND saved_date < ? ORDER BY uid LIMIT ?",
            (account, mailbox, op.now - days * DAY, op.limit - count),
        ).fetchall()
        if rows:
            owner, state = ledger.touch_account(account), ledger.touch_mailbox(account, mailbox)
            expunge_rows(ledger, owner, state, rows, ledger.next_modseq(owner, state), IN_VAULT)
            count += len(rows)
    return Purged(count)


def erase_emails(ledger: Ledger, op: EraseEmails, work: Work) -> Done:
    """Out of every mailbox and the vault at once; other sessions still learn that the uids are gone."""
    account = ledger.touch_account(op.account)
    if not op.emails:
        return Done(account.modseq)
    ledger.flush()
    wanted = array("q", op.emails)
    rows = ledger.execute(
        "SELECT mailbox, uid, flags, keywords, modseq, email, size, thread, internal_date, saved_date, blob,"
        " added"
        " FROM messages WHERE account=? AND email IN carray(?) ORDER BY mailbox, uid",
        (op.account, apsw.carray(wanted)),
    ).fetchall()
    for number in sorted({row[0] for row in rows}):
        state = ledger.touch_mailbox(op.account, number)
        mine = [row[1:] for row in rows if row[0] == number]
        expunge_rows(ledger, account, state, mine, ledger.next_modseq(account, state), TOMBSTONE)
    tombstones = ledger.execute(
        "SELECT mailbox, modseq, uid FROM expunged WHERE account=? AND email IN carray(?)",
        (op.account, apsw.carray(wanted)),
    ).fetchall()
    for mailbox, modseq, uid in tombstones:
        _to_tombstone(ledger, op.account, mailbox, modseq, uid)
    for email in op.emails:
        erase_email(ledger, op.account, email)
    _note_erasure(ledger, account.tenant)
    return Done(account.modseq)


def _note_erasure(ledger: Ledger, tenant: int) -> None:
    """The tenant's dictionary may hold pieces of what was erased: a new one is trained."""
    ledger.execute("UPDATE tenants SET erased=1 WHERE tenant=? AND dictionary > 0 AND erased = 0", (tenant,))


def erase_email(ledger: Ledger, account: AccountId, email: EmailId) -> None:
    """Fragments and contents of an email, however many rows held it."""
    _release_email(ledger, account, email, copies=1 << 62)


def erase_mail(ledger: Ledger, account: int) -> None:
    """Every email, message, tombstone, thread and mailbox of an account: HEAVY, counters are the caller's."""
    ledger.forget(account)
    forget_owner(ledger, account)
    forget_account(ledger, account)
    forget_all_annotations(ledger, account)
    first, last = account << NUMBER_BITS, (account << NUMBER_BITS) | (1 << NUMBER_BITS) - 1
    tenant = ledger.account(account).tenant
    held = ledger.execute(
        "SELECT blob, max(size), count(*) FROM fragments WHERE id BETWEEN ? AND ? GROUP BY blob",
        (first, last),
    ).fetchall()
    for blob, size, count in held:
        release_content(ledger, tenant, blob, account, size, count)
    release_uploads(ledger, ledger.execute(_UPLOADS_OF, (account,)).fetchall())
    ledger.execute("DELETE FROM fragments WHERE id BETWEEN ? AND ?", (first, last))
    _note_erasure(ledger, tenant)
    for sql in (
        "DELETE FROM messages WHERE account=?",
        "DELETE FROM expunged WHERE account=?",
        "DELETE FROM threads WHERE account=?",
        "DELETE FROM deliveries WHERE account=?",
        "DELETE FROM mailboxes WHERE account=?",
        "DELETE FROM mailboxes_gone WHERE account=?",
        "UPDATE accounts SET tombstones_from = modseq WHERE account=?",
    ):
        ledger.execute(sql, (account,))


_UPLOADS: Final = "SELECT number, account, blob, size FROM uploads"
_UPLOADS_OF: Final = _UPLOADS + " WHERE account=?1 OR uploader=?1"
_UPLOADS_OVER: Final = _UPLOADS + " WHERE expires < ? LIMIT ?"


def release_uploads(ledger: Ledger, rows: Sequence[tuple[int, int, bytes, int]]) -> None:
    """Let uploads go: rows of (number, account, blob, size)."""
    for number, account, blob, size in rows:
        ledger.execute("DELETE FROM uploads WHERE number=?", (number,))
        release_content(ledger, ledger.account(account).tenant, blob, account, size)


def sweep(ledger: Ledger, op: Sweep, work: Work) -> Purged:
    """Bounded by ``limit`` a table, so that a batch is never held up for long."""
    ledger.flush()
    before = ledger.connection.total_changes()
    ledger.execute(
        "DELETE FROM receipts WHERE (fingerprint, number) IN"
        " (SELECT fingerprint, number FROM receipts WHERE at < ? LIMIT ?)",
        (op.now - RECEIPT_DAYS * DAY, op.limit),
    )
    ledger.execute(
        "DELETE FROM deliveries WHERE (account, key) IN"
        " (SELECT account, key FROM deliveries WHERE at < ? ORDER BY at LIMIT ?)",
        (op.now - DELIVERY_DAYS * DAY, op.limit),
    )
    ledger.execute(
        "DELETE FROM addresses WHERE address IN (SELECT address FROM addresses"
        " WHERE kind = 'reserved' AND reserved_until < ? LIMIT ?)",
        (op.now, op.limit),
    )
    ledger.execute(
        "DELETE FROM tokens WHERE (account, digest) IN"
        " (SELECT account, digest FROM tokens WHERE expires > 0 AND expires < ? LIMIT ?)",
        (op.now, op.limit),
    )
    ledger.execute(
        "DELETE FROM documents WHERE (account, kind, name) IN"
        " (SELECT account, kind, name FROM documents WHERE expires > 0 AND expires < ? LIMIT ?)",
        (op.now, op.limit),
    )
    ledger.execute(_FORGET_FINISHED, (op.now - FINISHED_DAYS * DAY, op.limit))
    count = ledger.connection.total_changes() - before
    uploads = ledger.execute(_UPLOADS_OVER, (op.now, op.limit)).fetchall()
    release_uploads(ledger, uploads)
    return Purged(count + len(uploads))


# The oldest rows only are looked at: one that a wrong clock has written keeps those behind it until its time.
_FORGET_FINISHED: Final = (
    "DELETE FROM finished WHERE number IN (SELECT number FROM (SELECT number, time FROM finished"
    " ORDER BY number LIMIT ?2)"
    " WHERE number < ifnull((SELECT min(number) FROM (SELECT number, time FROM finished ORDER BY number"
    " LIMIT ?2) WHERE time >= ?1), 9223372036854775807))"
)


def drop_tombstones(ledger: Ledger, op: DropTombstones, work: Work) -> Purged:
    """Oldest first. A mailbox remembers up to where it forgot, and its account for those that are deleted."""
    ledger.flush()
    rows = ledger.execute(
        "SELECT account, mailbox, modseq, uid FROM expunged WHERE kept <> 1 AND expunged_at < ?"
        " ORDER BY expunged_at LIMIT ?",
        (op.before, op.limit),
    ).fetchall()
    newest: dict[tuple[int, int], int] = {}
    for account, mailbox, modseq, _ in rows:
        newest[account, mailbox] = max(modseq, newest.get((account, mailbox), 0))
    ledger.connection.executemany(
        "UPDATE mailboxes SET tombstones_from = max(tombstones_from, ?) WHERE account=? AND mailbox=?",
        [(modseq, *place) for place, modseq in newest.items()],
    )
    boxes = ledger.execute(
        "SELECT account, modseq, mailbox FROM mailboxes_gone WHERE at < ? ORDER BY at LIMIT ?",
        (op.before, op.limit),
    ).fetchall()
    ledger.connection.executemany(
        "UPDATE accounts SET tombstones_from = max(tombstones_from, ?) WHERE account=?",
        [(row[2], row[0]) for row in rows] + [(row[1], row[0]) for row in boxes],
    )
    ledger.connection.executemany(
        "DELETE FROM mailboxes_gone WHERE account=? AND modseq=? AND mailbox=?", boxes
    )
    ledger.connection.executemany(
        "DELETE FROM expunged WHERE account=? AND mailbox=? AND modseq=? AND uid=?", rows
    )
    return Purged(len(rows))
