"""The recovery key: X25519 (RFC 7748), so that backups are sealed on a host that cannot open them.

``make_recovery`` gives the printable secret, shown once, and the public half that stays on the host.
Sealing: an ephemeral X25519 exchange, HKDF-SHA-256 (RFC 5869) over both public keys, AES-256-GCM.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX: Final = "A3R"
PUBLIC_SIZE: Final = 32
_CHECK_SIZE: Final = 3
_INFO: Final = b"a3mailer recovery 1"
_NONCE: Final = bytes(12)
"""Fixed: every sealing has its own ephemeral key, so a key never meets the nonce twice."""


class BadRecoveryKey(Exception):
    """The printed key was mistyped, or it is not the one the box was sealed to."""


def make_recovery() -> tuple[str, bytes]:
    """(printable secret, public key of PUBLIC_SIZE octets)."""
    private = X25519PrivateKey.generate()
    return _print(private.private_bytes_raw()), private.public_key().public_bytes_raw()


def _print(secret: bytes) -> str:
    text = base64.b32encode(secret + _check(secret)).decode().rstrip("=")
    return "-".join([PREFIX, *(text[i : i + 7] for i in range(0, len(text), 7))])


def _check(secret: bytes) -> bytes:
    return hashlib.sha256(_INFO + secret).digest()[:_CHECK_SIZE]


def read_recovery(printed: str) -> bytes:
    """The secret octets of a printed key; spaces, dashes and case do not matter. Errors: BadRecoveryKey."""
    text = "".join(printed.split()).replace("-", "").upper()
    if not text.startswith(PREFIX):
        raise BadRecoveryKey(f"a recovery key begins with {PREFIX}")
    text = text[len(PREFIX) :]
    try:
        octets = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise BadRecoveryKey("a recovery key has letters and the digits 2 to 7 only") from None
    secret, check = octets[:32], octets[32:]
    if len(secret) != 32 or check != _check(secret):
        raise BadRecoveryKey("the recovery key was not typed as it was printed")
    return secret


def seal(public: bytes, octets: bytes) -> bytes:
    """``octets`` for the holder of the recovery key only: ephemeral public key, ciphertext, tag."""
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    return own + AESGCM(_derive(shared, own, public)).encrypt(_NONCE, octets, _INFO)


def open_sealed(secret: bytes, box: bytes) -> bytes:
    """What ``seal`` sealed. Errors: BadRecoveryKey."""
    private = X25519PrivateKey.from_private_bytes(secret)
    theirs = box[:PUBLIC_SIZE]
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
        key = _derive(shared, theirs, private.public_key().public_bytes_raw())
        return AESGCM(key).decrypt(_NONCE, box[PUBLIC_SIZE:], _INFO)
    except (InvalidTag, ValueError):
        raise BadRecoveryKey("this recovery key does not open it") from None


def _derive(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=ephemeral + public, info=_INFO).derive(shared)
