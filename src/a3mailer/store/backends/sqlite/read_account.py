"""Reading an account's mail as a whole (the AccountReader door): by email, by thread, and what changed."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from typing import Final

import apsw

from a3mailer.mail.errors import NoSuchAccount
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId
from a3mailer.store.backends.sqlite.apply_email import OF_EMAILS
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.read_mail import SLICE, Readers, Row, first_added, sliced, to_message
from a3mailer.store.rows import AccountChanges, AccountColumns, Departed, Message, Placed

_MESSAGE: Final = (
    "SELECT m.mailbox, m.uid, m.email, m.thread, m.flags, m.keywords, m.modseq, m.internal_date,"
    " m.saved_date, m.size, m.blob, m.added"
)
_PLACES: Final = " UNION ALL ".join(_MESSAGE + source for source in OF_EMAILS)
_REPLIES: Final = (
    _MESSAGE + " FROM carray(?1) AS c CROSS JOIN messages AS m INDEXED BY messages_replies"
    " ON m.account = ?2 AND m.thread = c.value AND m.thread <> m.email"
)
_HELD: Final = (
    "SELECT r.blob FROM carray(?1) AS c CROSS JOIN blob_refs AS r ON r.tenant ="
    " (SELECT tenant FROM accounts WHERE account = ?2) AND r.blob = c.value AND r.account = ?2"
)
_OF_BLOBS: Final = _MESSAGE + " FROM messages AS m WHERE m.account = ?2 AND m.blob IN carray(?1)"
_PLACED: Final = (
    "SELECT mailbox, uid, email, thread, flags, coalesce(keywords, ''), modseq, added, internal_date, size"
    " FROM messages"
)
_CHANGED: Final = (
    _PLACED + " INDEXED BY messages_changed WHERE account = ? AND mailbox = ? AND modseq > ?"
    " AND modseq > added AND uid < ?"
)
_ADDED: Final = _PLACED + " WHERE account = ? AND mailbox = ? AND uid >= ? ORDER BY uid"
_GONE: Final = (
    "SELECT mailbox, uid, email, thread, added, modseq FROM expunged"
    " WHERE account = ? AND mailbox = ? AND modseq > ?"
)


class ReadAccount:
    """The AccountReader door (``store.ports``)."""

    def __init__(self, readers: Readers) -> None:
        self._lenders = readers
        self._look: Execute = readers.main.execute

    async def account_columns(self, account: AccountId) -> AccountColumns:
        with self._lenders.lend() as execute:
            modseq, _ = _account_row(execute, account)
            columns = AccountColumns(
                ModSeq(modseq), array("Q"), array("Q"), array("Q"), array("Q"), bytearray(), {}, array("q"),
                array("Q"),
            )  # fmt: skip
            cursor = execute(
                "SELECT mailbox, uid, email, thread, flags, internal_date, size, keywords FROM messages"
                " WHERE account = ? ORDER BY mailbox, uid",
                (account,),
            )
            async for rows in sliced(cursor):
                _add(columns, rows)
        return columns

    async def account_changes(self, account: AccountId, since: ModSeq) -> AccountChanges:
        modseq, forgotten = _account_row(self._look, account)
        if modseq == since:  # what is asked most: is anything new?
            return AccountChanges(since, (), (), (), (), since >= forgotten)
        changed: list[Row] = []
        gone: list[Row] = []
        with self._lenders.lend() as execute:
            modseq, forgotten = _account_row(execute, account)
            lost = execute(
                "SELECT mailbox, added, modseq FROM mailboxes_gone WHERE account = ? AND modseq > ?"
                " ORDER BY mailbox",
                (account, since),
            ).fetchall()
            boxes = execute(
                "SELECT mailbox, modseq, changed FROM mailboxes WHERE account = ?1"
                " AND (modseq > ?2 OR changed > ?2) ORDER BY mailbox",
                (account, since),
            ).fetchall()
            for mailbox, newest, _ in boxes:
                if newest > since:
                    first = await first_added(execute, account, mailbox, since)
                    early = execute(_CHANGED, (account, mailbox, since, first))
                    changed += sorted([row async for rows in sliced(early) for row in rows])
                    late = execute(_ADDED, (account, mailbox, first))
                    changed += [row async for rows in sliced(late) for row in rows]
            for mailbox in sorted({row[0] for row in lost} | {row[0] for row in boxes if row[1] > since}):
                cursor = execute(_GONE, (account, mailbox, since))
                gone += sorted([row async for rows in sliced(cursor) for row in rows])
        return AccountChanges(
            ModSeq(modseq),
            tuple(map(Placed._make, changed)),
            tuple(map(Departed._make, gone)),
            tuple([MailboxId(row[0]) for row in boxes]),
            tuple([(MailboxId(number), ModSeq(added), ModSeq(at)) for number, added, at in lost]),
            since >= forgotten,
        )

    async def places(self, account: AccountId, emails: Sequence[EmailId]) -> tuple[Message, ...]:
        return _sorted(account, await self._placed(_PLACES, account, emails))

    async def thread_places(self, account: AccountId, threads: Sequence[ThreadId]) -> tuple[Message, ...]:
        rows = await self._placed(_PLACES, account, threads)  # a thread has the number of its first email
        rows += await self._placed(_REPLIES, account, threads)
        wanted = frozenset(threads)
        return _sorted(account, [row for row in rows if row[3] in wanted])

    async def blob_places(self, account: AccountId, blobs: Sequence[BlobId]) -> tuple[Message, ...]:
        asked = tuple(map(bytes, dict.fromkeys(blobs)))
        if not asked:
            return ()
        with self._lenders.lend() as execute:
            held = tuple([row[0] for row in execute(_HELD, (apsw.carray(asked), account)).fetchall()])
            if not held:
                return ()
            cursor = execute(_OF_BLOBS, (apsw.carray(held), account))
            found = [row async for rows in sliced(cursor) for row in rows]
        return _sorted(account, found)

    async def _placed(self, sql: str, account: AccountId, numbers: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        wanted = sorted(set(numbers))
        for at in range(0, len(wanted), SLICE):
            if at:
                await asyncio.sleep(0)
            part = apsw.carray(array("q", wanted[at : at + SLICE]))
            bindings = (part, account, account << NUMBER_BITS)
            found += self._look(sql, bindings if sql is _PLACES else bindings[:2]).fetchall()
        return found


def _account_row(execute: Execute, account: int) -> tuple[int, int]:
    row: tuple[int, int] | None = execute(
        "SELECT modseq, tombstones_from FROM accounts WHERE account = ?", (account,)
    ).fetchone()
    if row is None:
        raise NoSuchAccount(str(account))
    return row


def _add(columns: AccountColumns, rows: Sequence[Row]) -> None:
    if not rows:
        return
    base = len(columns.uids)
    mailboxes, uids, emails, threads, flags, dates, sizes, keywords = zip(*rows, strict=True)
    columns.mailboxes.extend(mailboxes)
    columns.uids.extend(uids)
    columns.emails.extend(emails)
    columns.threads.extend(threads)
    columns.flags.extend(flags)
    columns.dates.extend(dates)
    columns.sizes.extend(sizes)
    if any(keywords):
        columns.keywords.update({at: words for at, words in enumerate(keywords, base) if words})


def _sorted(account: AccountId, rows: list[Row]) -> tuple[Message, ...]:
    rows.sort(key=lambda row: (row[2], row[0], row[1]))
    return tuple([to_message(account, row) for row in rows])
