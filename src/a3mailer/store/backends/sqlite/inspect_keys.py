"""Looking for keys that are gone, open to others, or do not open what they should."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.keys.wrap import KeyMismatch, blob_binding, owner_binding, unwrap
from a3mailer.store.backends.sqlite.connection import KEY_FILE
from a3mailer.store.backends.sqlite.inspect_database import rows
from a3mailer.store.upkeep import Finding, Progress

UNUSABLE: Final = (KeyMismatch, TypeError, struct.error)
"""A key does not open, or damage made another type of what it is bound to: SQLite keeps any in any column."""


def inspect_key_file(directory: Path) -> Iterator[Finding]:
    """The file alone."""
    path = directory / KEY_FILE
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        octets = path.read_bytes()
    except FileNotFoundError:
        yield Finding("key-file-missing", KEY_FILE)
        return
    except OSError as error:
        yield Finding("key-file-damaged", KEY_FILE, error.strerror or "")
        return
    if mode & 0o077:
        yield Finding("key-file-mode", KEY_FILE, f"mode {mode:04o}")
    try:
        KeyRing.decode(octets)
    except BadKeyFile as error:
        yield Finding("key-file-damaged", KEY_FILE, str(error))


def inspect_keys(directory: Path, connection: apsw.Connection, progress: Progress) -> Iterator[Finding]:
    """Every wrapped key, when the key file can be understood."""
    try:
        ring = KeyRing.decode((directory / KEY_FILE).read_bytes())
    except (OSError, BadKeyFile):
        return
    tenants: dict[int, bytes] = {}
    yield from _owners(connection, ring, "tenant", "tenants", tenants)
    yield from _dictionaries(connection, tenants)
    accounts: dict[int, bytes] = {}
    yield from _owners(connection, ring, "account", "account_keys", accounts)
    progress("keys of contents", 0, 0)
    yield from _contents(connection, accounts)


def _owners(
    connection: apsw.Connection, ring: KeyRing, purpose: str, table: str, opened: dict[int, bytes]
) -> Iterator[Finding]:
    # ``table`` is one of two constants
    for row in rows(connection, f"SELECT {purpose}, key_id, wrapped FROM {table}"):  # noqa: S608
        if isinstance(row, Finding):
            yield row
            continue
        owner, key_id, wrapped = row
        try:
            opened[owner] = ring.unwrap(purpose.encode(), owner, key_id, wrapped)
        except (BadKeyFile, *UNUSABLE) as error:
            yield Finding("key-damaged", f"{purpose} {owner}", str(error))


def _dictionaries(connection: apsw.Connection, tenants: dict[int, bytes]) -> Iterator[Finding]:
    for row in rows(connection, "SELECT tenant, number, sealed FROM dictionaries"):
        if isinstance(row, Finding):
            yield row
            continue
        tenant, number, sealed = row
        if tenant in tenants:
            try:
                unwrap(AESGCM(tenants[tenant]), sealed, owner_binding(b"dictionary", tenant, str(number)))
            except UNUSABLE as error:
                yield Finding("dictionary-missing", f"tenant {tenant}", f"dictionary {number}: {error}")


def _contents(connection: apsw.Connection, accounts: dict[int, bytes]) -> Iterator[Finding]:
    ciphers = {account: AESGCM(key) for account, key in accounts.items()}
    found = rows(connection, "SELECT tenant, blob, account, wrapped FROM blob_refs WHERE length(wrapped) > 0")
    for row in found:
        if isinstance(row, Finding):
            yield row
            continue
        tenant, blob, account, wrapped = row
        if account in ciphers:
            try:
                unwrap(ciphers[account], wrapped, blob_binding(tenant, blob, account))
            except UNUSABLE as error:
                where = f"content {blob.hex() if isinstance(blob, bytes) else blob} of account {account}"
                yield Finding("content-key-damaged", where, str(error))
