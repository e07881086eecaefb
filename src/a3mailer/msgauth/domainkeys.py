"""Public keys in the DNS: key records, their retrieval and what may be done with them.

RFC 6376 section 3.6, RFC 8301 (sizes), RFC 8463 (Ed25519). Loaded keys are kept, by the text of their record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from a3mailer.mail.authresults import PERMERROR, TEMPERROR
from a3mailer.msgauth.tags import decode_base64, names, parse
from a3mailer.runtime.resolver import Resolver, ResolverFailure

KEPT: Final = 1024
"""Loaded keys that are remembered."""
MIN_RSA_BITS: Final = 1024
"""Signatures of smaller keys never pass (RFC 8301 section 3.2)."""
MAX_RSA_BITS: Final = 8192
"""Larger keys cost too much to check."""
MAX_EXPONENT_BITS: Final = 64
"""A larger public exponent makes a check as dear as a signature."""
MAX_RECORDS: Final = 5
"""TXT records of one name that are looked at; the first key record among them counts."""
MAX_RECORD: Final = 8192
"""Octets of a key record."""
MAX_NAME: Final = 253
# sub-domain = 1*( ALPHA / DIGIT / "_" / "-" ); no NUL, no comment, no empty label gets into a question
_LABEL: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rb"%b(?:\.%b)*" % (_LABEL, _LABEL))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no key: a word of RFC 8601 section 2.7.1 and a reason a person can read."""

    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class DomainKey:
    """A key record that can be used."""

    kind: str
    """"rsa" or "ed25519"."""
    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    """The size of the key."""
    hashes: tuple[bytes, ...] | None = None
    """``h=``: the hashes it may be used with; None for all."""
    services: tuple[bytes, ...] = (b"*",)
    testing: bool = False
    """``t=y``."""
    strict: bool = False
    """``t=s``: the identity must be of the domain itself, not of one under it."""

    def verify(self, signature: bytes, digest: bytes) -> bool:
        """Does the signature fit a SHA-256 digest? Ed25519 signs the digest itself (RFC 8463 section 3)."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _SHA256)
            else:
                self.public.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


_MALFORMED: Final = Fault(PERMERROR, "the key record is malformed")
_PADDING: Final = PKCS1v15()
_SHA256: Final = Prehashed(SHA256())


def is_name(name: bytes) -> bool:
    """Can this be asked for: labels of letters, digits, "-" and "_"?"""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def key_name(selector: bytes, domain: bytes) -> str:
    """What is asked for, in lower case (section 3.6.2.1); empty where that is no name."""
    return _key_name(selector, domain) if len(selector) + len(domain) < MAX_NAME else ""


@lru_cache(KEPT)
def _key_name(selector: bytes, domain: bytes) -> str:
    name = selector + b"._domainkey." + domain
    return name.decode("ascii").lower() if is_name(name) else ""


# key record = tag-list: [ v=DKIM1 ] [ h= ] [ k= ] [ n= ] p= [ s= ] [ t= ]
def load(text: bytes) -> DomainKey | Fault:
    """The key of a record's text."""
    return _load(text) if len(text) <= MAX_RECORD else _MALFORMED


@lru_cache(KEPT)
def _load(text: bytes) -> DomainKey | Fault:
    found = parse(text)
    if (
        found is None
        or found.get(b"v", b"DKIM1") != b"DKIM1"
        or (b"v" in found and next(iter(found)) != b"v")
    ):
        return _MALFORMED
    if b"p" not in found:
        return Fault(PERMERROR, "the key record has no key")
    if not found[b"p"]:
        return Fault(PERMERROR, "the key is revoked")
    kind = found.get(b"k", b"rsa").lower()
    octets = decode_base64(found[b"p"])
    public = None if octets is None else _public(kind, octets)
    if public is None:
        return Fault(PERMERROR, "the key is malformed or of an unknown kind")
    flags = names(found.get(b"t", b""))
    return DomainKey(
        kind.decode("ascii"),
        public,
        public.key_size if isinstance(public, RSAPublicKey) else 256,
        names(found[b"h"]) if b"h" in found else None,
        names(found.get(b"s", b"*")),
        b"y" in flags,
        b"s" in flags,
    )


def _public(kind: bytes, octets: bytes) -> RSAPublicKey | Ed25519PublicKey | None:
    try:
        if kind == b"ed25519":
            return Ed25519PublicKey.from_public_bytes(octets)
        key = load_der_public_key(octets) if kind == b"rsa" else None
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size > MAX_RSA_BITS:
        return None
    return key if key.public_numbers().e.bit_length() <= MAX_EXPONENT_BITS else None


async def fetch(resolver: Resolver, selector: bytes, domain: bytes) -> DomainKey | Fault:
    """The key of ``selector._domainkey.domain`` (section 3.6.2)."""
    name = key_name(selector, domain)
    if not name:
        return Fault(PERMERROR, "the selector or domain is no name")
    try:
        answer = await resolver.lookup(name, "TXT")
    except ResolverFailure:
        return Fault(TEMPERROR, "the key could not be asked for")
    fault = None
    for text in answer.texts[:MAX_RECORDS]:
        key = load(text)
        if isinstance(key, DomainKey):
            return key
        fault = fault or key
    return fault or Fault(PERMERROR, "there is no key")
