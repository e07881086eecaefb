"""What a worker does with a content before it hands it over: de-duplicate, compress, encrypt, wrap keys."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
from collections.abc import Sequence
from typing import Final

import apsw
from blake3 import blake3

from a3mailer.config.tree import Store as StoreSettings
from a3mailer.keys.wrap import new_key
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.contents import Compression, dictionary_of, make_compression, seal
from a3mailer.store.backends.sqlite.handover import Piece
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.segments import Record
from a3mailer.store.ports import Content

LEAVE_LOOP: Final = 256 * 1024
"""Octets of a content from which on a thread compresses and encrypts it."""
DEDUPLICATE_FROM: Final = 16384
"""Smaller contents cost more to look up than a second copy costs to keep."""


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
        """The piece, without its place, and the record to write; None where the tenant has it already.

        ``known`` False looks for no copy. Errors: NoSuchAccount for a tenant that is none."""
        octets = content.octets
        digest = b""
        if len(octets) >= DEDUPLICATE_FROM and not content.unique:
            digest = blake3(octets, key=self._keys.tenant(tenant)).digest(16)
            if known and (found := self._find(tenant, digest, accounts)):
                return _piece(content, *found, 0, digest), None
        blob = new_blob_id(self._clock.now())
        key = new_key() if self._settings.encryption else None
        wrapped = self._wrap(key, tenant, blob, accounts)
        if len(octets) < LEAVE_LOOP:
            record = seal(octets, tenant, blob, key, self._compression(tenant))
        else:
            loop = asyncio.get_running_loop()
            record = await loop.run_in_executor(None, self._seal_large, octets, tenant, blob, key)
        return _piece(content, blob, wrapped, record.length, dictionary_of(record), digest), record

    def _compression(self, tenant: int) -> Compression | None:
        if not self._settings.compression:
            return None
        number = self._current.get(tenant)
        if number is None:
            row = self._execute("SELECT dictionary FROM tenants WHERE tenant=?", (tenant,)).fetchone()
            number = self._current[tenant] = row[0] if row else 0
        return self._blobs.compression(tenant, number)

    def _seal_large(self, octets: bytes | mmap.mmap, tenant: int, blob: bytes, key: bytes | None) -> Record:
        """On a thread: a compressor of its own, and no dictionary, which gains nothing here."""
        return seal(octets, tenant, blob, key, make_compression() if self._settings.compression else None)

    def _find(
        self, tenant: int, digest: bytes, accounts: Sequence[int]
    ) -> tuple[bytes, tuple[tuple[int, bytes], ...], int] | None:
        """A blob of the same octets, with its key wrapped for the accounts, and 0 for its length."""
        row = self._execute(
            "SELECT h.blob, r.account, r.wrapped FROM blob_hashes h"
            " JOIN blob_refs r ON r.tenant = h.tenant AND r.blob = h.blob"
            " WHERE h.tenant = ? AND h.hash = ? LIMIT 1",
            (tenant, digest),
        ).fetchone()
        if row is None or bool(row[2]) != self._settings.encryption:
            return None
        blob, owner, wrapped = row
        key = self._keys.unwrap(wrapped, tenant, blob, owner) if wrapped else None
        return blob, self._wrap(key, tenant, blob, accounts), 0

    def _wrap(
        self, key: bytes | None, tenant: int, blob: bytes, accounts: Sequence[int]
    ) -> tuple[tuple[int, bytes], ...]:
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


def _piece(
    content: Content,
    blob: bytes,
    keys: tuple[tuple[int, bytes], ...],
    length: int,
    dictionary: int,
    digest: bytes,
) -> Piece:
    index = content.index
    return Piece(
        blob,
        0,
        0,
        length,
        len(content.octets),
        dictionary,
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
    )
