"""Few small contents need no sync of their own: the transaction that refers to them carries them (ADR 0004).

They are written to their segment, where everybody reads them, and into a slot of the table ``unsynced``. The
commit's one sync makes both durable: what a power cut takes from the segment, the next writer puts back from
the table before anybody reads. When the slots are used up the segment is synced once for all of them, and so
it is by any batch that is larger; then the slots are used again from the first. Putting back what was synced
long ago harms nothing: a segment id is never used twice, and no place in a segment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from a3mailer.store.backends.sqlite.segments import (
    Record,
    SegmentWriter,
    is_record,
    record_octets,
    segment_path,
    write_all,
)
from a3mailer.store.ports import StoreUnusable
from a3mailer.telemetry.events import emit

FEW: Final = 4
"""Contents of one batch up to which a second sync costs more than their way through the log."""
SLOTS: Final = 64
"""Contents between two syncs of the segment."""
_PAGE: Final = 4092
"""Octets of an overflow page, and those of a long row that SQLite keeps beside its key."""
_LOCAL: Final = 450


class Slot(NamedTuple):
    """A row of the table."""

    slot: int
    segment: int
    offset: int
    record: bytes


class Slots:
    """Which slots are free. Used by the writer alone."""

    __slots__ = ("_connection", "_next", "_segments")

    def __init__(self, connection: apsw.Connection, segments: SegmentWriter) -> None:
        self._connection = connection
        self._segments = segments
        self._next = 0

    def write(self, records: Sequence[Record]) -> tuple[list[tuple[int, int]], list[Slot]]:
        """Append to the segment: the place of each, and the rows the transaction has to carry, if any.

        Without rows the contents are on the disk. Errors: OSError, then nothing of it counts; Unsure."""
        if len(records) > FEW or self._next + len(records) > SLOTS:
            places = self._segments.write(records)
            self._next = 0
            return places, []
        places = self._segments.write(records, sync=False)
        slots = [
            Slot(self._next + number, *place, _padded(record_octets(record, *place)))
            for number, (record, place) in enumerate(zip(records, places, strict=True))
        ]
        self._next += len(slots)
        return places, slots

    def settle(self) -> None:
        """A quiet moment: sync the segment and empty the slots, so that nothing erased stays in them.

        Errors: Unsure; apsw.Error when the database cannot be written."""
        if not self._next:
            return
        self._segments.sync()
        self._next = 0
        try:
            self._connection.execute("DELETE FROM unsynced")
        except apsw.FullError:  # they are used again, or emptied when there is room
            return


def _padded(record: bytes) -> bytes:
    """Filled up with zeros so that most are as long as their predecessor: SQLite then writes in place."""
    return record + bytes((_LOCAL - len(record)) % _PAGE)


def put_back(connection: apsw.Connection, folder: Path) -> None:
    """Write what the slots hold to its place again, sync it and empty the slots.

    A segment that is no more was freed: nothing points there. Errors: StoreUnusable."""
    try:
        found = connection.execute(
            "SELECT segment, offset, record FROM unsynced"
            " WHERE typeof(segment) = 'integer' AND typeof(offset) = 'integer' AND typeof(record) = 'blob'"
        ).fetchall()
        by_segment: dict[int, list[tuple[int, bytes]]] = {}
        for segment, offset, record in found:
            assert isinstance(segment, int) and isinstance(offset, int) and isinstance(record, bytes)
            by_segment.setdefault(segment, []).append((offset, record))
        for segment, records in by_segment.items():
            _write_again(folder, segment, records)
        if found:
            connection.execute("DELETE FROM unsynced")
    except (OSError, apsw.Error) as error:
        raise StoreUnusable(f"contents cannot be put back: {error}") from None


def is_held(connection: apsw.Connection, segment: int, offset: int) -> bool:
    """Whether a slot holds the record of this place: the next writer puts it there."""
    try:
        found = connection.execute(
            "SELECT record FROM unsynced WHERE segment = ? AND offset = ?", (segment, offset)
        ).fetchall()
    except apsw.Error:  # of an older store, or damaged
        return False
    return any(isinstance(record, bytes) and is_record(record, segment, offset) for (record,) in found)


def _write_again(folder: Path, segment: int, records: Sequence[tuple[int, bytes]]) -> None:
    try:
        fd = os.open(segment_path(folder, segment), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        for offset, padded in records:
            record = is_record(padded, segment, offset)
            if record and 0 < offset <= size - len(record):
                write_all(fd, [record], offset)
            else:
                emit("store.unsynced.unfit", level="error", segment=f"{segment:016x}", offset=offset)
        os.fdatasync(fd)
    finally:
        os.close(fd)
