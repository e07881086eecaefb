"""TLS-ALPN-01 (RFC 8737): a certificate that holds the answer, shown to who speaks acme-tls/1 on port 443."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from a3mailer.config.fields import BadValue
from a3mailer.ops.acme.challenges.responder import Answering, ChallengeFailure
from a3mailer.ops.pkix import key_pem

ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
DAYS: Final = 7


class TlsAlpn(Answering):
    """The https listener of every worker shows it."""

    kind: ClassVar[str] = "tls-alpn-01"
    __slots__ = ()

    async def present(self, name: str, token: str, authorization: str) -> None:
        try:
            self._answers.put_alpn(name, challenge_certificate(name, authorization))
        except (OSError, BadValue) as error:
            raise ChallengeFailure(f"{name}: {error}") from error

    async def withdraw(self, name: str, token: str, authorization: str) -> None:
        self._answers.drop_alpn(name)


def challenge_certificate(name: str, authorization: str) -> bytes:
    """Key and self-signed certificate in PEM (RFC 8737 section 3): one name, and acmeIdentifier, critical."""
    key = ec.generate_private_key(ec.SECP256R1())
    digest = hashlib.sha256(authorization.encode("ascii")).digest()
    value = b"\x04\x20" + digest  # Authorization ::= OCTET STRING (SIZE (32))
    subject = x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, value), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key_pem(key) + certificate.public_bytes(Encoding.PEM)
