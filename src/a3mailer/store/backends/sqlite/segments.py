"""Segments: append-only, preallocated files of content records, each written by one process at a time.

segment = header block of FIRST octets, then records, each at a multiple of ALIGN
header  = magic (8) segment id (8) size (8) check (8) sealed (1) empty (1)
record  = magic (4) length (4) covered (4) zero (4) tenant (8) blob (16) digest (16) check (8), payload
payload = lead (16), entries: length (4) digest (8), then what the entries describe

The digest of a record covers the first ``covered`` octets of its payload: all of it, or lead and entries,
each of which proves one piece of the rest, so that a piece is proved alone. A record of blob 0 fills a gap.
A check covers the segment's id and the record's offset, and a segment id is never used twice, not even
when its file is recycled: nothing old passes as new, nothing moved passes as in place. The owner of a
segment holds ``flock`` on it; a process that finds one without owner goes on behind its last record.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from a3mailer.mail.errors import DamagedContent, MailError, StoreFull, TryLater
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.direct import DIRECT_FROM, Buffer, DirectWriter
from a3mailer.telemetry.events import emit

FIRST: Final = 4096
ALIGN: Final = 8
SUFFIX: Final = ".seg"
FREE: Final = "free"
DIGEST: Final = 16
IOV: Final = 1000
"""Buffers in one pwritev: IOV_MAX is 1024."""
NEARLY_FULL: Final = 64
"""A segment with less than 1/64 of its size left is not looked at again."""
SLICE: Final = 1 << 20
"""Octets looked through at a time for records."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The process or the machine has nothing left for now: no word about the content."""
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
OPEN_SEGMENTS: Final = 64
"""File descriptors a reader keeps."""

_FILE: Final = struct.Struct("<8sqq8s")
_FILE_MAGIC: Final = b"A3SEG\x00\x01\n"
_SEALED_AT: Final = _FILE.size
_EMPTY_AT: Final = _SEALED_AT + 1
_RECORD: Final = struct.Struct("<4sIIIq16s16s")
_RECORD_MAGIC: Final = b"A3r\x01"
_PLACE: Final = struct.Struct("<qq")
HEADER: Final = _RECORD.size + 8
LEAD: Final = 16
ENTRY: Final = struct.Struct("<I8s")
ENTRY_DIGEST: Final = 8
NO_BLOB: Final = bytes(16)
BLOCK: Final = 4096
_PADDING: Final = tuple(bytes(n) for n in range(ALIGN))


class Record(NamedTuple):
    """One content as it will lie in a segment."""

    tenant: int
    blob: bytes
    payload: tuple[Buffer, ...]
    length: int
    covered: int
    digest: bytes
    """Of the first ``covered`` octets of the payload."""


def digest_of(pieces: Sequence[Buffer]) -> bytes:
    """The digest a record carries."""
    hasher = blake3()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest(DIGEST)


def entry_digest(piece: Buffer) -> bytes:
    """The digest an entry carries of the piece it describes."""
    return blake3(piece).digest(ENTRY_DIGEST)


def whole(payload: Buffer, covered: int, digest: bytes) -> bool:
    """Whether a payload is what its record says, every piece of it."""
    view = memoryview(payload)
    if blake3(view[:covered]).digest(DIGEST) != digest:
        return False
    at = covered
    if covered < len(view):
        if covered < LEAD or (covered - LEAD) % ENTRY.size:
            return False
        for length, expected in ENTRY.iter_unpack(view[LEAD:covered]):
            if entry_digest(view[at : at + length]) != expected:
                return False
            at += length
    return at == len(view)


def room_for(length: int) -> int:
    """Octets a record of this payload takes in a segment."""
    return (HEADER + length + ALIGN - 1) // ALIGN * ALIGN


def _check(segment: int, offset: int, header: bytes) -> bytes:
    return blake3(_PLACE.pack(segment, offset) + header).digest(8)


def _record_header(
    segment: int, offset: int, length: int, covered: int, tenant: int, blob: bytes, digest: bytes
) -> bytes:
    header = _RECORD.pack(_RECORD_MAGIC, length, covered, 0, tenant, blob, digest)
    return header + _check(segment, offset, header)


