"""Documents that hold a secret are sealed in the database, under the key of their account (SEALED_KINDS).

``sealed:`` and base64 of nonce, ciphertext and tag, bound to account, kind and name: moved to another row it
does not open. What an older version left in clear is sealed when the writer starts.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.kek import BadKeyFile, KeyRing
from a3mailer.keys.wrap import KeyMismatch, unwrap, wrap
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.telemetry.events import emit

PREFIX: Final = "sealed:"
_OLD: Final = (
    "SELECT account, kind, name, value, key_id, wrapped FROM documents JOIN account_keys USING (account)"
    " WHERE kind = 'hook' AND substr(value, 1, 7) <> 'sealed:'"
)


def _binding(account: int, kind: str, name: str) -> bytes:
    return b"document %d %b %b" % (account, kind.encode(), name.encode())


def seal(cipher: AESGCM, account: int, kind: str, name: str, value: str) -> str:
    """The value as it is written."""
    octets = wrap(cipher, value.encode(), _binding(account, kind, name))
    return PREFIX + base64.b64encode(octets).decode()


def unseal(cipher: AESGCM, account: int, kind: str, name: str, value: str) -> str:
    """The value as it was given. Errors: KeyMismatch."""
    if not value.startswith(PREFIX):
        raise KeyMismatch("it is not sealed")
    try:
        octets = base64.b64decode(value[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise KeyMismatch("it cannot be read") from error
    return unwrap(cipher, octets, _binding(account, kind, name)).decode()


def seal_old(connection: apsw.Connection, ring: KeyRing) -> int:
    """Seal what is in clear; how many. Nothing of it stays in the pages (``secure_delete``).

    That of an account whose key does not open stays as it is, which the doctor tells of anyway."""
    execute: Execute = connection.execute
    rows: list[tuple[Any, ...]] = execute(_OLD).fetchall()
    if not rows:
        return 0
    with connection:
        for account, kind, name, value, key_id, wrapped in rows:
            try:
                cipher = AESGCM(ring.unwrap(b"account", account, key_id, wrapped))
            except (BadKeyFile, KeyMismatch) as error:
                emit("store.document_not_sealed", level="error", account=account, error=str(error))
                continue
            connection.execute(
                "UPDATE documents SET value=? WHERE account=? AND kind=? AND name=?",
                (seal(cipher, account, kind, name, value), account, kind, name),
            )
    return len(rows)
