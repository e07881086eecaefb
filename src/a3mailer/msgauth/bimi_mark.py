"""Mark certificates (draft-fetch-validation-vmc-wchuang): who vouches that a picture belongs to a domain.

Pure: the file, the authorities that are believed and the time are handed in. The picture stands in the
certificate itself (RFC 3709 logotype), as a ``data:`` address with packed SVG in it.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from a3mailer.msgauth.bimi_svg import BadPicture, Picture, parse
from a3mailer.msgauth.dane import AUTHORITIES, element
from a3mailer.msgauth.packed import Unreadable, unpack
from a3mailer.msgauth.unreadable import UNREADABLE

MAX_FILE: Final = 128 * 1024
MAX_CHAIN: Final = 10
MAX_DEPTH: Final = 16
"""Of values within values that are looked into."""
BRAND: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.31")
"""The usage of such certificates: id-kp-BrandIndicatorforMessageIdentification."""
LOGOTYPE: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.12")
IA5STRING: Final = 0x16
DATA: Final = b"data:image/svg+xml;base64,"
CONSTRUCTED: Final = 0x20


class BadMark(ValueError):
    """The file vouches for nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody vouches for."""

    picture: Picture
    organization: str
    """Whose it is; empty where the certificate does not say."""
    authority: str
    """Who says so."""
    ends: datetime
    """When the first of the certificates ends."""


def _is_brand(_policy: object, _certificate: x509.Certificate, usages: x509.ExtendedKeyUsage) -> None:
    if BRAND not in usages:
        raise ValueError("not for marks")


def _vouches(_policy: object, _certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None) -> None:
    if usages is not None and not {BRAND, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise ValueError("an authority, but not for marks")


_ABOVE: Final = AUTHORITIES.may_be_present(x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, _vouches)
_MARKS: Final = verification.ExtensionPolicy.permit_all().require_present(
    x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, _is_brand
)


def check(
    octets: bytes, domain: str, selector: str, authorities: Sequence[x509.Certificate], now: datetime
) -> Mark:
    """What a file of certificates, the mark's first, says of a domain. Errors: BadMark, and nothing else."""
    try:
        return _check(octets, domain.lower(), selector.lower(), authorities, now)
    except (*UNREADABLE, x509.ExtensionNotFound) as error:
        raise error if isinstance(error, BadMark) else BadMark("a certificate that cannot be read") from error


def _check(
    octets: bytes, domain: str, selector: str, authorities: Sequence[x509.Certificate], now: datetime
) -> Mark:
    if len(octets) > MAX_FILE:
        raise BadMark(f"larger than {MAX_FILE} octets")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        leaf, *between = x509.load_pem_x509_certificates(octets)
    if len(between) >= MAX_CHAIN:
        raise BadMark("too many certificates")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    if not known & {domain, f"{selector}._bimi.{domain}"}:
        raise BadMark(f"it is not for {domain}")
    try:
        verified = (
            verification.PolicyBuilder()
            .store(verification.Store(list(authorities)))
            .time(now)
            .extension_policies(ca_policy=_ABOVE, ee_policy=_MARKS)
            .build_client_verifier()
            .verify(leaf, between)
        )
    except verification.VerificationError as error:
        raise BadMark("no authority that is believed vouches for it now") from error
    ends = min(each.not_valid_after_utc for each in verified.chain)
    return Mark(_picture(leaf), _name(leaf.subject), _name(verified.chain[-1].subject), ends)


def _picture(leaf: x509.Certificate) -> Picture:
    value = leaf.extensions.get_extension_for_oid(LOGOTYPE).value
    if not isinstance(value, x509.UnrecognizedExtension):
        raise BadMark("no logotype")
    found = [text for text in _strings(value.value, 0) if text.lower().startswith(DATA)]
    if len(found) != 1:
        raise BadMark("it has not exactly one picture")
    try:
        return parse(unpack(base64.b64decode(found[0][len(DATA) :], validate=True)))
    except (binascii.Error, Unreadable, BadPicture) as error:
        raise BadMark(f"its picture cannot be shown: {error}") from error


def _strings(octets: bytes, depth: int) -> Iterator[bytes]:
    """All IA5Strings within a DER value."""
    at = 0
    while at < len(octets) and (found := element(octets, at)) is not None:
        tag, begins, at = found
        if tag == IA5STRING:
            yield octets[begins:at]
        elif tag & CONSTRUCTED and depth < MAX_DEPTH:
            yield from _strings(octets[begins:at], depth + 1)


def _name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME) or name.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    text = str(found[0].value)[:200] if found else ""
    return text if text.isprintable() else ""
