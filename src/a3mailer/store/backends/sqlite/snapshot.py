"""Copying the store as of one commit while it is served.

The database is copied page by page inside one read transaction; from then on it stands still, and the
records it points to do so because ``PINS`` is held: segments only grow, and none is freed or recycled.
A segment is copied as what is alive in it: (offset, length) and the octets of each record.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import apsw

from a3mailer.mail.errors import DamagedContent
from a3mailer.store.backends.sqlite.connection import DATABASE, PINS, SEGMENTS, open_reader
from a3mailer.store.backends.sqlite.repair import COPY_PREFIX
from a3mailer.store.backends.sqlite.segments import HEADER, SegmentReader, prove_record
from a3mailer.store.ports import StoreUnusable
from a3mailer.store.upkeep import Copied, Finding, Member, Progress

EXTENT: Final = struct.Struct("<QQ")
EXTENTS: Final = ".extents"
CHUNK: Final = 1 << 20
PAGES: Final = 1024
"""Pages of the database copied in one step."""
Row = tuple[Any, ...]


class SqliteSnapshot:
    """``store.upkeep.Snapshot``."""

    def __init__(self, directory: Path, copy: Path) -> None:
        self._folder = directory / SEGMENTS
        self._copy = copy
        self._damaged: list[Finding] = []
        self._contents = 0
        self._octets = 0
        self._connection = apsw.Connection(
            f"file:{copy}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )

    def members(self, progress: Progress) -> Iterator[Member]:
        """The database, then each segment that holds something alive."""
        size = self._copy.stat().st_size
        self._octets += size
        yield Member(DATABASE, size, _chunks(self._copy))
        total = self._connection.execute("SELECT coalesce(sum(length), 0) FROM blobs").fetchone()
        found = self._connection.execute(
            "SELECT segment, tenant, blob, offset, length FROM blobs ORDER BY segment, offset"
        )
        done = 0
        for segment, group in groupby(found, key=lambda row: row[0]):
            records = list(group)
            yield self._segment(int(str(segment)), records)
            done += sum(record[4] for record in records)
            progress("contents", done, int(str(total[0])) if total else 0)

    def _segment(self, segment: int, records: list[Row]) -> Member:
        reader = SegmentReader(self._folder)
        readable = [record for record in records if self._is_there(reader, segment, record)]
        size = sum(EXTENT.size + HEADER + record[4] for record in readable)
        return Member(f"{SEGMENTS}/{segment:016x}{EXTENTS}", size, self._extents(reader, segment, readable))

    def _is_there(self, reader: SegmentReader, segment: int, record: Row) -> bool:
        """Its last octet can be read; whether it is whole is seen when it is copied."""
        _, _, blob, offset, length = record
        try:
            reader.read_part(segment, offset, length - 1, length)
        except DamagedContent as error:
            self._damaged.append(Finding("record-damaged", f"content {blob.hex()}", str(error)))
            return False
        return True

    def _extents(self, reader: SegmentReader, segment: int, records: list[Row]) -> Iterator[bytes]:
        for _, tenant, blob, offset, length in records:
            yield EXTENT.pack(offset, HEADER + length)
            try:
                octets = reader.record(segment, offset, length)
                yield octets
                prove_record(memoryview(octets), tenant, blob, segment, offset)
            except DamagedContent as error:
                self._damaged.append(Finding("record-damaged", f"content {blob.hex()}", str(error)))
            self._contents += 1
            self._octets += HEADER + length
        reader.close()

    def result(self) -> Copied:
        """What was copied."""
        row = self._connection.execute("SELECT number FROM commits").fetchone()
        return Copied(int(str(row[0])) if row else 0, self._contents, self._octets, tuple(self._damaged))

    def close(self) -> None:
        self._connection.close()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while octets := file.read(CHUNK):
            yield octets


@contextlib.contextmanager
def snapshot(directory: Path) -> Iterator[SqliteSnapshot]:
    """Errors: StoreUnusable."""
    pins = os.open(directory / PINS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    copy = directory / "run" / f"{COPY_PREFIX}{os.getpid()}.db"
    try:
        fcntl.flock(pins, fcntl.LOCK_SH)
        _copy_database(directory, copy)
        found = SqliteSnapshot(directory, copy)
        try:
            yield found
        finally:
            found.close()
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        os.close(pins)


def _copy_database(directory: Path, copy: Path) -> None:
    """Every page as of one commit: the read transaction stays open over all steps."""
    source = open_reader(directory)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    target = apsw.Connection(str(copy))
    try:
        source.execute("BEGIN")
        source.execute("SELECT number FROM commits").fetchone()
        target.pragma("journal_mode", "off")
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
        source.execute("ROLLBACK")
    except apsw.Error as error:
        raise StoreUnusable(f"{directory}: the database cannot be copied: {error}") from None
    finally:
        target.close()
        source.close()
