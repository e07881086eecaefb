"""Reading mailboxes and messages: rows, columns, changes, fragments.

Small reads run on the loop at once. Long ones borrow a connection, so that they see one commit while they
give way to others between slices.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId, Uid
from a3mailer.mail.mailbox import with_inbox
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute, Rows, open_reader
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.read_preceding import read_preceding
from a3mailer.store.rows import Changes, Columns, Fragments, Mailbox, Message

SLICE: Final = 1000
"""Rows read before giving way: below 1 ms."""

_MAILBOX: Final = (
    "SELECT account, mailbox, name, uid_validity, uid_next, modseq, messages, unseen, deleted, octets,"
    " special_use, subscribed, expire_days, keywords, added, changed, sort_order, tombstones_from,"
    " noticed"
    " FROM mailboxes WHERE account = ?"
)
_COLUMNS: Final = "SELECT uid, flags, keywords, modseq, email, size FROM messages"
_MESSAGE: Final = (
    "SELECT mailbox, uid, email, thread, flags, keywords, modseq, internal_date, saved_date, size, blob,"
    " added"
)
_ONE: Final = _MESSAGE + " FROM messages WHERE account = ? AND mailbox = ? AND uid = ?"
LOOKED_THROUGH: Final = 1000
"""Messages at either end of a mailbox among which the first unseen one is looked for."""
_FLAGS: Final = "SELECT flags FROM messages WHERE account = ? AND mailbox = ? ORDER BY uid "
Row = tuple[Any, ...]


class Readers:
    """Connections for reading: one for everything short, and spare ones lent to what takes long."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.main = open_reader(directory)
        self._spare: list[apsw.Connection] = []
        self._closed = False

    @contextlib.contextmanager
    def lend(self) -> Iterator[Execute]:
        """A connection that sees one commit until it is given back."""
        connection = self._spare.pop() if self._spare else open_reader(self._directory)
        connection.execute("BEGIN")
        try:
            yield connection.execute
        finally:
            connection.execute("ROLLBACK")
            if self._closed:
                connection.close()
            else:
                self._spare.append(connection)

    def close(self) -> None:
        self._closed = True
        self.main.close()
        while self._spare:
            self._spare.pop().close()


def to_mailbox(row: Row) -> Mailbox:
    """A row of ``_MAILBOX``."""
    return Mailbox(
        AccountId(row[0]),
        MailboxId(row[1]),
        row[2],
        row[3],
        Uid(row[4]),
        ModSeq(row[5]),
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        bool(row[11]),
        row[12],
        tuple(row[13].split()),
        ModSeq(row[14]),
        ModSeq(row[15]),
        row[16],
        Uid(row[18]),
    )


def to_message(account: AccountId, row: Row) -> Message:
    """A row of ``_MESSAGE``."""
    return Message(
        account,
        MailboxId(row[0]),
        Uid(row[1]),
        EmailId(row[2]),
        ThreadId(row[3]),
        row[4],
        row[5] or "",
        ModSeq(row[6]),
        row[7],
        row[8],
        row[9],
        BlobId(row[10]),
        ModSeq(row[11]),
    )


def empty_columns() -> Columns:
    """No messages."""
    return Columns(array("Q"), bytearray(), {}, array("Q"), array("Q"), array("Q"))


def add_rows(columns: Columns, rows: Sequence[Row]) -> None:
    """Append rows of ``_COLUMNS``."""
    if not rows:
        return
    uids, flags, keywords, modseqs, emails, sizes, *_ = zip(*rows, strict=True)
    columns.uids.extend(uids)
    columns.flags.extend(flags)
    columns.modseqs.extend(modseqs)
    columns.emails.extend(emails)
    columns.sizes.extend(sizes)
    if any(keywords):
        columns.keywords.update({uid: words for uid, words in zip(uids, keywords, strict=True) if words})


async def sliced(cursor: Rows) -> AsyncIterator[list[Row]]:
    """A cursor's rows by slices, giving way in between."""
    following = iter(cursor)
    while rows := list(islice(following, SLICE)):
        yield rows
        if len(rows) < SLICE:
            return
        await asyncio.sleep(0)


_TWINS: Final = (
    "SELECT uid, twin FROM messages INDEXED BY messages_twins WHERE account = ? AND mailbox = ? AND twin <> 0"
)