def new_segment_id(seconds: float) -> int:
    """Milliseconds, then 12 random bits: never used before, ascending over time."""
    return (int(seconds * 1000) << 12) | secrets.randbits(12)


def segment_path(folder: Path, segment: int) -> Path:
    """Where a segment's file lies."""
    return folder / f"{segment:016x}{SUFFIX}"


def segment_ids(folder: Path) -> list[int]:
    """The ids of all segments there are, ascending."""
    found = []
    for path in folder.glob("*" + SUFFIX):
        with contextlib.suppress(ValueError):
            found.append(int(path.stem, 16))
    return sorted(found)


def error_name(error: OSError) -> str:
    """``ENOENT`` and the like."""
    return errno.errorcode.get(error.errno or 0, "unknown error")


def refusal(error: OSError) -> MailError:
    """What those hear whose contents could not be written: nothing of it was done."""
    emit("store.segment.failed", level="error", error=error_name(error))
    if error.errno in DISK_FULL:
        return StoreFull("the disk is full")
    return TryLater("contents cannot be written")


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, buffers: Sequence[Buffer], offset: int) -> None:
    """pwritev until everything is written; a short write is gone on with. Errors: OSError."""
    for start in range(0, len(buffers), IOV):
        chunk = list(buffers[start : start + IOV])
        while chunk:
            written = os.pwritev(fd, chunk, offset)
            offset += written
            while chunk and written >= len(chunk[0]):
                written -= len(chunk.pop(0))
            if chunk and written:
                chunk[0] = memoryview(chunk[0])[written:]


def gap_to_block(offset: int) -> int:
    """Octets a filler takes from here to the beginning of a block; 0 where one begins."""
    gap = -offset % BLOCK
    return gap + BLOCK if 0 < gap < HEADER else gap


def filler(segment: int, offset: int, gap: int) -> bytes:
    """A record of no content that fills a gap."""
    header = _record_header(segment, offset, gap - HEADER, 0, 0, NO_BLOB, bytes(DIGEST))
    return header + bytes(gap - HEADER)


class Unsure(Exception):
    """What was written without sync, and is promised by now, may be lost: it has to be written again."""


