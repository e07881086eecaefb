"""DANE for SMTP (RFC 6698, 7671, 7672): which TLSA records count, and do a server's certificates fit them.

Pure: records, certificates and the time are handed in. The records must come from validated answers only.
Certificates are a stranger's octets: whatever they are, the result is a verdict, never an exception.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from a3mailer.mail.tls import Association, TlsLevel, TlsPlan
from a3mailer.msgauth.unreadable import UNREADABLE
from a3mailer.runtime.resolver import Tlsa

DANE_TA: Final = 2
DANE_EE: Final = 3
"""Usages; the other two (PKIX-TA, PKIX-EE) are unusable in SMTP (RFC 7672 section 3.1.3)."""
CERTIFICATE, KEY = 0, 1
"""Selectors."""
FULL: Final = 0
DIGESTS: Final = {1: hashlib.sha256, 2: hashlib.sha512}
"""Matching types; of digests the higher is the stronger."""
MAX_CHAIN: Final = 10
"""Certificates of a server that are looked at."""
MAX_CERTIFICATE: Final = 65_536
"""Octets of one."""
MAX_ASSOCIATIONS: Final = 64
"""Usable records that are looked at."""
MAX_KEYS: Final = 4
"""Bare keys that are tried as anchors."""
HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
EDWARDS: Final = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
MAX_DEPTH: Final = 8
"""Certificates between the server's and the trust anchor."""

FIELDS_BEFORE_KEY: Final = 5
VERSION: Final = b"\xa0"
"""The tag of the optional first field of a certificate."""


_T = TypeVar("_T")