class ReadMail:
    """The MailReader door (``store.ports``)."""

    def __init__(self, readers: Readers, blobs: Blobs) -> None:
        self._readers = readers
        self._read: Execute = readers.main.execute
        self._blobs = blobs

    async def mailboxes(self, account: AccountId) -> tuple[Mailbox, ...]:
        return tuple([to_mailbox(row) for row in mailbox_rows(self._read, account)])

    async def mailbox(self, account: AccountId, mailbox: MailboxId) -> Mailbox:
        return to_mailbox(mailbox_row(self._read, account, mailbox))

    async def mailbox_named(self, account: AccountId, name: str) -> Mailbox:
        row = self._read(_MAILBOX + " AND name = ?", (account, with_inbox(name))).fetchone()
        if row is None:
            raise NoSuchMailbox(name)
        return to_mailbox(row)

    async def columns(self, account: AccountId, mailbox: MailboxId) -> tuple[Mailbox, Columns]:
        with self._readers.lend() as execute:
            return await read_columns(execute, account, mailbox)

    async def twins(self, account: AccountId, mailbox: MailboxId) -> dict[int, int]:
        return dict(self._read(_TWINS, (account, mailbox)).fetchall())

    async def first_unseen(self, account: AccountId, mailbox: MailboxId) -> tuple[ModSeq, int]:
        key = (account, mailbox, LOOKED_THROUGH)
        with self._readers.lend() as execute:
            row = mailbox_row(execute, account, mailbox)
            messages, unseen = row[6], row[7]
            if unseen:
                for place, (flags,) in enumerate(execute(_FLAGS + "LIMIT ?", key)):
                    if not flags & SEEN:
                        return ModSeq(row[5]), place
                for behind, (flags,) in enumerate(execute(_FLAGS + "DESC LIMIT ?", key), 1):
                    unseen -= not flags & SEEN
                    if not unseen:
                        return ModSeq(row[5]), messages - behind
        return ModSeq(row[5]), -1

    async def preceding(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> tuple[ModSeq, list[int]]:
        with self._readers.lend() as execute:
            row = mailbox_row(execute, account, mailbox)
            uid_next, messages = row[4], row[6]
            known = bisect_left(uids, uid_next)
            counts = await read_preceding(execute, (account, mailbox), messages, uid_next, uids[:known])
            return ModSeq(row[5]), [*counts, *([messages] * (len(uids) - known))]

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        """New ones are a suffix by uid (``added`` rises with it), changed ones have an index of their own."""
        with self._readers.lend() as execute:
            return await read_changes(execute, account, mailbox, since)

    async def messages(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid]
    ) -> tuple[Message, ...]:
        if len(uids) == 1:
            row = self._read(_ONE, (account, mailbox, uids[0])).fetchone()
            if row is not None:
                return (to_message(account, row),)
        found: list[Message] = []
        for at in range(0, len(uids), SLICE):
            if at:
                await asyncio.sleep(0)
            wanted = apsw.carray(array("q", sorted(uids[at : at + SLICE])))
            rows = self._read(
                _MESSAGE + " FROM messages WHERE account = ?1 AND mailbox = ?2 AND uid IN carray(?3)"
                " UNION ALL " + _MESSAGE + " FROM expunged"
                " WHERE account = ?1 AND mailbox = ?2 AND uid IN carray(?3) AND kept > 0",
                (account, mailbox, wanted),
            ).fetchall()
            found += [to_message(account, row) for row in rows]
        found.sort(key=_uid)
        return tuple(found)

    async def vault(self, account: AccountId) -> tuple[Message, ...]:
        with self._readers.lend() as execute:
            cursor = execute(
                _MESSAGE + " FROM expunged WHERE account = ? AND kept = 1 ORDER BY mailbox, modseq, uid",
                (account,),
            )
            return tuple([to_message(account, row) async for rows in sliced(cursor) for row in rows])

    async def envelopes(self, account: AccountId, emails: array[int]) -> list[bytes]:
        return await self._bulk(account, emails, _ENVELOPE_RANGE, _ENVELOPE_EACH)

    async def bodystructures(self, account: AccountId, emails: array[int]) -> list[bytes]:
        return await self._bulk(account, emails, _STRUCTURE_RANGE, _STRUCTURE_EACH)

    async def subjects(self, account: AccountId, emails: array[int]) -> list[str | None]:
        return await self._bulk(account, emails, _SUBJECT_RANGE, _SUBJECT_EACH, absent=None)

    async def sent_dates(self, account: AccountId, emails: array[int]) -> list[int | None]:
        return await self._bulk(account, emails, _SENT_RANGE, _SENT_EACH, absent=None)

    async def lineages(self, account: AccountId, emails: array[int]) -> list[bytes | None]:
        return await self._bulk(account, emails, _LINEAGE_RANGE, _LINEAGE_EACH, absent=None)

    async def internal_dates(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> list[int | None]:
        found: list[int | None] = []
        for at in range(0, len(uids), SLICE):
            if at:
                await asyncio.sleep(0)
            part = uids[at : at + SLICE]
            if part[-1] - part[0] < DENSE * len(part):
                rows = self._read(_DATES_RANGE, (account, mailbox, part[0], part[-1])).fetchall()
            else:
                rows = self._read(_DATES_EACH, (account, mailbox, apsw.carray(array("q", part)))).fetchall()
            dates = dict(rows)
            found += [dates.get(uid) for uid in part]
        return found

    async def _bulk(
        self, account: AccountId, emails: array[int], by_range: str, by_each: str, absent: Any = b""
    ) -> list[Any]:
        """One column of fragments; a dense ascending range is one scan, anything else a point read each."""
        found: list[Any] = []
        base = account << NUMBER_BITS
        for at in range(0, len(emails), SLICE):
            if at:
                await asyncio.sleep(0)
            part = emails[at : at + SLICE]
            first, last = part[0], part[-1]
            if last - first == len(part) - 1:
                rows = self._read(by_range, (base | first, base | last)).fetchall()
                if len(rows) == len(part) and part == array(part.typecode, range(first, last + 1)):
                    found += [row[0] for row in rows]
                    continue
            ids = array("q", [base | email for email in part])
            rows = self._read(by_each, (apsw.carray(ids),)).fetchall()
            found += [absent if row[0] is None else row[0] for row in rows]
        return found

    async def fragments(self, account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        found: list[Fragments] = []
        wanted = list(emails)
        for at in range(0, len(wanted), SLICE):
            if at:
                await asyncio.sleep(0)
            ids = array("q", [account << NUMBER_BITS | email for email in wanted[at : at + SLICE]])
            rows = self._read(_FRAGMENTS, (apsw.carray(ids),)).fetchall()
            found += [_to_fragments(row) for row in rows]
        return tuple(found)

    async def octets(self, account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        return await self._blobs.octets(account, blob, start, end)

    async def content_size(self, account: AccountId, blob: BlobId) -> int:
        return self._blobs.size(account, blob)

    async def many_octets(self, account: AccountId, blobs: Sequence[BlobId]) -> list[bytes | None]:
        return await self._blobs.many(account, blobs)

    async def contents(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[int]
    ) -> dict[int, bytes | None]:
        return await self._blobs.of_messages(account, mailbox, uids)


_ENVELOPE_RANGE: Final = "SELECT envelope FROM fragments WHERE id BETWEEN ? AND ? ORDER BY id"
_ENVELOPE_EACH: Final = "SELECT f.envelope FROM carray(?) AS c LEFT JOIN fragments AS f ON f.id = c.value"
_STRUCTURE_RANGE: Final = "SELECT bodystructure FROM fragments WHERE id BETWEEN ? AND ? ORDER BY id"
_STRUCTURE_EACH: Final = (
    "SELECT f.bodystructure FROM carray(?) AS c LEFT JOIN fragments AS f ON f.id = c.value"
)
_SUBJECT_RANGE: Final = "SELECT subject FROM fragments WHERE id BETWEEN ? AND ? ORDER BY id"
_SUBJECT_EACH: Final = "SELECT f.subject FROM carray(?) AS c LEFT JOIN fragments AS f ON f.id = c.value"
_SENT_RANGE: Final = "SELECT sent_date FROM fragments WHERE id BETWEEN ? AND ? ORDER BY id"
_SENT_EACH: Final = "SELECT f.sent_date FROM carray(?) AS c LEFT JOIN fragments AS f ON f.id = c.value"
_LINEAGE_RANGE: Final = "SELECT lineage FROM fragments WHERE id BETWEEN ? AND ? ORDER BY id"
_LINEAGE_EACH: Final = "SELECT f.lineage FROM carray(?) AS c LEFT JOIN fragments AS f ON f.id = c.value"
DENSE: Final = 4
"""Up to so many uids for each that is wanted a range is read, and not one row after the other."""
_DATES_RANGE: Final = (
    "SELECT uid, internal_date FROM messages WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ?"
)
_DATES_EACH: Final = (
    "SELECT uid, internal_date FROM messages WHERE account = ? AND mailbox = ? AND uid IN carray(?)"
)
_FRAGMENTS: Final = (
    "SELECT f.id, f.envelope, f.bodystructure, f.parts, f.preview, f.subject, f.sent_date, f.has_attachment,"
    " f.size, f.blob, f.smime FROM carray(?) AS c CROSS JOIN fragments AS f ON f.id = c.value"
)
"""CROSS JOIN: SQLite keeps the order written, so the rows come in the order asked."""


def _uid(message: Message) -> int:
    return message.uid


def mailbox_rows(execute: Execute, account: int) -> list[Row]:
    """Rows of all mailboxes of an account, by name, for ``to_mailbox``."""
    return execute(_MAILBOX + " ORDER BY name", (account,)).fetchall()


async def read_some(execute: Execute, account: int, mailbox: int, uids: array[int]) -> Columns:
    """The columns of these messages, as far as they exist; ``uids`` ascend."""
    columns = empty_columns()
    cursor = execute(
        _COLUMNS + " WHERE account = ? AND mailbox = ? AND uid IN carray(?) ORDER BY uid",
        (account, mailbox, apsw.carray(uids)),
    )
    async for rows in sliced(cursor):
        add_rows(columns, rows)
    return columns


def mailbox_row(execute: Execute, account: int, mailbox: int) -> Row:
    """The row of a mailbox, for ``to_mailbox``. Errors: NoSuchMailbox."""
    row: Row | None = execute(_MAILBOX + " AND mailbox = ?", (account, mailbox)).fetchone()
    if row is None:
        raise NoSuchMailbox(str(mailbox))
    return row


async def read_columns(execute: Execute, account: int, mailbox: int) -> tuple[Mailbox, Columns]:
    """See ``MailReader.columns``; the connection sees one commit."""
    columns = empty_columns()
    row = mailbox_row(execute, account, mailbox)
    cursor = execute(_COLUMNS + " WHERE account = ? AND mailbox = ? ORDER BY uid", (account, mailbox))
    async for rows in sliced(cursor):
        add_rows(columns, rows)
    return to_mailbox(row), columns


async def read_changes(execute: Execute, account: int, mailbox: int, since: int) -> Changes:
    """See ``MailReader.changes``; the connection sees one commit."""
    changed, vanished = empty_columns(), array("Q")
    row = mailbox_row(execute, account, mailbox)
    if row[5] > since:
        first = await first_added(execute, account, mailbox, since)
        cursor = execute(
            _COLUMNS + " INDEXED BY messages_changed WHERE account = ? AND mailbox = ? AND modseq > ?"
            " AND modseq > added AND uid < ?",
            (account, mailbox, since, first),
        )
        early = [row async for rows in sliced(cursor) for row in rows]
        add_rows(changed, sorted(early))
        cursor = execute(
            _COLUMNS + " WHERE account = ? AND mailbox = ? AND uid >= ? ORDER BY uid",
            (account, mailbox, first),
        )
        async for rows in sliced(cursor):
            add_rows(changed, rows)
        cursor = execute(
            "SELECT uid FROM expunged WHERE account = ? AND mailbox = ? AND modseq > ?",
            (account, mailbox, since),
        )
        async for rows in sliced(cursor):
            vanished.extend([uid for (uid,) in rows])
    return Changes(
        changed, array("Q", sorted(vanished)), ModSeq(row[5]), Uid(row[4]), complete=since >= row[17]
    )


async def first_added(execute: Execute, account: int, mailbox: int, since: int) -> int:
    """The lowest uid that came after ``since``, walking down from the newest."""
    first = 1 << 62
    cursor = execute(
        "SELECT uid, added FROM messages WHERE account = ? AND mailbox = ? ORDER BY uid DESC",
        (account, mailbox),
    )
    for number, (uid, added) in enumerate(cursor, 1):
        if added <= since:
            break
        first = uid
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return first


def _to_fragments(row: Row) -> Fragments:
    number, envelope, bodystructure, parts, preview, subject, sent_date, has_attachment, size, blob, smime = (
        row
    )
    email = EmailId(number & (1 << NUMBER_BITS) - 1)
    return Fragments(
        email,
        envelope,
        bodystructure,
        parts,
        preview,
        subject,
        sent_date,
        bool(has_attachment),
        size,
        BlobId(blob),
        smime or b"",
    )
