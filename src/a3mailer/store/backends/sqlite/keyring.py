"""A worker's keys: owners' keys unwrapped once and remembered, blob keys wrapped and unwrapped with them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Final

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.keys.wrap import KeyMismatch, blob_binding, owner_binding, unwrap, wrap
from a3mailer.mail.errors import DamagedContent, NoSuchAccount
from a3mailer.store.backends.sqlite.connection import KEY_FILE, Execute

ACCOUNTS_REMEMBERED: Final = 10_000


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

    def forget(self) -> None:
        """The directory changed: an account may be gone."""
        self._accounts.clear()
        self._tenants.clear()

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
