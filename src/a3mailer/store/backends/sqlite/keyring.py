"""A worker's keys: owners' keys unwrapped once and remembered, blob keys wrapped and unwrapped with them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.keys.wrap import KeyMismatch, blob_binding, owner_binding, unwrap, wrap
from a3mailer.mail.errors import DamagedContent, NoSuchAccount
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.store.backends.sqlite import sealed_documents
from a3mailer.store.backends.sqlite.connection import KEY_FILE, Execute
from a3mailer.store.operations import Operation, RewrapKeys

ACCOUNTS_REMEMBERED: Final = 10_000
ROTATED_AT_ONCE: Final = 500
"""Keys wrapped anew in one transaction."""
_ACCOUNTS_BEFORE: Final = "SELECT account, key_id, wrapped FROM account_keys WHERE key_id <> ? LIMIT ?"
_TENANTS_BEFORE: Final = "SELECT tenant, key_id, wrapped FROM tenants WHERE key_id <> ? LIMIT ?"


class Keys:
    """Unwrapped keys of accounts and tenants. One thread."""

    def __init__(self, directory: Path, connection: apsw.Connection) -> None:
        self._path = directory / KEY_FILE
        self._ring = KeyRing.load(self._path)
        self._execute: Execute = connection.execute
        self._accounts: OrderedDict[int, AESGCM] = OrderedDict()
        self._tenants: dict[int, bytes] = {}

    def _unwrap(self, purpose: bytes, owner: int, key_id: str, wrapped: bytes) -> bytes:
        try:
            return self._ring.unwrap(purpose, owner, key_id, wrapped)
        except BadKeyFile:  # rotated since it was read
            self._ring = KeyRing.load(self._path)
            return self._ring.unwrap(purpose, owner, key_id, wrapped)

    def _account(self, account: int) -> AESGCM:
        """Errors: NoSuchAccount, BadKeyFile, KeyMismatch."""
        cipher = self._accounts.get(account)
        if cipher is not None:
            return cipher
        row = self._execute("SELECT key_id, wrapped FROM account_keys WHERE account=?", (account,)).fetchone()
        if row is None:
            raise NoSuchAccount(str(account))
        cipher = self._accounts[account] = AESGCM(self._unwrap(b"account", account, row[0], row[1]))
        if len(self._accounts) > ACCOUNTS_REMEMBERED:
            self._accounts.popitem(last=False)
        return cipher

    def cipher(self, account: int) -> AESGCM:
        """What wraps keys for an account. Errors: NoSuchAccount, DamagedContent."""
        try:
            return self._account(account)
        except (KeyMismatch, BadKeyFile) as error:
            raise DamagedContent(f"the key of an account: {error}") from None

    def tenant(self, tenant: int) -> bytes:
        """The tenant's own key: what its hashes are keyed with and its dictionaries sealed under.

        Errors: NoSuchAccount, BadKeyFile, KeyMismatch."""
        key = self._tenants.get(tenant)
        if key is None:
            row = self._execute("SELECT key_id, wrapped FROM tenants WHERE tenant=?", (tenant,)).fetchone()
            if row is None:
                raise NoSuchAccount(f"tenant {tenant}")
            key = self._tenants[tenant] = self._unwrap(b"tenant", tenant, row[0], row[1])
        return key

    def wrap(self, key: bytes, tenant: int, blob: bytes, account: int) -> bytes:
        """A blob's key for an account. Errors: NoSuchAccount."""
        return wrap(self._account(account), key, blob_binding(tenant, blob, account))

    def unwrap(self, wrapped: bytes, tenant: int, blob: bytes, account: int) -> bytes:
        """A blob's key. Errors: DamagedContent."""
        try:
            return unwrap(self._account(account), wrapped, blob_binding(tenant, blob, account))
        except (KeyMismatch, BadKeyFile) as error:
            raise DamagedContent(f"the key of a content: {error}") from None

    async def rotate(self, commit: Callable[[Operation], Awaitable[None]]) -> int:
        """A fresh key-encryption key; every owner's key is wrapped anew. How many were.

        Goes on with a rotation that was broken off: until the end the file holds both keys, and whatever is
        wrapped by either opens. Errors: BadKeyFile, KeyMismatch, those of writing."""
        ring = KeyRing.load(self._path)
        if len(ring.ids) == 1:
            ring = ring.rotated()
            ring.save(self._path)
        self._ring = ring
        await commit(RewrapKeys(ring.current, ()))  # from here on the writer wraps new keys by it
        count = 0
        while wrapped := self._rewrapped(_ACCOUNTS_BEFORE, b"account"):
            await commit(RewrapKeys(ring.current, tuple((AccountId(n), key) for n, key in wrapped)))
            count += len(wrapped)
        while wrapped := self._rewrapped(_TENANTS_BEFORE, b"tenant"):
            await commit(RewrapKeys(ring.current, (), tuple((TenantId(n), key) for n, key in wrapped)))
            count += len(wrapped)
        self._ring = ring.only_current()
        self._ring.save(self._path)
        return count

    def _rewrapped(self, sql: str, purpose: bytes) -> list[tuple[int, bytes]]:
        rows = self._execute(sql, (self._ring.current, ROTATED_AT_ONCE)).fetchall()
        return [
            (owner, self._ring.wrap(purpose, owner, self._unwrap(purpose, owner, key_id, wrapped)))
            for owner, key_id, wrapped in rows
        ]

    def forget(self) -> None:
        """The directory changed: an account may be gone."""
        self._accounts.clear()
        self._tenants.clear()

    def seal_document(self, account: int, kind: str, name: str, value: str) -> str:
        """A document with a secret, as it is written. Errors: NoSuchAccount."""
        return sealed_documents.seal(self._account(account), account, kind, name, value)

    def open_document(self, account: int, kind: str, name: str, value: str) -> str:
        """Errors: DamagedContent."""
        try:
            return sealed_documents.unseal(self._account(account), account, kind, name, value)
        except (KeyMismatch, BadKeyFile, NoSuchAccount) as error:
            raise DamagedContent(f"the document {kind} {name}: {error}") from None

    def seal_dictionary(self, octets: bytes, tenant: int, number: int) -> bytes:
        """A compression dictionary at rest: it holds pieces of mail."""
        return wrap(AESGCM(self.tenant(tenant)), octets, owner_binding(b"dictionary", tenant, str(number)))

    def open_dictionary(self, sealed: bytes, tenant: int, number: int) -> bytes:
        """Errors: DamagedContent."""
        try:
            cipher = AESGCM(self.tenant(tenant))
            return unwrap(cipher, sealed, owner_binding(b"dictionary", tenant, str(number)))
        except (KeyMismatch, BadKeyFile) as error:
            raise DamagedContent(f"compression dictionary {number}: {error}") from None
