"""Mails signed by the real ``openssl``: keys and certificates are made once for all tests."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.certificates import DAY, NOW, Certified, authority

ROOT = authority("Mail root")
OTHER = authority("Another root")
BETWEEN = authority("Mail authority", ROOT)
LATER = NOW + timedelta(hours=1)
BODY = b"Content-Type: text/plain\r\n\r\nHello Bob,\r\nthis is from me.\r\n"
MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION


@dataclass(frozen=True)
class Who:
    """A key of any kind and its certificate, as PEM."""

    key: bytes
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@cache
def key_of(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65_537, int(kind[3:]))
    return ec.generate_private_key(ec.SECP256R1())


def signer(
    address: str = "alice@a.test",
    issuer: Certified = BETWEEN,
    *,
    kind: str = "p256",
    days: float = 30,
    usage: x509.ObjectIdentifier | None = MAIL,
    names: Sequence[x509.GeneralName] | None = None,
    subject: str = "",
    signs: bool = True,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Who:
    """Somebody who signs mails."""
    key = key_of(kind)
    shown = [x509.NameAttribute(NameOID.COMMON_NAME, "Alice")]
    if subject:
        shown.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, subject))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(shown))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 20 * DAY)
        .not_valid_after(NOW + days * DAY)
    )
    found = [x509.RFC822Name(address)] if names is None else list(names)
    if found:
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    use = x509.KeyUsage(signs, False, not signs, False, False, False, False, False, False)
    builder = builder.add_extension(use, critical=True)
    for value, critical in more:
        builder = builder.add_extension(value, critical=critical)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Who(pem, builder.sign(issuer.key, hashes.SHA256()))


ALICE = signer()


def signed(
    *options: str,
    body: bytes = BODY,
    by: Sequence[Who] = (ALICE,),
    between: Sequence[Certified] = (BETWEEN,),
    author: str = "Alice <alice@a.test>",
    command: str = "cms",
    after: Sequence[str] = (),
) -> bytes:
    """A whole mail that ``openssl cms -sign`` made."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "between.pem").write_bytes(b"".join(each.pem for each in between))
        arguments = ["openssl", command, "-sign", *options]
        if between:
            arguments += ["-certfile", "between.pem"]
        for number, each in enumerate(by):
            (place / f"{number}.pem").write_bytes(each.pem)
            (place / f"{number}.key").write_bytes(each.key)
            arguments += ["-signer", f"{number}.pem", "-inkey", f"{number}.key"]
        done = subprocess.run(
            [*arguments, *after], input=body, cwd=folder, capture_output=True, check=True, timeout=20
        )
    octets = done.stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"From: %b\r\nTo: bob@a.test\r\nSubject: Hello\r\n" % author.encode() + octets
