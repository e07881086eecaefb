"""Wrapping: a key under another key, bound to what it is for.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; a wrapped key is nonce, ciphertext and tag.
The additional data names purpose and owner, so a wrapped key moved to another row does not open.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
WRAPPED_SIZE: Final = NONCE_SIZE + KEY_SIZE + 16

_BLOB: Final = struct.Struct("<4sq16sq").pack


class KeyMismatch(Exception):
    """The wrapped key does not belong to this key, purpose and owner, or was altered."""


def new_key() -> bytes:
    """A random key of KEY_SIZE octets."""
    return os.urandom(KEY_SIZE)


def wrap(cipher: AESGCM, key: bytes, bound_to: bytes) -> bytes:
    """``key`` sealed under ``cipher``, WRAPPED_SIZE octets for a key of KEY_SIZE."""
    nonce = os.urandom(NONCE_SIZE)
    return nonce + cipher.encrypt(nonce, key, bound_to)


def unwrap(cipher: AESGCM, wrapped: bytes, bound_to: bytes) -> bytes:
    """The key again. Errors: KeyMismatch."""
    if len(wrapped) <= NONCE_SIZE:
        raise KeyMismatch("too short to be a wrapped key")
    try:
        return cipher.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], bound_to)
    except InvalidTag:
        raise KeyMismatch("the key does not open this") from None


def blob_binding(tenant: int, blob: bytes, account: int) -> bytes:
    """What a blob key wrapped for an account is bound to."""
    return _BLOB(b"blob", tenant, blob, account)


def owner_binding(purpose: bytes, owner: int, key_id: str) -> bytes:
    """What an account's (``b"account"``) or tenant's (``b"tenant"``) own key is bound to."""
    return b"%b %d %b" % (purpose, owner, key_id.encode())
