"""VAPID (RFC 8292): who pushes, signed with the key that clients subscribed with (RFC 9749)."""

from __future__ import annotations

import json
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from a3mailer.wire.webpush.encrypt import base64url, point_of

SECONDS: Final = 12 * 3600
"""How long a token is good; the RFC allows a day."""
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256."""
_HEAD: Final = base64url(b'{"typ":"JWT","alg":"ES256"}')


def private_key(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The key that goes with a secret of at least 32 octets."""
    return ec.derive_private_key(int.from_bytes(secret[:32], "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    """``applicationServerKey``."""
    return base64url(point_of(key.public_key()))


def authorization(key: ec.EllipticCurvePrivateKey, origin: str, subject: str, now: int) -> str:
    """The Authorization field of a push to ``origin``; ``subject`` is a URI people are reached by."""
    claims = {"aud": origin, "exp": now + SECONDS, "sub": subject}
    signed = f"{_HEAD}.{base64url(json.dumps(claims, separators=(',', ':')).encode())}"
    r, s = decode_dss_signature(key.sign(signed.encode("ascii"), ec.ECDSA(hashes.SHA256())))
    return f"vapid t={signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}, k={public_key(key)}"
