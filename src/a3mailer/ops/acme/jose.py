"""What ACME takes of JOSE: keys (RFC 7517), thumbprints (RFC 7638), signatures (RFC 7515); pure.

Account keys are ECDSA P-256, so signatures are ES256 (RFC 7518 section 3.4) with the jwk or the kid in their
protected header (RFC 8555 section 6.2). An external account is bound with HS256 (RFC 8555 section 7.3.4).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

COORDINATE: Final = 32
"""Octets of a coordinate of P-256, and of each half of an ES256 signature."""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_ALPHABET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def base64url(octets: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


# base64url = *( ALPHA / DIGIT / "-" / "_" )     ; RFC 4648 section 5, without "="
def from_base64url(text: str) -> bytes:
    """Padding and the characters of plain base64 are accepted, as authorities print their keys in both ways.

    Errors: ValueError."""
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_").encode("ascii", "replace")
    if not set(plain) <= _ALPHABET or len(plain) % 4 == 1:
        raise ValueError("this is not base64url")
    return base64.urlsafe_b64decode(plain + b"=" * (-len(plain) % 4))


def is_token(text: str) -> bool:
    """Is this a challenge's token: base64url of at least 128 bits (RFC 8555 section 8.1), of sane length?"""
    return 22 <= len(text) <= 128 and set(text.encode("ascii", "replace")) <= _ALPHABET


class AccountKey:
    """Who an authority knows us as."""

    __slots__ = ("_key", "jwk", "thumbprint")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Errors: ValueError for a key that is not of P-256."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("an account key is of P-256")  # noqa: TRY004 - a value of the wrong curve
        self._key = key
        point = key.public_key().public_numbers()
        x, y = (base64url(n.to_bytes(COORDINATE, "big")) for n in (point.x, point.y))
        self.jwk: Final = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        self.thumbprint: Final = base64url(hashlib.sha256(_encode(self.jwk)).digest())

    @classmethod
    def generate(cls) -> AccountKey:
        """A new one."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, octets: bytes) -> AccountKey:
        """Errors: ValueError."""
        key = load_pem_private_key(octets, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("an account key is of P-256")  # noqa: TRY004 - one error for what a file may hold
        return cls(key)

    def pem(self) -> bytes:
        """PKCS #8."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def authorization(self, token: str) -> str:
        """The key authorization of a challenge (RFC 8555 section 8.1)."""
        return f"{token}.{self.thumbprint}"

    def sign(self, url: str, nonce: str, payload: object | None, account: str = "") -> bytes:
        """A request's body; ``payload`` None is POST-as-GET; without ``account`` the key itself is sent."""
        who: dict[str, object] = {"kid": account} if account else {"jwk": self.jwk}
        protected = {"alg": "ES256", **who, "nonce": nonce, "url": url}
        return _flattened(protected, b"" if payload is None else _encode(payload), self._signature)

    def bind(self, url: str, kid: str, secret: bytes) -> dict[str, str]:
        """``externalAccountBinding``: the account key, signed with the key the authority gave us."""
        protected = {"alg": "HS256", "kid": kid, "url": url}

        def sign(octets: bytes) -> bytes:
            return hmac.digest(secret, octets, "sha256")

        found: dict[str, str] = msgspec.json.decode(_flattened(protected, _encode(self.jwk), sign))
        return found

    def _signature(self, octets: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(octets, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(COORDINATE, "big") + s.to_bytes(COORDINATE, "big")


def _flattened(protected: object, payload: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """The flattened JSON serialization (RFC 7515 section 7.2.2)."""
    head, body = base64url(_encode(protected)), base64url(payload)
    signature = base64url(sign(f"{head}.{body}".encode("ascii")))
    return _encode({"payload": body, "protected": head, "signature": signature})
