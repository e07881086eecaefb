"""Reading another's mailbox as one of its readers sees it."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Final

import apsw

from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, MailboxId, ModSeq
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.read_mail import (
    Readers,
    mailbox_row,
    mailbox_rows,
    read_changes,
    read_columns,
    read_some,
    sliced,
    to_mailbox,
)
from a3mailer.store.rows import Changes, Columns, Mailbox

_COUNTS: Final = "SELECT mailbox, seen FROM seers WHERE account=? AND reader=?"
_COUNT: Final = "SELECT seen FROM seers WHERE account=? AND mailbox=? AND reader=?"
_MARKS: Final = "SELECT uid, modseq, seen FROM seen WHERE account=? AND mailbox=? AND reader=?"
_FIRST: Final = (
    "SELECT s.seen FROM messages m LEFT JOIN seen s"
    " ON s.account = m.account AND s.mailbox = m.mailbox AND s.reader = ?3 AND s.uid = m.uid"
    " WHERE m.account = ?1 AND m.mailbox = ?2 ORDER BY m.uid LIMIT ?4"
)
_WITHOUT: Final = bytes(bits & ~SEEN for bits in range(256))
MANY: Final = 1000
"""Messages beyond which all marks of the mailbox are read."""


class ReadSeen:
    """The SeenReader door (``store.ports``)."""

    def __init__(self, readers: Readers) -> None:
        self._seen_readers = readers

    async def mailboxes_seen_by(self, reader: AccountId, account: AccountId) -> tuple[Mailbox, ...]:
        with self._seen_readers.lend() as execute:
            rows = mailbox_rows(execute, account)
            seen: dict[int, int] = dict(execute(_COUNTS, (account, reader)).fetchall())
        return tuple([_counted(to_mailbox(row), seen.get(row[1], 0)) for row in rows])

    async def mailbox_seen_by(self, reader: AccountId, account: AccountId, mailbox: MailboxId) -> Mailbox:
        with self._seen_readers.lend() as execute:
            row = mailbox_row(execute, account, mailbox)
            return _counted(to_mailbox(row), _seen_count(execute, account, mailbox, reader))

    async def columns_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[Mailbox, Columns]:
        with self._seen_readers.lend() as execute:
            box, columns = await read_columns(execute, account, mailbox)
            box = _counted(box, _seen_count(execute, account, mailbox, reader))
            await _overlay(execute, columns, (account, mailbox, reader))
        return box, columns

    async def first_unseen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId
    ) -> tuple[ModSeq, int]:
        with self._seen_readers.lend() as execute:
            row = mailbox_row(execute, account, mailbox)
            marks = execute(_FIRST, (account, mailbox, reader, MANY)).fetchall()
        place = next((at for at, (seen,) in enumerate(marks) if not seen), -1)
        return to_mailbox(row).modseq, place

    async def changes_seen_by(
        self, reader: AccountId, account: AccountId, mailbox: MailboxId, since: ModSeq
    ) -> Changes:
        key = (account, mailbox, reader)
        with self._seen_readers.lend() as execute:
            changes = await read_changes(execute, account, mailbox, since)
            known = set(changes.changed.uids)
            rows = execute(
                "SELECT uid FROM seen WHERE account=? AND mailbox=? AND reader=? AND modseq > ?",
                (*key, since),
            ).fetchall()
            more = [uid for (uid,) in rows if uid not in known]
            if more:
                wanted = array("q", sorted((*known, *more)))
                changes = replace(changes, changed=await read_some(execute, account, mailbox, wanted))
            await _overlay(execute, changes.changed, key)
        return changes


def _seen_count(execute: Execute, account: int, mailbox: int, reader: int) -> int:
    row = execute(_COUNT, (account, mailbox, reader)).fetchone()
    return int(row[0]) if row else 0


def _counted(box: Mailbox, seen: int) -> Mailbox:
    return replace(box, unseen=box.messages - seen)


async def _overlay(execute: Execute, columns: Columns, key: tuple[int, int, int]) -> None:
    """Put the reader's marks in place of the owner's \\Seen."""
    flags, modseqs = columns.flags, columns.modseqs
    columns.flags[:] = flags.translate(_WITHOUT)
    if not columns.uids:
        return
    places = {uid: at for at, uid in enumerate(columns.uids)}
    if len(places) > MANY:
        cursor = execute(_MARKS, key)
    else:
        cursor = execute(_MARKS + " AND uid IN carray(?)", (*key, apsw.carray(array("q", places))))
    async for rows in sliced(cursor):
        for uid, changed, seen in rows:
            at = places.get(uid)
            if at is not None:
                flags[at] |= SEEN if seen else 0
                modseqs[at] = max(modseqs[at], changed)
