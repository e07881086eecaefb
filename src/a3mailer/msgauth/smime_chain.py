"""Certificates of those who sign mails (RFC 8550, 5280): whose they are, and who vouches for them at a time.

Pure: authorities, lists of revoked certificates and times are handed in; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import idna
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from a3mailer.msgauth.cms import MAX_LISTS
from a3mailer.msgauth.dane import AUTHORITIES, HASHES, element
from a3mailer.msgauth.unreadable import UNREADABLE

MAX_DEPTH: Final = 8
"""Certificates between the signer's and the authority."""
MAX_ADDRESSES: Final = 64
"""Of one certificate that are looked at."""
SMTP_UTF8_MAILBOX: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.9")
"""RFC 8398."""
UTF8_STRING: Final = 0x0C
KNOWN_CRITICAL: Final = frozenset(
    (x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName, x509.BasicConstraints,
     x509.CertificatePolicies, x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)
)  # fmt: skip
"""Extensions of a signer's certificate that may be critical: what they say is looked at."""
_MAIL: Final = frozenset((ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose word counts. ``name`` changes with it."""

    authorities: tuple[x509.Certificate, ...] = ()
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    name: str = ""


def trust_of(authorities: bytes, lists: bytes = b"") -> Trust:
    """Of files, PEM or one DER; what cannot be read is passed over. Errors: ValueError (nothing could)."""
    found = [each for each in map(certificate_of, _pem(authorities, b"CERTIFICATE")) if each is not None]
    revoked = _lists(_pem(lists, b"X509 CRL"))
    if (authorities.strip() and not found) or (lists.strip() and not revoked):
        raise ValueError(f"no {'list of revoked certificates' if found else 'certificate'} that can be read")
    name = hashlib.sha256(hashlib.sha256(authorities).digest() + lists).hexdigest()[:16]
    return Trust(tuple(found), tuple(revoked), name)


def _pem(octets: bytes, label: bytes) -> list[bytes]:
    begins, ends = b"-----BEGIN %b-----" % label, b"-----END %b-----" % label
    found = (each.partition(ends)[0] for each in octets.split(begins)[1:])
    return [begins + each + ends for each in found] or [octets]


def certificate_of(octets: bytes) -> x509.Certificate | None:
    """DER or PEM; None where nobody can read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            if octets.startswith(b"-----"):
                return x509.load_pem_x509_certificate(octets)
            return x509.load_der_x509_certificate(octets)
        except UNREADABLE:
            return None


def _lists(octets: Iterable[bytes]) -> list[x509.CertificateRevocationList]:
    found = []
    for each in octets:
        try:
            if each.startswith(b"-----"):
                found.append(x509.load_pem_x509_crl(each))
            else:
                found.append(x509.load_der_x509_crl(each))
        except UNREADABLE:
            continue
    return found


# --- whose -------------------------------------------------------------------------------------------


def addresses_of(certificate: x509.Certificate) -> list[str]:
    """Addresses in it (RFC 8550 section 3): of the subject's alternative names and of the subject itself."""
    found: list[str] = []
    try:
        found += [
            str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
        ]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += names.get_values_for_type(x509.RFC822Name)
        found += [_utf8(each) for each in names if isinstance(each, x509.OtherName)]
    except x509.ExtensionNotFound:
        pass
    except UNREADABLE:
        return []
    return [each for each in found if "@" in each][:MAX_ADDRESSES]


def _utf8(name: x509.OtherName) -> str:
    inner = element(name.value, 0) if name.type_id == SMTP_UTF8_MAILBOX else None
    if inner is None or inner[0] != UTF8_STRING:
        return ""
    return name.value[inner[1] : inner[2]].decode("utf-8", "replace")


def same_address(one: str, other: str) -> bool:
    """However the domain is written, in ASCII whatever the case (RFC 8550 section 3, RFC 8398 section 5)."""
    local_part, _, domain = one.rpartition("@")
    others, _, domains = other.rpartition("@")
    if local_part.isascii() and others.isascii():
        local_part, others = local_part.lower(), others.lower()
    return bool(local_part) and local_part == others and _domain(domain) == _domain(domains)


def _domain(name: str) -> str:
    name = name.lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        return name


# --- who vouches -------------------------------------------------------------------------------------


def _is_for_mail(
    _policy: object, _certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None
) -> None:
    if usages is not None and not _MAIL & set(usages):
        raise ValueError("the key is not for mail")


_ANYHOW: Final = verification.Criticality.AGNOSTIC
_ABOVE: Final = AUTHORITIES.may_be_present(x509.ExtendedKeyUsage, _ANYHOW, _is_for_mail)
_SIGNERS: Final = verification.ExtensionPolicy.permit_all()
"""``_own`` asks what the certificate of a signer says."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """What speaks against a signer's certificate at a time, and who for it."""

    problems: tuple[str, ...]
    path: tuple[x509.Certificate, ...] = ()
    """From the signer's to the authority's; empty: nobody vouches."""
    lists: int = 0
    """Of revoked certificates, by an authority in the path, at hand."""


def vouched(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    lists: Sequence[bytes],
    trust: Trust,
    at: datetime,
) -> Vouched:
    """``others`` and ``lists`` are those in the mail."""
    if found := _own(leaf, at):
        return Vouched(tuple(found))
    if not trust.authorities:
        return Vouched(("No authority is believed here",))
    try:
        path = (
            verification.PolicyBuilder()
            .store(verification.Store(list(trust.authorities)))
            .time(at)
            .max_chain_depth(MAX_DEPTH)
            .extension_policies(ca_policy=_ABOVE, ee_policy=_SIGNERS)
            .build_client_verifier()
            .verify(leaf, [each for each in others if each != leaf])
            .chain
        )
    except (verification.VerificationError, *UNREADABLE):
        return Vouched(("No authority that is believed here vouches for the certificate of the signer",))
    if not _may_be_named(leaf, path[1:]):
        told = "The authority may not vouch for all the addresses in the certificate of the signer"
        return Vouched((told,), tuple(path))
    at_hand = (*trust.lists, *_lists(lists[:MAX_LISTS]))
    pairs = [
        (certificate, each)
        for certificate, above in pairwise(path)
        for each in at_hand
        if each.issuer == above.subject and _is_whole(each) and _is_by(each, above)
    ]
    return Vouched(tuple(_revoked(pairs, at)), tuple(path), len(pairs))


def _may_be_named(leaf: x509.Certificate, above: Sequence[x509.Certificate]) -> bool:
    """Where names are constrained only rfc822Name was asked; what else is there must be the same addresses
    (RFC 5280 section 4.2.1.10)."""
    try:
        if not any(type(each.value) is x509.NameConstraints for one in above for each in one.extensions):
            return True
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except UNREADABLE:
        return False
    except x509.ExtensionNotFound:
        return not addresses_of(leaf)
    asked = names.get_values_for_type(x509.RFC822Name)[:MAX_ADDRESSES]
    return all(any(same_address(each, one) for one in asked) for each in addresses_of(leaf))


def _own(leaf: x509.Certificate, at: datetime) -> list[str]:
    """What the certificate itself says."""
    found = []
    if at > leaf.not_valid_after_utc:
        found.append(f"The certificate of the signer ended on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if at < leaf.not_valid_before_utc:
        found.append(f"The certificate of the signer begins on {leaf.not_valid_before_utc:%Y-%m-%d}")
    try:
        for extension in leaf.extensions:
            if extension.critical and type(extension.value) not in KNOWN_CRITICAL:
                found.append("The certificate of the signer demands what is not known here")
            if isinstance(extension.value, x509.KeyUsage) and not _signs(extension.value):
                found.append("The key of the signer is not for signing messages")
            if isinstance(extension.value, x509.ExtendedKeyUsage) and not _MAIL & set(extension.value):
                found.append("The key of the signer is not for mail")
    except UNREADABLE:
        found.append("The certificate of the signer cannot be read")
    return found


def _signs(usage: x509.KeyUsage) -> bool:
    return usage.digital_signature or usage.content_commitment


def _revoked(
    pairs: Iterable[tuple[x509.Certificate, x509.CertificateRevocationList]], at: datetime
) -> Iterator[str]:
    """The age of a list does not count: who is on it was revoked."""
    for certificate, each in pairs:
        entry = each.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and entry.revocation_date_utc <= at:
            yield f"The certificate was revoked on {entry.revocation_date_utc:%Y-%m-%d}"


def _is_whole(each: x509.CertificateRevocationList) -> bool:
    """Neither one of changes nor of certificates of others, nor demands it what is not known here."""
    try:
        known = [one.value for one in each.extensions if one.critical]
    except UNREADABLE:
        return False
    return all(isinstance(one, x509.IssuingDistributionPoint) and not one.indirect_crl for one in known)


def _is_by(each: x509.CertificateRevocationList, above: x509.Certificate) -> bool:
    try:
        usages = [one.value for one in above.extensions if isinstance(one.value, x509.KeyUsage)]
        if any(not usage.crl_sign for usage in usages):
            return False
        weak = each.signature_hash_algorithm is not None and not isinstance(
            each.signature_hash_algorithm, HASHES
        )
        return not weak and each.is_signature_valid(above.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, *UNREADABLE):
        return False
