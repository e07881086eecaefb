"""What a worker does with a content before it hands it over: de-duplicate, compress, encrypt, wrap keys."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw
from blake3 import blake3

from a3mailer.config.tree import Store as StoreSettings
from a3mailer.keys.wrap import new_key
from a3mailer.mail.errors import DamagedContent, NoSuchAccount, NoSuchMessage
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.contents import Compression, dictionary_of, make_compression, seal
from a3mailer.store.backends.sqlite.handover import Piece
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.segments import Record
from a3mailer.store.ports import Content
from a3mailer.telemetry.events import emit

LEAVE_LOOP: Final = 256 * 1024
"""Octets of a content from which on a thread compresses and encrypts it."""
HASH_ON_LOOP: Final = 4 << 20
"""Octets up to which a hash is made on the loop: half a millisecond."""
COMPARED_AT_ONCE: Final = 1 << 20
DEDUPLICATE_FROM: Final = 16384
"""Smaller contents cost more to look up than a second copy costs to keep."""

_FIND: Final = (
    "SELECT h.blob, r.account, r.wrapped, b.size FROM blob_hashes h"
    " JOIN blobs b ON b.tenant = h.tenant AND b.blob = h.blob"
    " JOIN blob_refs r ON r.tenant = h.tenant AND r.blob = h.blob"
    " WHERE h.tenant = ? AND h.hash = ? LIMIT 1"
)
Octets = bytes | mmap.mmap | memoryview
WrappedKeys = tuple[tuple[int, bytes], ...]
"""(account, wrapped key)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A blob that holds octets already; ``owner`` is one of those who refer to it."""

    blob: bytes
    keys: WrappedKeys
    owner: int


def new_blob_id(seconds: float) -> bytes:
    """6 octets of milliseconds, 10 random."""
    return int(seconds * 1000).to_bytes(6, "big") + os.urandom(10)


class Sealing:
    """Makes pieces and records of contents. One loop."""

    def __init__(
        self, settings: StoreSettings, connection: apsw.Connection, keys: Keys, blobs: Blobs, clock: Clock
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._execute: Execute = connection.execute
        self._keys = keys
        self._blobs = blobs
        self._current: dict[int, int] = {}

    async def prepare(
        self, content: Content, tenant: int, accounts: Sequence[int], known: bool = True
    ) -> tuple[Piece, Record | None]:
        """The piece of a content of at most PART_FROM octets, without its place, and the record to write.

        No record where the tenant has the content already.
        ``known`` False looks for no copy. Errors: NoSuchAccount for a tenant that is none."""
        octets = content.octets
        digest = b""
        if len(octets) >= DEDUPLICATE_FROM and not content.unique:
            digest = await keyed_digest(octets, self._keys.tenant(tenant))
            if known and (found := await self.find(tenant, digest, octets, accounts)):
                return piece_of(content, found.blob, found.keys, None, digest), None
        blob, wrapped, record = self._seal_small(octets, tenant, accounts)
        return piece_of(content, blob, wrapped, record, digest), record

    def _seal_small(
        self, octets: Octets, tenant: int, accounts: Sequence[int]
    ) -> tuple[bytes, WrappedKeys, Record]:
        blob = new_blob_id(self._clock.now())
        key = new_key() if self._settings.encryption else None
        record = seal(octets, tenant, blob, key, self._compression(tenant))
        return blob, self.wrap(key, tenant, blob, accounts), record

    async def seal(
        self, octets: Octets, tenant: int, accounts: Sequence[int], digests: Sequence[bytes] = ()
    ) -> tuple[bytes, WrappedKeys, Record]:
        """Octets as a new blob: its id, its key wrapped for the accounts, the record to write.

        ``digests`` are those of their frames, where they are known."""
        if len(octets) < LEAVE_LOOP:
            return self._seal_small(octets, tenant, accounts)
        blob = new_blob_id(self._clock.now())
        key = new_key() if self._settings.encryption else None
        wrapped = self.wrap(key, tenant, blob, accounts)
        if digests and key is None and not self._settings.compression:  # nothing is left to do with them
            return blob, wrapped, seal(octets, tenant, blob, None, None, digests)
        loop = asyncio.get_running_loop()
        record = await loop.run_in_executor(None, self._seal_large, octets, tenant, blob, key)
        return blob, wrapped, record

    def _compression(self, tenant: int) -> Compression | None:
        if not self._settings.compression:
            return None
        number = self._current.get(tenant)
        if number is None:
            row = self._execute("SELECT dictionary FROM tenants WHERE tenant=?", (tenant,)).fetchone()
            number = self._current[tenant] = row[0] if row else 0
        return self._blobs.compression(tenant, number)

    def _seal_large(self, octets: Octets, tenant: int, blob: bytes, key: bytes | None) -> Record:
        """On a thread: a compressor of its own, and no dictionary, which gains nothing here."""
        return seal(octets, tenant, blob, key, make_compression() if self._settings.compression else None)

    async def find(self, tenant: int, digest: bytes, octets: Octets, accounts: Sequence[int]) -> Found | None:
        """A blob of the same octets, read and compared: nothing new is kept only in a damaged copy."""
        row = self._execute(_FIND, (tenant, digest)).fetchone()
        if row is None or bool(row[2]) != self._settings.encryption or row[3] != len(octets):
            return None
        blob, owner, wrapped, _ = row
        try:
            if not await self._is_same(owner, blob, octets):
                return None
            return Found(blob, self.wrap_again(wrapped, tenant, blob, owner, accounts), owner)
        except DamagedContent as error:
            emit("store.content.damaged", level="error", error=str(error))
        except (NoSuchMessage, NoSuchAccount):
            pass  # freed meanwhile
        return None

    async def _is_same(self, owner: int, blob: bytes, octets: Octets) -> bool:
        view = memoryview(octets)
        for at in range(0, len(view), COMPARED_AT_ONCE):
            piece = bytes(view[at : at + COMPARED_AT_ONCE])
            if await self._blobs.octets(owner, blob, at, at + len(piece)) != piece:
                return False
        return True

    def wrap_again(
        self, wrapped: bytes, tenant: int, blob: bytes, owner: int, accounts: Sequence[int]
    ) -> WrappedKeys:
        """A key that is wrapped for ``owner``, wrapped for the accounts.

        Errors: DamagedContent, NoSuchAccount."""
        key = self._keys.unwrap(wrapped, tenant, blob, owner) if wrapped else None
        return self.wrap(key, tenant, blob, accounts)

    def wrap(self, key: bytes | None, tenant: int, blob: bytes, accounts: Sequence[int]) -> WrappedKeys:
        """The key for each account; one that has none is left out, and the writer says what is wrong."""
        if key is None:
            return tuple([(account, b"") for account in accounts])
        found = []
        for account in accounts:
            with contextlib.suppress(NoSuchAccount):
                found.append((account, self._keys.wrap(key, tenant, blob, account)))
        return tuple(found)

    def forget(self) -> None:
        """The directory changed: a tenant may have a new dictionary."""
        self._current.clear()


async def keyed_digest(octets: Octets, key: bytes) -> bytes:
    """What equal octets are found by."""
    if len(octets) <= HASH_ON_LOOP:
        return blake3(octets, key=key).digest(16)
    return await asyncio.to_thread(lambda: blake3(octets, key=key).digest(16))


def piece_of(
    content: Content,
    blob: bytes,
    keys: WrappedKeys,
    record: Record | None,
    digest: bytes,
    own: int = 0,
    extents: Sequence[tuple[int, int]] = (),
) -> Piece:
    """A mail's piece, without its place; ``record`` None for a blob that exists."""
    index = content.index
    return Piece(
        blob,
        0,
        0,
        0 if record is None else record.length,
        len(content.octets),
        0 if record is None else dictionary_of(record),
        digest,
        keys,
        index.envelope,
        index.bodystructure,
        index.pack(),
        index.preview,
        index.subject,
        index.date or 0,
        index.has_attachment,
        index.thread_keys,
        index.lineage,
        own,
        tuple(extents),
    )
