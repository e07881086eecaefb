"""A payload that only the subscriber can read (RFC 8291), as one record of aes128gcm (RFC 8188).

message = salt (16) record size (4) key length (1) our public key (65) ciphertext
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CODING: Final = "aes128gcm"
"""The content coding of what ``encrypt`` gives."""
RECORD: Final = 4096
"""The record size told; a payload has to fit into one (RFC 8291 section 4)."""
MAX_PAYLOAD: Final = RECORD - 17
POINT: Final = 65
"""Octets of an uncompressed point of P-256."""
AUTH: Final = 16
SALT: Final = 16
_LAST: Final = b"\x02"
"""The delimiter of the last record (RFC 8188 section 2)."""


def unbase64(text: str) -> bytes:
    """URL-safe base64, padded or not. Errors: ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64url") from error


def base64url(octets: bytes) -> str:
    """Without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def subscriber_keys(p256dh: str, auth: str) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    """The subscriber's public key and secret. Errors: ValueError."""
    point, secret = unbase64(p256dh), unbase64(auth)
    if len(point) != POINT or len(secret) != AUTH:
        raise ValueError(f"a key of {POINT} octets and a secret of {AUTH} are needed")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point), secret


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as its uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encrypt(
    payload: bytes,
    theirs: ec.EllipticCurvePublicKey,
    auth: bytes,
    ours: ec.EllipticCurvePrivateKey,
    salt: bytes,
) -> bytes:
    """The message. ``ours`` and ``salt`` are fresh for each. Errors: ValueError (too long)."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of more than {MAX_PAYLOAD} octets")
    point = point_of(ours.public_key())
    shared = ours.exchange(ec.ECDH(), theirs)
    secret = _expand(shared, auth, b"WebPush: info\0" + point_of(theirs) + point, 32)
    key = _expand(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(secret, salt, b"Content-Encoding: nonce\0", 12)
    head = salt + struct.pack(">IB", RECORD, len(point)) + point
    return head + AESGCM(key).encrypt(nonce, payload + _LAST, None)


def _expand(secret: bytes, salt: bytes, about: bytes, size: int) -> bytes:
    return HKDF(hashes.SHA256(), size, salt, about).derive(secret)