class SegmentWriter:
    """The segment one process appends to. All methods run in one thread at a time."""

    __slots__ = ("_clock", "_direct", "_end", "_fd", "_folder", "_segment", "_size", "_unsynced", "size")

    def __init__(self, folder: Path, size: int, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.size = size
        self._fd = -1
        self._segment = 0
        self._end = 0
        self._size = 0
        self._direct = DirectWriter()
        self._unsynced = False

    @property
    def segment(self) -> int:
        """The id of the segment in use; 0 before the first write."""
        return self._segment

    def write(self, records: Sequence[Record], *, sync: bool = True) -> list[tuple[int, int]]:
        """Append and sync: when it returns the records are on the disk; (segment, offset) of each.

        Without ``sync`` they can be read, and are on the disk after the next ``sync`` or synced write.
        Errors: OSError; then nothing of it counts and the segment is not written to again. Unsure."""
        places: list[tuple[int, int]] = []
        try:
            at = 0
            while at < len(records):
                at = self._write_some(records, at, places)
            if sync:
                self._sync()
            else:
                self._unsynced = True
        except OSError:
            self.sync()
            self.abandon()
            raise
        return places

    def sync(self) -> None:
        """Whatever was written is on the disk when it returns. Errors: Unsure."""
        if self._unsynced:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            if not self._unsynced:
                raise
            self.abandon()
            raise Unsure(error_name(error)) from error
        self._unsynced = False

    def _write_some(self, records: Sequence[Record], at: int, places: list[tuple[int, int]]) -> int:
        need = room_for(records[at].length)
        if self._fd < 0 or self._end + need > self._size:
            self._next(need)
        direct = self._align(records, at)
        buffers: list[Buffer] = []
        segment, start, offset = self._segment, self._end, self._end
        while at < len(records):
            record = records[at]
            room = room_for(record.length)
            if offset + room + (2 * BLOCK if direct else 0) > self._size:
                break
            buffers.append(
                _record_header(
                    segment, offset, record.length, record.covered, record.tenant, record.blob, record.digest
                )
            )
            buffers += record.payload
            if padding := room - HEADER - record.length:
                buffers.append(_PADDING[padding])
            places.append((segment, offset))
            offset += room
            at += 1
        if direct:
            if gap := gap_to_block(offset):
                buffers.append(filler(segment, offset, gap))
                offset += gap
            self._direct.write(buffers, start)
        else:
            write_all(self._fd, buffers, start)
        self._end = offset
        return at

    def _align(self, records: Sequence[Record], at: int) -> bool:
        """Whether the next write goes past the page cache; then it begins at a block's beginning."""
        total = 0
        room = self._size - self._end - 3 * BLOCK  # fillers before and behind, and a header
        while at < len(records) and total + room_for(records[at].length) <= room:
            total += room_for(records[at].length)
            at += 1
        if total < DIRECT_FROM or not self._direct.opened(segment_path(self._folder, self._segment)):
            return False
        if gap := gap_to_block(self._end):
            write_all(self._fd, [filler(self._segment, self._end, gap)], self._end)
            self._end += gap
        return True

    def _next(self, need: int) -> None:
        if self._fd >= 0:
            self._sync()  # what this call or earlier ones wrote there
        self.seal()
        if not self._adopt(need):
            self._create(max(self.size, FIRST + need))

    def _adopt(self, need: int) -> bool:
        """Go on with a segment whose owner is gone, behind everything it may have handed over."""
        for segment in reversed(segment_ids(self._folder)):
            with contextlib.suppress(OSError):
                fd = os.open(segment_path(self._folder, segment), os.O_RDWR | os.O_CLOEXEC)
                if self._take(fd, segment, need):
                    return True
                os.close(fd)
        return False

    def _take(self, fd: int, segment: int, need: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        size = file_size(fd, segment)
        if size is None or os.pread(fd, 1, _SEALED_AT) == b"S":
            return False
        end = FIRST
        for offset, length, _tenant, _blob in scan(fd, segment, size):
            end = offset + room_for(length)
        if holds_more(fd, segment, end):  # a damaged header hides what lies behind it
            os.pwrite(fd, b"S", _SEALED_AT)
            return False
        if end + need > size:
            if size - end < size // NEARLY_FULL:
                os.pwrite(fd, b"S", _SEALED_AT)
            return False
        self._fd, self._segment, self._size, self._end = fd, segment, size, end
        return True

    def _create(self, size: int) -> None:
        """A new segment, its file recycled where one is free; its id is durable before its first use."""
        segment, fd = self._name()
        path = segment_path(self._folder, segment)
        try:
            if (recycled := self._recycle(path)) >= 0:
                os.close(fd)
                fd = recycled
            fcntl.flock(fd, fcntl.LOCK_EX)  # who looks for room holds it for a moment, and finds no header
            os.posix_fallocate(fd, 0, size)
            os.pwrite(fd, header_block(segment, size, sealed=False), 0)
            os.fsync(fd)
            sync_folder(self._folder)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._segment, self._size, self._end = fd, segment, size, FIRST

    def _name(self) -> tuple[int, int]:
        """An id that nobody else has, and the empty file that says so: another process may draw the same."""
        while True:
            segment = new_segment_id(self._clock.now())
            with contextlib.suppress(FileExistsError):
                path = segment_path(self._folder, segment)
                return segment, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _recycle(self, path: Path) -> int:
        """A free file in the place of the empty one of this name; -1 where there is none."""
        free = self._folder / FREE
        if not free.is_dir():
            return -1
        for entry in sorted(free.iterdir()):
            try:
                entry.rename(path)
            except FileNotFoundError:
                continue  # another process was faster
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        return -1

    def seal(self) -> None:
        """End this segment: nobody looks for room in it again, and what it did not use is given back."""
        if self._fd >= 0:
            os.pwrite(self._fd, b"S", _SEALED_AT)
            if self._size - self._end > self._size // NEARLY_FULL:
                os.ftruncate(self._fd, self._end)
            self.close()

    def abandon(self) -> None:
        """After a failed write or sync: what the file holds is unknown, so it is never appended to again."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, b"S", _SEALED_AT)
            self.close()

    def close(self) -> None:
        """Give the segment up; another process may go on with it."""
        self._direct.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def record_octets(record: Record, segment: int, offset: int) -> bytes:
    """A record as it lies at that place."""
    header = _record_header(
        segment, offset, record.length, record.covered, record.tenant, record.blob, record.digest
    )
    return b"".join((header, *record.payload))


def header_block(segment: int, size: int, sealed: bool) -> bytes:
    """What a segment's file begins with; its first record is at FIRST."""
    body = _file_header(_FILE.pack(_FILE_MAGIC, segment, size, bytes(8)))
    return body + (b"S" if sealed else b"\0") + bytes(7)


def is_header_block(octets: bytes, segment: int) -> bool:
    """Whether a file begins as that segment's does."""
    if len(octets) < _FILE.size:
        return False
    _, found, size, _ = _FILE.unpack_from(octets)
    return found == segment and octets[: _FILE.size] == header_block(segment, size, False)[: _FILE.size]


def is_record(octets: bytes, segment: int, offset: int) -> bytes:
    """The record of that place these octets begin with, its header proved; nothing where there is none."""
    header = octets[:HEADER]
    if len(header) < HEADER or header[-8:] != _check(segment, offset, header[:-8]):
        return b""
    end = HEADER + int(_RECORD.unpack_from(header)[1])
    return octets[:end] if end <= len(octets) else b""


def prove_record(record: Buffer, tenant: int, blob: bytes, segment: int, offset: int) -> None:
    """Errors: DamagedContent when these octets are not that record, whole, of that place."""
    where = f"segment {segment:016x} offset {offset}"
    header, payload = bytes(record[:HEADER]), memoryview(record)[HEADER:]
    if len(header) < HEADER or header[-8:] != _check(segment, offset, header[:-8]):
        raise DamagedContent(f"{where}: record header")
    magic, length, covered, _, found_tenant, found_blob, digest = _RECORD.unpack_from(header)
    if (magic, length, found_tenant, found_blob) != (_RECORD_MAGIC, len(payload), tenant, blob):
        raise DamagedContent(f"{where}: another record")
    if not whole(payload, covered, digest):
        raise DamagedContent(f"{where}: checksum")


def proved(record: Buffer, tenant: int, blob: bytes, length: int) -> bool:
    """Whether this is, as far as its content goes, that record of one piece: the short way of reading.

    Everything but the check of place is held against the row that led here, or covered by the digest."""
    _, found_length, covered, _, found_tenant, found_blob, digest = _RECORD.unpack_from(record)
    if found_length != length or covered != length or found_blob != blob or found_tenant != tenant:
        return False
    return blake3(memoryview(record)[HEADER:]).digest(DIGEST) == bytes(digest)


def record_of(octets: bytes, tenant: int, blob: bytes, segment: int, offset: int) -> Record:
    """A record as it was read, to be written elsewhere. Errors: DamagedContent."""
    prove_record(octets, tenant, blob, segment, offset)
    _, length, covered, _, _, _, digest = _RECORD.unpack_from(octets)
    return Record(tenant, blob, (memoryview(octets)[HEADER:],), length, covered, digest)


def is_sealed(fd: int) -> bool:
    """Whether nobody will append to this segment again."""
    return os.pread(fd, 1, _SEALED_AT) == b"S"


def seal_file(fd: int) -> None:
    """Say that nobody will append to this segment again."""
    os.pwrite(fd, b"S", _SEALED_AT)


def is_empty_mark(fd: int) -> bool:
    """Whether ``mark_empty`` was said of this segment; its file's time says when."""
    return os.pread(fd, 1, _EMPTY_AT) == b"E"


def mark_empty(fd: int, seconds: float) -> None:
    """Say that nothing points into this segment any more, and since when."""
    os.pwrite(fd, b"E", _EMPTY_AT)
    os.utime(fd, (seconds, seconds))


def _file_header(body: bytes) -> bytes:
    return body[:-8] + blake3(body[:-8]).digest(8)


def file_size(fd: int, segment: int) -> int | None:
    """The size a segment's header states; None when the header is not that segment's."""
    header = os.pread(fd, _FILE.size, 0)
    if len(header) != _FILE.size or header != _file_header(header):
        return None
    magic, found, size, _ = _FILE.unpack(header)
    return size if magic == _FILE_MAGIC and found == segment else None


def scan(fd: int, segment: int, size: int) -> Iterator[tuple[int, int, int, bytes]]:
    """(offset, length, tenant, blob) of each record from the first to the first invalid one."""
    offset = FIRST
    while offset + HEADER <= size:
        header = os.pread(fd, HEADER, offset)
        if len(header) < HEADER or header[-8:] != _check(segment, offset, header[:-8]):
            return
        _, length, _, _, tenant, blob, _ = _RECORD.unpack_from(header)
        yield offset, length, tenant, blob
        offset += room_for(length)


def holds_more(fd: int, segment: int, start: int) -> bool:
    """Whether any record of this segment begins at ``start`` or later."""
    size = os.fstat(fd).st_size
    while start < size:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA) // ALIGN * ALIGN
        except OSError:  # nothing but a hole, or what was never written
            return False
        octets = os.pread(fd, SLICE + HEADER, start)
        at = octets.find(_RECORD_MAGIC)
        while at >= 0:
            header = octets[at : at + HEADER]
            if not at % ALIGN and header[-8:] == _check(segment, start + at, header[:-8]):
                return True
            at = octets.find(_RECORD_MAGIC, at + 1)
        start += SLICE
    return False


class SegmentReader:
    """Reads records and proves them; keeps a few files open. One thread."""

    __slots__ = ("_fds", "_folder")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fds: OrderedDict[int, int] = OrderedDict()

    def _fd(self, segment: int) -> int:
        fd = self._fds.get(segment)
        if fd is not None:
            self._fds.move_to_end(segment)
            return fd
        self._fds[segment] = fd = self._open(segment)
        if len(self._fds) > OPEN_SEGMENTS:
            os.close(self._fds.popitem(last=False)[1])
        return fd

    def _open(self, segment: int) -> int:
        while True:
            try:
                return os.open(segment_path(self._folder, segment), os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise DamagedContent(f"segment {segment:016x}: {error_name(error)}") from None
                if not self._fds:
                    raise TryLater(os.strerror(error.errno)) from None
                os.close(self._fds.popitem(last=False)[1])

    def read(self, tenant: int, blob: bytes, segment: int, offset: int, length: int) -> memoryview:
        """A payload whose digest was checked. Errors: DamagedContent, TryLater."""
        record = self._pread(segment, offset, HEADER + length)
        prove_record(record, tenant, blob, segment, offset)
        return memoryview(record)[HEADER:]

    def record(self, segment: int, offset: int, length: int) -> bytes:
        """A record with its header, not proved. Errors: DamagedContent when it cannot be read."""
        return self._pread(segment, offset, HEADER + length)

    def read_part(self, segment: int, offset: int, start: int, end: int) -> bytes:
        """Octets of a payload that the caller proves itself. Errors: DamagedContent."""
        return self._pread(segment, offset + HEADER + start, end - start)

    def _pread(self, segment: int, offset: int, length: int) -> bytes:
        try:
            octets = os.pread(self._fd(segment), length, offset)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            raise DamagedContent(f"segment {segment:016x} offset {offset}: {name}") from None
        if len(octets) != length:
            raise DamagedContent(f"segment {segment:016x} offset {offset}: short")
        return octets

    def forget(self, segment: int) -> None:
        """Close a segment that is no more."""
        if (fd := self._fds.pop(segment, None)) is not None:
            os.close(fd)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])
