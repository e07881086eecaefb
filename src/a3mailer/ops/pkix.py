"""Certificate requests and the checks of what came back (PKCS #10, RFC 2986; RFC 5280); pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

RSA_LEAST: Final = 2048
COMMON_NAME: Final = 64
"""Characters a common name holds; longer names go into the extension alone."""
MAX_CHAIN: Final = 10

UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What a certificate of a stranger may raise."""

ServerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Chain:
    """A leaf certificate and those above it."""

    leaf: x509.Certificate
    above: tuple[x509.Certificate, ...]
    names: tuple[str, ...]
    """The DNS names it is for, in lower case."""
    spki: bytes
    """Its SubjectPublicKeyInfo in DER."""

    @property
    def begins(self) -> int:
        """Seconds since the epoch, as ``ends``."""
        return int(self.leaf.not_valid_before_utc.timestamp())

    @property
    def ends(self) -> int:
        return int(self.leaf.not_valid_after_utc.timestamp())

    def pem(self) -> bytes:
        """All of it, the leaf first."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.leaf, *self.above))


def new_key() -> ServerKey:
    """ECDSA P-256: what every client of the last ten years takes."""
    return ec.generate_private_key(ec.SECP256R1())


def read_key(octets: bytes) -> ServerKey:
    """The private key of a PEM text, which may hold certificates too. Errors: ValueError."""
    try:
        found = load_pem_private_key(_block(octets, b"PRIVATE KEY-----"), None)
    except (UnsupportedAlgorithm, TypeError) as error:  # TypeError: it wants a password
        raise ValueError(f"the private key cannot be used: {error}") from error
    if isinstance(found, rsa.RSAPrivateKey) and found.key_size >= RSA_LEAST:
        return found
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in ("secp256r1", "secp384r1"):
        return found
    raise ValueError(f"a server's key is ECDSA on P-256 or P-384, or RSA of at least {RSA_LEAST} bits")


# PEM block = "-----BEGIN " label "-----" CRLF base64 "-----END " label "-----"     ; RFC 7468 section 3
def _block(octets: bytes, ending: bytes) -> bytes:
    """The first block whose first line ends so. Errors: ValueError."""
    for piece in octets.split(b"-----BEGIN ")[1:]:
        label, _, rest = piece.partition(b"\n")
        body, mark, _ = rest.partition(b"-----END ")
        if mark and label.strip().endswith(ending):
            return b"-----BEGIN %b\n%b-----END %b\n" % (label.strip(), body, label.strip())
    raise ValueError("there is no private key")


def key_pem(key: ServerKey) -> bytes:
    """PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def spki(key: ServerKey) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return _spki(key.public_key())


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def request(key: ServerKey, names: Sequence[str]) -> x509.CertificateSigningRequest:
    """A signed request for these DNS names, at least one."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= COMMON_NAME else []
    wanted = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    return builder.add_extension(wanted, critical=False).sign(key, hashes.SHA256())


def read_chain(octets: bytes) -> Chain:
    """Certificates in PEM, the leaf first, each signed by the next. Errors: ValueError."""
    try:
        found = x509.load_pem_x509_certificates(octets)
        leaf, *above = found
        chain = Chain(leaf, tuple(above), names_of(leaf), _spki(leaf.public_key()))
        pairs = [(below.issuer, other.subject) for below, other in pairwise(found)]
    except UNREADABLE as error:
        raise ValueError(f"the certificate cannot be read: {error}") from error
    if len(found) > MAX_CHAIN:
        raise ValueError(f"more than {MAX_CHAIN} certificates")
    if any(issuer != subject for issuer, subject in pairs):
        raise ValueError("the certificates are no chain: the server's own first, then its issuer")
    if not chain.names:
        raise ValueError("the certificate has no DNS name")
    return chain


def names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """DNS names, in lower case. Errors: UNREADABLE."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def check(chain: Chain, key: ServerKey, names: Sequence[str], now: float) -> None:
    """Is it for this key, these names and this time? Errors: ValueError."""
    if chain.spki != spki(key):
        raise ValueError("the certificate is for another key")
    if missing := sorted(name for name in names if not covers(chain.names, name)):
        raise ValueError(f"the certificate is not for {', '.join(missing)}")
    if chain.ends <= now:
        raise ValueError("the certificate has expired")


def covers(names: Sequence[str], name: str) -> bool:
    """Is a host name among a certificate's names, or under a wildcard of them (RFC 6125 section 6.4.3)?"""
    return name in names or ("." in name and f"*.{name.partition('.')[2]}" in names)
