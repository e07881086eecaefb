"""Keeping what each reader of another's mailbox has seen.

A mailbox nobody but its owner has read anything in costs nothing: the ledger knows those that have readers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from a3mailer.mail.flags import SEEN
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger, MailboxState, Row
from a3mailer.store.operations import Done, SeeNewest

_PUT: Final = "INSERT OR REPLACE INTO seen (account, mailbox, reader, uid, modseq, seen) VALUES (?,?,?,?,?,?)"
_COUNT: Final = (
    "INSERT INTO seers (account, mailbox, reader, seen) VALUES (?,?,?,?)"
    " ON CONFLICT DO UPDATE SET seen = seen + excluded.seen"
)
_MARKS: Final = (
    "SELECT uid, modseq, seen FROM seen WHERE account=? AND mailbox=? AND reader=? AND uid IN carray(?)"
)


def marks(ledger: Ledger, account: int, mailbox: int, reader: int, uids: Sequence[int]) -> dict[int, Row]:
    """(modseq, seen) by uid, where the reader ever had a mark."""
    if (account, mailbox) not in ledger.seers or not uids:
        return {}
    rows = ledger.execute(_MARKS, (account, mailbox, reader, apsw.carray(array("q", uids)))).fetchall()
    return {uid: (modseq, seen) for uid, modseq, seen in rows}


def as_seen(rows: list[Row], found: dict[int, Row]) -> list[Row]:
    """Rows of messages (uid, flags, keywords, modseq, ...) as a reader sees them."""
    out = []
    for uid, flags, keywords, modseq, *rest in rows:
        changed, seen = found.get(uid, (0, 0))
        out.append((uid, flags & ~SEEN | (SEEN if seen else 0), keywords, max(modseq, changed), *rest))
    return out


def put(
    ledger: Ledger, mailbox: MailboxState, reader: int, modseq: int, changes: Sequence[tuple[int, bool]]
) -> None:
    """Set marks: (uid, seen) of messages whose mark was the opposite, or none and not seen."""
    if not changes:
        return
    place = (mailbox.account, mailbox.mailbox)
    ledger.seers.add(place)
    ledger.connection.executemany(_PUT, [(*place, reader, uid, modseq, seen) for uid, seen in changes])
    ledger.execute(_COUNT, (*place, reader, sum(1 if seen else -1 for _, seen in changes)))


def see_newest(ledger: Ledger, op: SeeNewest, work: Work) -> Done:
    """Errors: NoSuchMailbox, NoSuchAccount."""
    mailbox = ledger.touch_mailbox(op.account, op.mailbox)
    account = ledger.touch_account(op.account)
    ledger.account(op.reader)
    ledger.flush()
    rows = ledger.execute(
        "SELECT uid FROM messages WHERE account=? AND mailbox=? ORDER BY uid DESC LIMIT ?",
        (op.account, op.mailbox, max(op.count, 0)),
    ).fetchall()
    uids = sorted(uid for (uid,) in rows)
    found = marks(ledger, op.account, op.mailbox, op.reader, uids)
    fresh = [(uid, True) for uid in uids if not found.get(uid, (0, 0))[1]]
    if not fresh:
        return Done(mailbox.modseq)
    modseq = ledger.next_modseq(account, mailbox)
    put(ledger, mailbox, op.reader, modseq, fresh)
    return Done(modseq)


def carry(
    ledger: Ledger,
    source: tuple[int, int],
    target: MailboxState,
    pairs: Iterable[tuple[int, int]],
    modseq: int,
    without: int,
) -> None:
    """Copies were made: who has seen the one has seen the other, but for ``without`` (0: nobody)."""
    if source not in ledger.seers:
        return
    fresh = dict(pairs)
    rows = ledger.execute(
        "SELECT reader, uid FROM seen WHERE account=? AND mailbox=? AND seen=1 AND reader<>?"
        " AND uid IN carray(?)",
        (*source, without, apsw.carray(array("q", fresh))),
    ).fetchall()
    for reader in sorted({row[0] for row in rows}):
        put(ledger, target, reader, modseq, [(fresh[uid], True) for who, uid in rows if who == reader])


def forget_messages(ledger: Ledger, account: int, mailbox: int, uids: Sequence[int]) -> None:
    """Messages go."""
    if (account, mailbox) not in ledger.seers:
        return
    gone = array("q", uids)
    rows = ledger.execute(
        "SELECT reader, sum(seen) FROM seen WHERE account=? AND mailbox=? AND uid IN carray(?)"
        " GROUP BY reader",
        (account, mailbox, apsw.carray(gone)),
    ).fetchall()
    for reader, count in rows:
        ledger.execute(_COUNT, (account, mailbox, reader, -count))
    ledger.execute(
        "DELETE FROM seen WHERE account=? AND mailbox=? AND uid IN carray(?)",
        (account, mailbox, apsw.carray(gone)),
    )


def forget_mailbox(ledger: Ledger, account: int, mailbox: int) -> None:
    """A mailbox goes."""
    if (account, mailbox) in ledger.seers:
        ledger.execute("DELETE FROM seen WHERE account=? AND mailbox=?", (account, mailbox))
        ledger.execute("DELETE FROM seers WHERE account=? AND mailbox=?", (account, mailbox))


def forget_account(ledger: Ledger, account: int) -> None:
    """All mailboxes of an account go."""
    ledger.execute("DELETE FROM seen WHERE account=?", (account,))
    ledger.execute("DELETE FROM seers WHERE account=?", (account,))


def forget_reader(ledger: Ledger, reader: int) -> None:
    """An account that read others' mailboxes goes."""
    places = ledger.execute("SELECT account, mailbox FROM seers WHERE reader=?", (reader,)).fetchall()
    for place in places:
        ledger.execute("DELETE FROM seen WHERE account=? AND mailbox=? AND reader=?", (*place, reader))
    ledger.execute("DELETE FROM seers WHERE reader=?", (reader,))
