"""Looking for damage of contents: every record a row points to is read and held against its checksum."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from a3mailer.mail.errors import DamagedContent, MailError
from a3mailer.mail.message import index
from a3mailer.mail.message.packed import as_older
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import DATABASE, SEGMENTS, Execute
from a3mailer.store.backends.sqlite.inspect_database import UNREADABLE, note_places, rows
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.segments import (
    FIRST,
    HEADER,
    SegmentReader,
    is_header_block,
    prove_record,
    segment_path,
)
from a3mailer.store.backends.sqlite.unsynced import is_held
from a3mailer.store.upkeep import Finding, Progress

NAMED: Final = 100
"""Damaged contents whose mails are looked up and named; of further ones the content is named."""
_RECORDS: Final = (
    "SELECT segment, tenant, blob, offset, length FROM places WHERE segment = ? ORDER BY segment, offset"
)
_HOLDERS: Final = "SELECT account FROM blob_refs WHERE tenant=? AND blob=?"
_WITH_PART: Final = "SELECT DISTINCT blob FROM blob_parts WHERE tenant=? AND part=?"
_MAILS: Final = """
    SELECT b.name, m.uid FROM messages m JOIN mailboxes b USING (account, mailbox)
    WHERE m.account = ?1 AND m.blob = ?2
    UNION ALL SELECT 'vault of mailbox ' || mailbox, uid FROM expunged
    WHERE account = ?1 AND blob = ?2 AND kept = 1
    UNION ALL SELECT 'queue', id FROM queue
    WHERE id BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295 AND blob = ?2"""
_FRAGMENTS: Final = (
    "envelope", "bodystructure", "parts", "preview", "subject", "sent_date", "has_attachment", "size",
    "lineage",
)  # fmt: skip
_EMAILS: Final = """
    SELECT tenant, id, blob, envelope, bodystructure, parts, preview, subject, sent_date, has_attachment,
        size, lineage
    FROM emails WHERE tenant IS NOT NULL AND id > ? ORDER BY id LIMIT 500"""
"""By slices, for the same reason."""
Row = tuple[Any, ...]


class Contents:
    """One look at all contents. ``bad`` are (tenant, blob) of those that are not whole."""

    def __init__(self, directory: Path, connection: apsw.Connection) -> None:
        self._folder = directory / SEGMENTS
        self._connection = connection
        self._execute: Execute = connection.execute
        self._reader = SegmentReader(self._folder)
        self.bad: set[tuple[int, bytes]] = set()

    def inspect(self, progress: Progress) -> Iterator[Finding]:
        """Files, headers, records."""
        try:
            note_places(self._connection)
            total = int(self._execute("SELECT coalesce(sum(length), 0) FROM places").fetchone()[0])
        except (apsw.CorruptError, apsw.IOError, apsw.SQLError, UnicodeDecodeError) as error:
            yield Finding("database-damaged", DATABASE, str(error))
            return
        done = 0
        for (segment,) in self._execute("SELECT DISTINCT segment FROM places ORDER BY segment").fetchall():
            records = self._execute(_RECORDS, (segment,)).fetchall()
            yield from self._segment(segment, records)
            self._reader.forget(segment)
            done += sum(record[4] for record in records)
            progress("contents", done, total)
        self._reader.close()
        for row in rows(self._connection, "SELECT tenant, blob, part FROM blob_parts"):
            if not isinstance(row, Finding) and (row[0], row[2]) in self.bad:
                self.bad.add((row[0], row[1]))

    def _segment(self, segment: int, records: list[Row]) -> Iterator[Finding]:
        name = f"segment {segment:016x}"
        path = segment_path(self._folder, segment)
        try:
            with path.open("rb") as file:
                head = file.read(FIRST)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            yield self._whole(name, "segment-missing", records, error.strerror or "")
            return
        beyond = [record for record in records if record[3] + HEADER + record[4] > size]
        if beyond:
            yield self._whole(name, "segment-truncated", beyond, f"{size} octets are left")
        inside = [record for record in records if record[3] + HEADER + record[4] <= size]
        damaged = [(record, text) for record in inside if (text := self._damage(segment, record))]
        zeroed = [record for record, _ in damaged if self._is_zero(segment, record)]
        if zeroed and len(zeroed) == len(inside):
            yield self._whole(name, "segment-zeroed", zeroed, "")
            damaged = []
        elif not is_header_block(head, segment):
            yield Finding("segment-header", name)
        for record, text in damaged:
            yield Finding("record-damaged", self.holders(record[1], record[2]), text)

    def _whole(self, name: str, kind: str, records: list[Row], text: str) -> Finding:
        self.bad.update((tenant, blob) for _, tenant, blob, _, _ in records)
        few = "; ".join(self.holders(record[1], record[2]) for record in records[:5])
        more = f" and {len(records) - 5} more" if len(records) > 5 else ""
        return Finding(kind, name, f"{text}{': ' if text else ''}{len(records)} contents: {few}{more}")

    def _damage(self, segment: int, record: Row) -> str:
        _, tenant, blob, offset, length = record
        try:
            octets = memoryview(self._reader.record(segment, offset, length))
            prove_record(octets, tenant, blob, segment, offset)
        except DamagedContent as error:
            self.bad.add((tenant, blob))
            return "" if is_held(self._connection, segment, offset) else str(error)
        return ""

    def _is_zero(self, segment: int, record: Row) -> bool:
        with contextlib.suppress(DamagedContent):
            return not any(self._reader.record(segment, record[3], record[4]))
        return False

    def holders(self, tenant: int, blob: bytes) -> str:
        """Whose mail a content is, as far as the database says."""
        if len(self.bad) > NAMED:
            return f"content {blob.hex()}"
        mails = self._mails_with(tenant, blob)
        names = []
        for row in rows(self._connection, _HOLDERS, (tenant, blob)):
            if not isinstance(row, Finding):
                names += [name for mail in mails or [blob] for name in self._mails(row[0], mail)]
        return f"{'part of ' if mails else ''}{', '.join(names)}" if names else f"content {blob.hex()}"

    def _mails_with(self, tenant: int, part: bytes) -> list[bytes]:
        """The blobs of the mails that have this part."""
        found = rows(self._connection, _WITH_PART, (tenant, part))
        return [row[0] for row in found if not isinstance(row, Finding)]

    def _mails(self, account: int, blob: bytes) -> list[str]:
        found = rows(self._connection, _MAILS, (account, blob))
        return [f"account {account} {row[0]} {row[1]}" for row in found if not isinstance(row, Finding)]


def inspect_deep(
    connection: apsw.Connection, blobs: Blobs, bad: set[tuple[int, bytes]], progress: Progress
) -> Iterator[Finding]:
    """Open every content that is whole and hold its fragments against an index made now."""
    total = next(rows(connection, "SELECT count(*) FROM fragments"))
    done = last = 0
    with asyncio.Runner() as runner:
        while slice_ := list(rows(connection, _EMAILS, (last,))):
            for row in slice_:
                if isinstance(row, Finding):
                    yield row
                    return
                if row[1] <= last:  # a damaged tree would be walked for ever
                    yield Finding("database-damaged", DATABASE, f"email {row[1]} comes after {last}")
                    return
                last = row[1]
                if (row[0], row[2]) not in bad and (finding := _differs(runner, blobs, row)):
                    yield finding
            done += len(slice_)
            progress("mails", done, 0 if isinstance(total, Finding) else int(total[0]))


def _differs(runner: asyncio.Runner, blobs: Blobs, row: Row) -> Finding | None:
    _, number, blob, *fragments = row
    account, email = number >> NUMBER_BITS, number & (1 << NUMBER_BITS) - 1
    where = f"account {account} email {email}"
    try:
        octets = runner.run(blobs.octets(account, blob))
    except MailError as error:
        return Finding("content-damaged", where, str(error))
    except UNREADABLE as error:
        return Finding("database-damaged", DATABASE, str(error))
    fresh = fragments_of(octets)
    wrong = [
        name
        for name, old, new in zip(_FRAGMENTS, fragments, fresh, strict=True)
        if old != new and not _is_older(name, old, new)
    ]
    return Finding("fragments-differ", where, ", ".join(wrong)) if wrong else None


def _is_older(name: str, old: object, new: object) -> bool:
    """Is it of a mail that came before there was more to note?"""
    if name == "lineage":
        return old is None
    return name == "parts" and isinstance(new, bytes) and old == as_older(new)


def fragments_of(octets: bytes) -> Row:
    """The precomputed columns of a content, as delivery makes them."""
    made = index(octets)
    return (
        made.envelope,
        made.bodystructure,
        made.pack(),
        made.preview,
        made.subject,
        made.date or 0,
        int(made.has_attachment),
        len(octets),
        made.lineage,
    )
