"""Reading contents: find the record, prove it, decrypt, expand; whole, in parts, or many at once."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw

from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.contents import (
    FRAME,
    HEADER,
    Compression,
    Layout,
    Opener,
    layout,
    make_compression,
    open_single,
    table_size,
)
from a3mailer.store.backends.sqlite.extents import OWN, runs
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_runs import Found, open_run, runs_of
from a3mailer.store.backends.sqlite.segments import HEADER as RECORD_HEADER
from a3mailer.store.backends.sqlite.segments import SegmentReader, proved

T = TypeVar("T", bound=Hashable)

AT_ONCE: Final = 256 * 1024
"""Octets of a content that are read in one go; larger ones give way to others between frames."""
FRAMES_AT_ONCE: Final = 4
MANY: Final = 100
"""Contents read in bulk before giving way."""

_WHERE: Final = (
    "SELECT r.wrapped, b.segment, b.offset, b.length, b.size, b.own FROM blob_refs r"
    " JOIN blobs b ON b.tenant = r.tenant AND b.blob = r.blob"
    " WHERE r.tenant = ? AND r.blob = ? AND r.account = ?"
)
_PLACES: Final = (
    "SELECT r.blob, r.wrapped, b.segment, b.offset, b.length, b.size, b.own FROM blob_refs r"
    " JOIN blobs b ON b.tenant = r.tenant AND b.blob = r.blob"
    " WHERE r.tenant = ? AND r.account = ? AND r.blob IN carray(?)"
)
_OF_MESSAGES: Final = (
    "SELECT m.uid, m.blob, r.wrapped, b.segment, b.offset, b.length, b.size, b.own FROM {} m"
    " LEFT JOIN blob_refs r ON r.tenant = ?1 AND r.blob = m.blob AND r.account = ?2"
    " LEFT JOIN blobs b ON b.tenant = ?1 AND b.blob = m.blob"
    " WHERE m.account = ?2 AND m.mailbox = ?3 AND m.uid "
)
_CONTENT: Final = f"{_OF_MESSAGES.format('messages')} = ?4"
_CONTENTS_RANGE: Final = f"{_OF_MESSAGES.format('messages')} BETWEEN ?4 AND ?5"
DENSE: Final = 4
"""Up to so many uids for each that is wanted a range is read, and not one row after the other."""
_CONTENTS: Final = (
    f"{_OF_MESSAGES.format('messages')} IN carray(?4) UNION ALL"
    f" {_OF_MESSAGES.format('expunged')} IN carray(?4) AND m.kept > 0"
)
_PARTS: Final = (
    "SELECT p.at, p.part, r.wrapped, b.segment, b.offset, b.length, b.size, NULL FROM blob_parts p"
    " JOIN blobs b ON b.tenant = p.tenant AND b.blob = p.part"
    " JOIN blob_refs r ON r.tenant = p.tenant AND r.blob = p.part AND r.account = ?"
    " WHERE p.tenant = ? AND p.blob = ? ORDER BY p.at"
)
Place = tuple[bytes, int, int, int, int, int | None]
"""(wrapped key, segment, offset, length of the payload, size, own octets where others lie in parts)."""


class Blobs:
    """Reads the contents that accounts refer to. One thread."""

    def __init__(self, folder: Path, connection: apsw.Connection, keys: Keys) -> None:
        self._execute: Execute = connection.execute
        self._keys = keys
        self.segments = SegmentReader(folder)
        self._tenants: dict[int, int] = {}
        self._compressions: dict[tuple[int, int], Compression] = {}

    def tenant_of(self, account: int) -> int:
        """Errors: NoSuchMessage when the account does not exist: it refers to nothing."""
        tenant = self._tenants.get(account)
        if tenant is None:
            row = self._execute("SELECT tenant FROM accounts WHERE account=?", (account,)).fetchone()
            if row is None:
                raise NoSuchMessage(f"account {account}")
            tenant = self._tenants[account] = int(row[0])
        return tenant

    def compression(self, tenant: int, number: int) -> Compression:
        """How contents made with dictionary ``number`` (0: none) are expanded. Errors: DamagedContent."""
        key = (tenant if number else 0, number)
        found = self._compressions.get(key)
        if found is None:
            words = self._dictionary(tenant, number) if number else b""
            found = self._compressions[key] = make_compression(number, words)
        return found

    def _dictionary(self, tenant: int, number: int) -> bytes:
        row = self._execute(
            "SELECT sealed FROM dictionaries WHERE tenant=? AND number=?", (tenant, number)
        ).fetchone()
        if row is None:
            raise DamagedContent(f"compression dictionary {number} is gone")
        return self._keys.open_dictionary(row[0], tenant, number)

    def _place(self, tenant: int, blob: bytes, account: int) -> Place:
        place: Place | None = self._execute(_WHERE, (tenant, blob, account)).fetchone()
        if place is None:
            raise NoSuchMessage("the account refers to no such content")
        return place

    def size(self, account: int, blob: bytes) -> int:
        """Errors: NoSuchMessage."""
        return self._place(self.tenant_of(account), blob, account)[4]

    async def octets(self, account: int, blob: bytes, start: int = 0, end: int | None = None) -> bytes:
        """Errors: NoSuchMessage, DamagedContent, TryLater."""
        tenant = self.tenant_of(account)
        place = self._place(tenant, blob, account)
        size = place[4]
        stop = size if end is None else min(end, size)
        start = max(start, 0)
        if start >= stop:
            return b""
        if place[5] is not None:
            return await self._joined(tenant, blob, account, place, start, stop)
        return await self._range(tenant, blob, account, place, start, stop)

    async def _range(
        self, tenant: int, blob: bytes, account: int, place: Place, start: int, stop: int
    ) -> bytes:
        """Octets of one record."""
        size = place[4]
        if size <= FRAME or (stop - start == size and size <= AT_ONCE):
            whole = self._whole(tenant, blob, account, place)
            return whole if stop - start == size else whole[start:stop]
        return await self._part(tenant, blob, account, place, start, stop)

    async def _joined(
        self, tenant: int, blob: bytes, account: int, place: Place, start: int, stop: int
    ) -> bytes:
        """Octets of a mail whose large parts are contents of their own: only those are read that it meets."""
        size, own = place[4], place[5] or 0
        rows = self._execute(_PARTS, (account, tenant, blob)).fetchall()
        try:
            plan = runs([(row[0], row[6]) for row in rows], own, size, start, stop)
        except DamagedContent:
            self._place(tenant, blob, account)  # unless it was freed just now
            raise
        mine = [run for run in plan if run[0] == OWN]
        first, octets = (mine[0][1], b"") if mine else (0, b"")
        if mine:
            alone = (*place[:4], own, None)
            octets = await self._range(tenant, blob, account, alone, first, mine[-1][2])
        found = []
        for number, begin, end in plan:
            if number == OWN:
                found.append(octets[begin - first : end - first])
            else:
                part = rows[number]
                found.append(await self._range(tenant, part[1], account, part[2:], begin, end))
        return b"".join(found)

    def _whole(self, tenant: int, blob: bytes, account: int, place: Place) -> bytes:
        wrapped, segment, offset, length, size, _ = place
        if size <= FRAME:
            return self._single(tenant, blob, account, place)
        if wrapped:  # the authentication tags prove it
            payload = memoryview(self.segments.read_part(segment, offset, 0, length))
        else:
            payload = self.segments.read(tenant, blob, segment, offset, length)
        key = self._keys.unwrap(wrapped, tenant, blob, account) if wrapped else None
        plan = layout(payload, length)
        octets = self._opener(plan, tenant, blob, key).whole(payload)
        if len(octets) != size:
            raise DamagedContent("a content of another size")
        return octets

    def _single(self, tenant: int, blob: bytes, account: int, place: Place) -> bytes:
        """A content of one frame."""
        wrapped, segment, offset, length, size, _ = place
        record = self.segments.record(segment, offset, length)
        key: bytes | None = None
        if wrapped:  # the authentication tag proves it
            key = self._keys.unwrap(wrapped, tenant, blob, account)
        elif not proved(record, tenant, blob, length):
            raise DamagedContent(f"segment {segment:016x} offset {offset}: checksum")
        octets = open_single(record, RECORD_HEADER, tenant, blob, key, self.compression)
        if len(octets) != size:
            raise DamagedContent("a content of another size")
        return octets

    def _opener(self, plan: Layout, tenant: int, blob: bytes, key: bytes | None) -> Opener:
        return Opener(
            plan, tenant, blob, key, self.compression(tenant, plan.dictionary) if plan.flags else None
        )

    async def _part(
        self, tenant: int, blob: bytes, account: int, place: Place, start: int, stop: int
    ) -> bytes:
        wrapped, segment, offset, length, _, _ = place
        head = self.segments.read_part(segment, offset, 0, HEADER)
        head += self.segments.read_part(segment, offset, HEADER, HEADER + table_size(head))
        plan = layout(head, length)
        key = self._keys.unwrap(wrapped, tenant, blob, account) if wrapped else None
        opener = self._opener(plan, tenant, blob, key)
        frames = []
        first, last = start // FRAME, (stop - 1) // FRAME
        for number in range(first, last + 1):
            stored = self.segments.read_part(segment, offset, plan.starts[number], plan.starts[number + 1])
            frames.append(opener.frame(number, stored))
            if (number - first) % FRAMES_AT_ONCE == FRAMES_AT_ONCE - 1:
                await asyncio.sleep(0)
        octets = b"".join(frames)
        skip = first * FRAME
        return octets[start - skip : stop - skip]

    async def many(self, account: int, blobs: Sequence[bytes]) -> list[bytes | None]:
        """Whole contents; None where damaged or gone. Errors: TryLater."""
        tenant = self.tenant_of(account)
        found: dict[bytes, bytes | None] = {}
        for at in range(0, len(blobs), MANY):
            if at:
                await asyncio.sleep(0)
            part = tuple(map(bytes, blobs[at : at + MANY]))
            rows = self._execute(_PLACES, (tenant, account, apsw.carray(part))).fetchall()
            await self._read(tenant, account, [(row[0], *row) for row in rows], found)
        return [found.get(blob) for blob in blobs]

    async def of_messages(self, account: int, mailbox: int, uids: Sequence[int]) -> dict[int, bytes | None]:
        """Whole contents by uid; None where damaged, messages that are gone left out. Errors: TryLater."""
        tenant = self.tenant_of(account)
        found: dict[int, bytes | None] = {}
        for at in range(0, len(uids), MANY):
            if at:
                await asyncio.sleep(0)
            rows = self._rows_of(tenant, account, mailbox, uids[at : at + MANY])
            lost = {row[0]: None for row in rows if row[2] is None or row[3] is None}
            if lost:
                found |= lost
                rows = [row for row in rows if row[0] not in lost]
            await self._read(tenant, account, rows, found)
        return found

    def _rows_of(self, tenant: int, account: int, mailbox: int, uids: Sequence[int]) -> list[Found[int]]:
        first, last = uids[0], uids[-1]
        if len(uids) == 1:
            rows = self._execute(_CONTENT, (tenant, account, mailbox, first)).fetchall()
            if rows:
                return rows
        elif 0 < last - first < DENSE * len(uids):
            wanted = frozenset(uids)
            cursor = self._execute(_CONTENTS_RANGE, (tenant, account, mailbox, first, last))
            rows = [row for row in cursor if row[0] in wanted]
            if len(rows) == len(wanted):
                return rows
        return self._execute(_CONTENTS, (tenant, account, mailbox, apsw.carray(array("q", uids)))).fetchall()

    async def _read(
        self, tenant: int, account: int, rows: list[Found[T]], found: dict[T, bytes | None]
    ) -> None:
        """Read contents in the order in which they lie; None where damaged."""
        for run, start, end in runs_of(rows):
            if run[0][6] > FRAME:
                what, blob = run[0][:2]
                found[what] = await self._large_or_none(tenant, account, blob, run[0][2:])
                continue
            with contextlib.suppress(DamagedContent):  # of one of them, maybe: each is tried alone
                octets = self.segments.record(run[0][3], start, end - start - RECORD_HEADER)
                open_run(octets, start, run, (tenant, account), self._keys.cipher, self.compression, found)
            for row in run:
                if row[0] not in found:
                    found[row[0]] = self._single_or_none(tenant, row[1], account, row[2:])

    def _single_or_none(self, tenant: int, blob: bytes, account: int, place: Place) -> bytes | None:
        try:
            return self._single(tenant, blob, account, place)
        except DamagedContent:
            return None

    async def _large_or_none(self, tenant: int, account: int, blob: bytes, place: Place) -> bytes | None:
        try:
            if place[5] is not None:
                return await self._joined(tenant, blob, account, place, 0, place[4])
            if place[4] <= AT_ONCE:
                return self._whole(tenant, blob, account, place)
            return await self._part(tenant, blob, account, place, 0, place[4])
        except (DamagedContent, NoSuchMessage):
            return None

    def forget(self) -> None:
        """The directory changed."""
        self._tenants.clear()

    def close(self) -> None:
        self.segments.close()
