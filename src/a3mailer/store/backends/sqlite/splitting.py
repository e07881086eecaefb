"""Preparing a large mail: its large parts become contents of their own, or are found as such (ADR 0016)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import apsw
from blake3 import blake3

from a3mailer.mail.errors import DamagedContent, NoSuchAccount
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.contents import dictionary_of, frame_digests
from a3mailer.store.backends.sqlite.extents import large_parts, own_octets
from a3mailer.store.backends.sqlite.handover import Piece
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.sealing import (
    HASH_ON_LOOP,
    Found,
    Sealing,
    WrappedKeys,
    keyed_digest,
    piece_of,
)
from a3mailer.store.backends.sqlite.segments import Record
from a3mailer.store.ports import Content

Prepared = tuple[Piece, Record | None]
"""A piece, without its place, and the record to write; None where the tenant has it already."""

_PURPOSE: Final = b"a3mailer: parts of mails"
"""The hash of a part is keyed apart from that of a whole mail: a blob of one is never taken for the other."""
_HELD: Final = (
    "SELECT p.at, p.part, b.size, r.wrapped FROM blob_parts p"
    " JOIN blobs b ON b.tenant = p.tenant AND b.blob = p.part"
    " LEFT JOIN blob_refs r ON r.tenant = p.tenant AND r.blob = p.part AND r.account = ?"
    " WHERE p.tenant = ? AND p.blob = ? ORDER BY p.at"
)


class Splitting:
    """Makes pieces and records of mails of more than PART_FROM octets. One loop."""

    def __init__(self, sealing: Sealing, connection: apsw.Connection, keys: Keys) -> None:
        self._sealing = sealing
        self._execute: Execute = connection.execute
        self._keys = keys

    async def prepare(
        self, content: Content, tenant: int, accounts: Sequence[int], known: bool, first: int
    ) -> list[Prepared]:
        """The mail, then its parts, whose pieces count from ``first``.

        ``known`` False looks for no copies. Errors: NoSuchAccount for a tenant that is none."""
        octets = content.octets
        key = self._keys.tenant(tenant)
        digest = b""
        if not content.unique:
            digest = await keyed_digest(octets, key)
            found = await self._sealing.find(tenant, digest, octets, accounts) if known else None
            held = None if found is None else self._held(content, digest, found, tenant, accounts, first)
            if held is not None:
                return held
        parts: list[Prepared] = []
        extents: list[tuple[int, int]] = []
        spans = large_parts(content.index.parts, len(octets))
        key = blake3(_PURPOSE, key=key).digest()
        numbers: dict[bytes, int] = {}
        for start, end in spans:
            if extents:
                await asyncio.sleep(0)
            part = memoryview(octets)[start:end]
            digests = await _digests(part)
            name = blake3(b"".join(digests), key=key).digest(16)
            if name not in numbers:
                numbers[name] = first + len(parts)
                parts.append(await self._part(part, digests, name, tenant, accounts, known))
            extents.append((start, numbers[name]))
        own = own_octets(octets, spans) if spans else octets
        blob, wrapped, record = await self._sealing.seal(own, tenant, accounts)
        return [(piece_of(content, blob, wrapped, record, digest, len(own), extents), record), *parts]

    async def _part(
        self,
        octets: memoryview,
        digests: Sequence[bytes],
        name: bytes,
        tenant: int,
        accounts: Sequence[int],
        known: bool,
    ) -> Prepared:
        if known and (found := await self._sealing.find(tenant, name, octets, accounts)):
            return _part_piece(found.blob, None, len(octets), name, found.keys), None
        blob, wrapped, record = await self._sealing.seal(octets, tenant, accounts, digests)
        return _part_piece(blob, record, len(octets), name, wrapped), record

    def _held(
        self,
        content: Content,
        digest: bytes,
        found: Found,
        tenant: int,
        accounts: Sequence[int],
        first: int,
    ) -> list[Prepared] | None:
        """A mail that is there, with the parts it has; None when they cannot be opened."""
        parts: list[Prepared] = []
        extents: list[tuple[int, int]] = []
        numbers: dict[bytes, int] = {}
        for at, part, size, wrapped in self._execute(_HELD, (found.owner, tenant, found.blob)).fetchall():
            if part not in numbers:
                if wrapped is None:
                    return None
                try:
                    keys = self._sealing.wrap_again(wrapped, tenant, part, found.owner, accounts)
                except (DamagedContent, NoSuchAccount):
                    return None
                numbers[part] = first + len(parts)
                parts.append((_part_piece(part, None, size, b"", keys), None))
            extents.append((at, numbers[part]))
        return [(piece_of(content, found.blob, found.keys, None, digest, 0, extents), None), *parts]


async def _digests(octets: memoryview) -> list[bytes]:
    """Of the frames of a part; keyed together they are what it is found by, alone they prove its frames."""
    if len(octets) <= HASH_ON_LOOP:
        return frame_digests(octets)
    return await asyncio.to_thread(frame_digests, octets)


def _part_piece(blob: bytes, record: Record | None, size: int, digest: bytes, keys: WrappedKeys) -> Piece:
    """A piece that no mailbox or queue row names itself."""
    length, dictionary = (0, 0) if record is None else (record.length, dictionary_of(record))
    return Piece(blob, 0, 0, length, size, dictionary, digest, keys, b"", b"", b"", "", "", 0, False, (), b"")