def _signs(_policy: object, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key is not for signing certificates")


def _serves(_policy: object, _certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None) -> None:
    if usages is not None and not SERVER & set(usages):
        raise ValueError("the key is not for servers")


SERVER: Final = frozenset((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))
_ANYHOW: Final = verification.Criticality.AGNOSTIC
AUTHORITIES: Final = (
    verification.ExtensionPolicy.webpki_defaults_ca()
    .require_present(x509.BasicConstraints, _ANYHOW, None)
    .may_be_present(x509.KeyUsage, _ANYHOW, _signs)
    .may_be_present(x509.AuthorityKeyIdentifier, _ANYHOW, None)
    .may_be_present(x509.SubjectKeyIdentifier, _ANYHOW, None)
)
_ABOVE: Final = AUTHORITIES.may_be_present(x509.ExtendedKeyUsage, _ANYHOW, _serves)
_SERVERS: Final = verification.ExtensionPolicy.permit_all().may_be_present(
    x509.ExtendedKeyUsage, _ANYHOW, _serves
)


class Verdict(Enum):
    """What the comparison says; the failures are result types of RFC 8460 section 4.3."""

    MATCH = "match"
    NO_CERTIFICATE = "validation-failure"
    NO_MATCH = "certificate-not-trusted"
    """No certificate of the server's is the one that a record speaks of."""
    NOT_VALID = "certificate-host-mismatch"
    """The trust anchor is there, but does not vouch for this name now."""


def usable(records: Iterable[Tlsa]) -> tuple[Association, ...]:
    """The records that count: known values and whole data, and of digests the strongest of each usage and
    selector (digest agility, RFC 7671 section 9)."""
    good = [r for r in records if _is_usable(r)]
    strongest: dict[tuple[int, int], int] = {}
    for record in good:
        kind = record.usage, record.selector
        strongest[kind] = max(record.matching, strongest.get(kind, 0))
    return tuple(
        Association(r.usage, r.selector, r.matching, r.data)
        for r in good
        if r.matching in (FULL, strongest[r.usage, r.selector])
    )[:MAX_ASSOCIATIONS]


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (CERTIFICATE, KEY):
        return False
    if record.matching == FULL:
        whole = 0 < len(record.data) <= MAX_CERTIFICATE
        if whole and record.usage == DANE_TA and record.selector == CERTIFICATE:
            return _certificate(record.data) is not None
        return whole
    digest = DIGESTS.get(record.matching)
    return digest is not None and len(record.data) == digest().digest_size


def plan_of(records: Sequence[Tlsa], base: str, names: Sequence[str]) -> TlsPlan:
    """What a validated, non-empty set of records demands (RFC 7672 section 2.2): a certificate that fits, or,
    when none of the records is usable, TLS with whoever answers.

    ``base`` is the TLSA base domain, ``names`` what a certificate under a DANE-TA record may be for."""
    associations = usable(records)
    told = tuple(str(Association(r.usage, r.selector, r.matching, r.data)) for r in records)
    return TlsPlan(
        TlsLevel.DANE if associations else TlsLevel.MUST,
        names=tuple(dict.fromkeys(names)) if associations else (),
        associations=associations,
        server_name=base,
        reason=f"the TLSA records of {base}" + ("" if associations else ", none of them usable"),
        policy_type="tlsa",
        policy_strings=told[:MAX_ASSOCIATIONS],
    )


def verify(plan: TlsPlan, chain: Sequence[bytes], now: datetime) -> Verdict:
    """Do the certificates (DER, the server's own first) fit one of the plan's associations?

    DANE-EE: the certificate or its key alone counts, not its names nor its dates (RFC 7671 section 5.1).
    DANE-TA: it must lead to the trust anchor, be valid ``now``, and be for one of the names (section 5.2).
    Of an anchor that is a whole key in its record (2 1 0) no certificate has to be shown."""
    chain = [octets for octets in chain[:MAX_CHAIN] if len(octets) <= MAX_CERTIFICATE]
    if not chain:
        return Verdict.NO_CERTIFICATE
    if any(a.usage == DANE_EE and _fits(a, chain[0]) for a in plan.associations):
        return Verdict.MATCH
    keys = _keys(plan.associations)
    anchors = _anchors(plan.associations, chain[1:], keys)
    leaf = _certificate(chain[0])
    signed = leaf is not None and any(_signed(leaf, key) for key in keys)
    if not anchors and not signed:
        return Verdict.NO_MATCH
    if leaf is None or not any(_covers(shown, name) for shown in _identities(leaf) for name in plan.names):
        return Verdict.NOT_VALID
    if signed and _is_valid(leaf, now):
        return Verdict.MATCH
    return Verdict.MATCH if _leads(leaf, chain[1:], anchors, now) else Verdict.NOT_VALID


def _fits(association: Association, certificate: bytes) -> bool:
    selected = certificate if association.selector == CERTIFICATE else key_info(certificate)
    if association.matching == FULL:
        return selected == association.data
    return bool(selected) and DIGESTS[association.matching](selected).digest() == association.data


def _anchors(
    associations: Sequence[Association], chain: Sequence[bytes], keys: Sequence[PublicKey]
) -> list[x509.Certificate]:
    """Certificates that DANE-TA records speak of: of the server's chain, or whole in the record itself, or of
    the chain and signed by a key that is."""
    records = [a for a in associations if a.usage == DANE_TA]
    octets = [c for c in chain if any(_fits(a, c) for a in records)]
    octets += [a.data for a in records if (a.selector, a.matching) == (CERTIFICATE, FULL)]
    found = _known(_certificate(each) for each in dict.fromkeys(octets))
    shown = _known(_certificate(each) for each in chain) if keys else []
    return found + [c for c in shown if any(_signed(c, key) for key in keys)]


def _keys(associations: Sequence[Association]) -> list[PublicKey]:
    """Trust anchors of which the record has the key, and nobody need have a certificate."""
    records = [a for a in associations if (a.usage, a.selector, a.matching) == (DANE_TA, KEY, FULL)]
    return _known(_key(a.data) for a in records[:MAX_KEYS])


def _key(octets: bytes) -> PublicKey | None:
    try:
        key = load_der_public_key(octets)
    except UNREADABLE:
        return None
    return key if isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, *EDWARDS)) else None


