"""Compaction: what still lives in a mostly dead segment moves on, and the segment's file is freed.

Three steps, each complete by itself, so that a crash between them costs nothing:
1. evacuate: live records are copied, proved, into the current segment; ``Relocate`` is committed after each
   batch. A segment is chosen when less than half of it lives and nobody writes to it.
2. mark: a segment nothing points to is marked, with the time.
3. free: a marked segment goes GRACE_SECONDS later, looked through once more, unless somebody holds the
   pins (a backup). Its file is used again or unlinked.

A damaged record stays where it is: it is never copied, and what it lies in is never freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import BlobId, TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import PINS, SEGMENTS, Execute
from a3mailer.store.backends.sqlite.segments import (
    FIRST,
    FREE,
    HEADER,
    NO_BLOB,
    Record,
    SegmentReader,
    file_size,
    holds_more,
    is_empty_mark,
    is_sealed,
    mark_empty,
    record_of,
    room_for,
    scan,
    seal_file,
    segment_ids,
    segment_path,
)
from a3mailer.store.operations import Operation, Relocate
from a3mailer.telemetry.events import emit

GRACE_SECONDS: Final = 600.0
"""How long a segment nothing points to is kept: longer than any reader holds what it read of the rows."""
LIVE_BELOW: Final = 0.5
BATCH_OCTETS: Final = 4 << 20
BATCH_RECORDS: Final = 256
POOL: Final = 4
"""Freed files that are kept to be used again."""

Place = tuple[int, int]
Held = tuple[int, int, int, bytes]
"""(offset, length, tenant, blob)."""


class Compaction:
    """One store's. Runs in one worker at a time, on its loop; files are read on threads."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        execute: Execute,
        write: Callable[[Sequence[Record]], Awaitable[list[Place]]],
        commit: Callable[[Operation], Awaitable[None]],
    ) -> None:
        self._directory = directory
        self._folder = directory / SEGMENTS
        self._clock = clock
        self._execute = execute
        self._write = write
        self._commit = commit

    async def run(self, seconds: float, grace: float = GRACE_SECONDS) -> int:
        """Work for about so long; octets of files freed. Errors: those of writing."""
        deadline = self._clock.monotonic() + seconds
        freed = 0
        for segment in await asyncio.to_thread(segment_ids, self._folder):
            if self._clock.monotonic() >= deadline:
                break
            with self._owned(segment) as fd:
                if fd >= 0:
                    freed += await self._look_at(fd, segment, deadline, grace)
        return freed

    @contextlib.contextmanager
    def _owned(self, segment: int) -> Iterator[int]:
        """The file, locked, so that nobody appends to it meanwhile; -1 when somebody does."""
        try:
            fd = os.open(segment_path(self._folder, segment), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            yield -1
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield -1
            else:
                yield fd
        finally:
            os.close(fd)

    async def _look_at(self, fd: int, segment: int, deadline: float, grace: float) -> int:
        row = self._execute("SELECT live, records FROM segments WHERE segment=?", (segment,)).fetchone()
        size = file_size(fd, segment)
        if size is None:
            return 0  # its header is damaged: doctor's
        live, records = row or (0, 0)
        used = os.fstat(fd).st_size - FIRST
        if records > 0:
            if is_sealed(fd) and live < used * LIVE_BELOW:
                await self._evacuate(fd, segment, size, deadline)
            return 0
        return await self._free(fd, segment, size, grace)

    # --- evacuate ----------------------------------------------------------------------------------

    async def _evacuate(self, fd: int, segment: int, size: int, deadline: float) -> None:
        held = await asyncio.to_thread(_held, fd, segment, size)
        batch: list[Held] = []
        octets = 0
        for one in held:
            if not self._lives(segment, one):
                continue
            batch.append(one)
            octets += room_for(one[1])
            if octets >= BATCH_OCTETS or len(batch) >= BATCH_RECORDS:
                await self._move(segment, batch)
                batch, octets = [], 0
                if self._clock.monotonic() >= deadline:
                    return
        if batch:
            await self._move(segment, batch)

    def _lives(self, segment: int, held: Held) -> bool:
        offset, _, tenant, blob = held
        row = self._execute(
            "SELECT segment, offset FROM blobs WHERE tenant=? AND blob=?", (tenant, blob)
        ).fetchone()
        return bool(row == (segment, offset))

    async def _move(self, segment: int, batch: Sequence[Held]) -> None:
        records = await asyncio.to_thread(self._read, segment, batch)
        if not records:
            return
        places = await self._write(records)
        moves = tuple(
            [
                (TenantId(record.tenant), BlobId(record.blob), *place)
                for record, place in zip(records, places, strict=True)
            ]
        )
        await self._commit(Relocate(moves))

    def _read(self, segment: int, batch: Sequence[Held]) -> list[Record]:
        """On a thread. What is damaged stays."""
        reader = SegmentReader(self._folder)
        records = []
        for offset, length, tenant, blob in batch:
            try:
                octets = reader.record(segment, offset, length)
                records.append(record_of(octets, tenant, blob, segment, offset))
            except DamagedContent as error:
                emit("store.content.damaged", level="error", error=str(error))
        reader.close()
        return records

    # --- free --------------------------------------------------------------------------------------

    async def _free(self, fd: int, segment: int, size: int, grace: float) -> int:
        """Mark it, or free what was marked long enough ago."""
        now = self._clock.now()
        if not is_empty_mark(fd):
            if not await asyncio.to_thread(holds_anything, fd, segment, size):
                return 0  # made a moment ago, or given up before its first use: the next writer takes it
            seal_file(fd)
            mark_empty(fd, now)
            if grace > 0:
                return 0
        if now - os.fstat(fd).st_mtime < grace or not await self._is_dead(fd, segment, size):
            return 0
        with self._pins() as allowed:
            return self._let_go(fd, segment) if allowed else 0

    async def _is_dead(self, fd: int, segment: int, size: int) -> bool:
        """The counters say so; the rows are asked too, for every record of the file."""
        held, end = await asyncio.to_thread(_held_and_end, fd, segment, size)
        if await asyncio.to_thread(holds_more, fd, segment, end):
            return False
        for number, one in enumerate(held):
            if self._lives(segment, one):
                emit("store.segment.counters", level="error", segment=f"{segment:016x}")
                return False
            if number % 500 == 499:
                await asyncio.sleep(0)
        return True

    @contextlib.contextmanager
    def _pins(self) -> Iterator[bool]:
        """Whether nobody needs segments to stay what they are."""
        fd = os.open(self._directory / PINS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    def _let_go(self, fd: int, segment: int) -> int:
        """Keep the file to be used again, or give its octets back."""
        path = segment_path(self._folder, segment)
        octets = os.fstat(fd).st_size
        pool = self._folder / FREE
        pool.mkdir(mode=0o700, exist_ok=True)
        if sum(1 for _ in pool.iterdir()) < POOL:
            path.rename(pool / secrets.token_hex(8))
        else:
            path.unlink()
        emit("store.segment.freed", segment=f"{segment:016x}", octets=octets)
        return octets


def _held(fd: int, segment: int, size: int) -> list[Held]:
    return _held_and_end(fd, segment, size)[0]


def _held_and_end(fd: int, segment: int, size: int) -> tuple[list[Held], int]:
    """The records of contents, and where the last record ends."""
    end = FIRST
    held = []
    for offset, length, tenant, blob in scan(fd, segment, size):
        end = offset + room_for(length)
        if blob != NO_BLOB:
            held.append((offset, length, tenant, blob))
    return held, end


def holds_anything(fd: int, segment: int, size: int) -> bool:
    """Whether a record was ever written to this segment."""
    return next(scan(fd, segment, size), None) is not None or holds_more(fd, segment, FIRST + HEADER)
