"""Certificates for tests: a private authority, and what it signs."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certified:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def key_digest(self) -> bytes:
        """The data of a TLSA record ``x 1 1``."""
        return hashlib.sha256(self.spki).digest()


def authority(
    name: str = "Test authority",
    issuer: Certified | None = None,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    plain: bool = False,
) -> Certified:
    """A root, or an authority below ``issuer``; ``plain``: with no extension that can be left out."""
    return _make(name, issuer, ca=True, key=key, plain=plain)


def certified(
    name: str,
    issuer: Certified | None = None,
    *,
    days: float = 30,
    key: ec.EllipticCurvePrivateKey | None = None,
    plain: bool = False,
    alternative: bool = True,
    subject: str = "",
) -> Certified:
    """For a server; self-signed without ``issuer``; expired when ``days`` is negative.

    Without ``alternative`` its subject alone, which is ``name`` otherwise too, says what it is for."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)]) if alternative else None
    return _make(subject or name, issuer, names, days=days, key=key, plain=plain)


def of_client(address: str, issuer: Certified) -> Certified:
    """For somebody who logs in with it."""
    names = x509.SubjectAlternativeName([x509.RFC822Name(address)])
    return _make(address, issuer, names, usage=ExtendedKeyUsageOID.CLIENT_AUTH)


def limited(issuer: Certified, usage: x509.ObjectIdentifier) -> Certified:
    """An authority below ``issuer`` that may only vouch for what has a usage, as public ones are now."""
    found = authority("Limited", issuer)
    made = (
        x509.CertificateBuilder()
        .subject_name(found.certificate.subject)
        .issuer_name(found.certificate.issuer)
        .public_key(found.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(found.certificate.not_valid_before_utc)
        .not_valid_after(found.certificate.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    for each in found.certificate.extensions:
        made = made.add_extension(each.value, critical=each.critical)
    return Certified(found.key, made.sign(issuer.key, hashes.SHA256()))


def _make(
    subject: str,
    issuer: Certified | None,
    names: x509.SubjectAlternativeName | None = None,
    *,
    ca: bool = False,
    days: float = 30,
    key: ec.EllipticCurvePrivateKey | None = None,
    plain: bool = False,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Certified:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 60 * DAY)
        .not_valid_after(NOW + days * DAY)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    if ca or not plain:
        basic = x509.BasicConstraints(ca=ca, path_length=None)
        builder = builder.add_extension(basic, critical=not plain)
    if not plain:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(_usage(ca=ca), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Certified(key, builder.sign(signer, hashes.SHA256()))


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