def _signed(certificate: x509.Certificate, key: PublicKey) -> bool:
    """Has a key signed a certificate, by an algorithm that still counts?"""
    try:
        signature, content = certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(key, EDWARDS):
            key.verify(signature, content)
            return True
        hashed, how = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
        if not isinstance(hashed, HASHES):
            return False
        if isinstance(key, rsa.RSAPublicKey) and isinstance(how, padding.PSS | padding.PKCS1v15):
            key.verify(signature, content, how, hashed)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
            key.verify(signature, content, how)
            return True
    except (InvalidSignature, *UNREADABLE):
        pass
    return False


def _is_valid(leaf: x509.Certificate, now: datetime) -> bool:
    """Of a certificate that the anchor itself has signed: is it for servers, and now?"""
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        _serves(None, leaf, usages)
    except x509.ExtensionNotFound:
        pass
    except UNREADABLE:
        return False
    return leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc


def _leads(
    leaf: x509.Certificate, chain: Sequence[bytes], anchors: list[x509.Certificate], now: datetime
) -> bool:
    """A chain from the server's certificate to an anchor, by RFC 5280 and with these anchors only. What the
    web's PKI demands of certificates beyond it, private authorities seldom give."""
    if not anchors:
        return False
    between = _known(_certificate(each) for each in chain)
    try:
        (
            verification.PolicyBuilder()
            .store(verification.Store(anchors))
            .time(now)
            .max_chain_depth(MAX_DEPTH)
            .extension_policies(ca_policy=_ABOVE, ee_policy=_SERVERS)
            .build_client_verifier()  # that is: no name is compared, and no usage asked for
            .verify(leaf, between)
        )
    except (verification.VerificationError, *UNREADABLE):
        return False
    return True


def _identities(leaf: x509.Certificate) -> list[str]:
    """What it is for: its DNS-IDs, or the CN-ID where there are none (RFC 7672 section 3.2.3)."""
    try:
        with suppress(x509.ExtensionNotFound):
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if shown := names.get_values_for_type(x509.DNSName):
                return shown
        return [str(each.value) for each in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except UNREADABLE:
        return []


def _covers(shown: str, name: str) -> bool:
    """A wildcard stands for the whole first label (RFC 7672 section 3.2.3)."""
    shown, name = shown.lower(), name.lower()
    return shown == name or (shown.startswith("*.") and shown[2:] == name.partition(".")[2] != "")


def _certificate(octets: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)  # about what is broken, too
        try:
            return x509.load_der_x509_certificate(octets)
        except UNREADABLE:
            return None


def _known(found: Iterable[_T | None]) -> list[_T]:
    return [each for each in found if each is not None]


# Certificate    ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
# TBSCertificate ::= SEQUENCE { version [0] EXPLICIT OPTIONAL, serialNumber, signature, issuer, validity,
#                               subject, subjectPublicKeyInfo, ... }
def key_info(certificate: bytes) -> bytes:
    """The octets of the SubjectPublicKeyInfo as they stand in a certificate (RFC 5280 section 4.1); empty
    when they cannot be found."""
    outer = element(certificate, 0)
    inner = outer and element(certificate, outer[1])
    if not inner:
        return b""
    at, end = inner[1], inner[2]
    left = FIELDS_BEFORE_KEY + (certificate[at : at + 1] == VERSION)
    while field := element(certificate, at) if at < end else None:
        if not left:
            return certificate[at : field[2]] if field[2] <= end else b""
        left -= 1
        at = field[2]
    return b""


def element(octets: bytes, at: int) -> tuple[int, int, int] | None:
    """(tag, start, end) of the contents of the DER element that begins ``at``."""
    if at + 2 > len(octets):
        return None
    tag, size, start = octets[at], octets[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= 4 or start + count > len(octets):
            return None
        size = int.from_bytes(octets[start : start + count], "big")
        start += count
    end = start + size
    return (tag, start, end) if end <= len(octets) else None
