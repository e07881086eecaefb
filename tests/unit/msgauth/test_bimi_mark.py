"""Marks that somebody vouches for, and everything that looks like one."""

from __future__ import annotations

import base64
import gzip
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from a3mailer.msgauth.bimi_mark import BRAND, DATA, LOGOTYPE, MAX_FILE, BadMark, check
from tests.certificates import DAY, NOW, Certified, authority, certified, limited
from tests.unit.msgauth.test_bimi_svg import GOOD, picture

ROOT = authority("Mark root")
BETWEEN = authority("Mark authority", ROOT)
LATER = NOW + timedelta(hours=1)


def der(tag: int, *contents: bytes) -> bytes:
    octets = b"".join(contents)
    size = len(octets)
    if size < 0x80:
        return bytes((tag, size)) + octets
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + octets


def logotype(*addresses: bytes) -> bytes:
    """The frame of RFC 3709 around these addresses: sequences, and a type of media before them."""
    texts = (der(0x30, der(0x16, b"image/svg+xml"), der(0x30, der(0x16, each))) for each in addresses)
    return der(0x30, der(0xA2, der(0xA0, der(0x30, *texts))))


def data(svg: bytes) -> bytes:
    return DATA + base64.b64encode(gzip.compress(svg))


def mark(
    extension: bytes,
    name: str = "default._bimi.a.test",
    usage: x509.ObjectIdentifier = BRAND,
    issuer: Certified = BETWEEN,
    days: int = 30,
) -> bytes:
    """The file of a mark, with the certificate between it and the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A Test Inc.")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
        .add_extension(x509.UnrecognizedExtension(LOGOTYPE, extension), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return Certified(key, made).pem + issuer.pem


FILE = mark(logotype(data(GOOD)))


def test_an_authority_for_marks_is_one_and_one_for_servers_is_not() -> None:
    between = mark(logotype(data(GOOD)), issuer=limited(ROOT, BRAND))
    assert check(between, "a.test", "default", [ROOT.certificate], LATER).picture.octets == GOOD
    between = mark(logotype(data(GOOD)), issuer=limited(ROOT, ExtendedKeyUsageOID.SERVER_AUTH))
    with pytest.raises(BadMark, match="believed"):
        check(between, "a.test", "default", [ROOT.certificate], LATER)


@pytest.mark.parametrize("name", ["default._bimi.a.test", "A.test"])
def test_a_mark_that_is_vouched_for(name: str) -> None:
    found = check(mark(logotype(data(GOOD)), name), "a.test", "default", [ROOT.certificate], LATER)
    assert found.picture.octets == GOOD
    assert (found.organization, found.authority) == ("A Test Inc.", "Mark root")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (FILE + b" " * MAX_FILE, "larger"),
        (FILE + BETWEEN.pem * 10, "too many"),
        (FILE.replace(BETWEEN.pem, b""), "believed"),
        (mark(logotype(data(GOOD)), "b.test"), "not for a.test"),
        (mark(logotype(data(GOOD)), "other._bimi.a.test"), "not for a.test"),
        (mark(logotype(data(GOOD)), usage=ExtendedKeyUsageOID.SERVER_AUTH), "believed"),
        (mark(logotype(data(GOOD)), days=-1), "believed"),
        (mark(logotype(data(GOOD)), issuer=authority("Nobody")), "believed"),
        (certified("a.test", BETWEEN).pem + BETWEEN.pem, "believed"),
        (mark(logotype()), "exactly one"),
        (mark(logotype(b"https://a.test/x.svg")), "exactly one"),
        (mark(logotype(data(GOOD), data(GOOD))), "exactly one"),
        (mark(b"\x30\x84\xff\xff\xff\xff"), "exactly one"),
        (mark(logotype(DATA + b"!")), "cannot be shown"),
        (mark(logotype(DATA + base64.b64encode(b"\x1f\x8b no"))), "cannot be shown"),
        (mark(logotype(data(picture("<script/>")))), "cannot be shown"),
        (mark(logotype(data(b" " * (8 << 20)))), "cannot be shown"),
    ],
)
def test_what_vouches_for_nothing(octets: bytes, words: str) -> None:
    with pytest.raises(BadMark, match=words):
        check(octets, "a.test", "default", [ROOT.certificate], LATER)


def test_nobody_is_believed_unasked() -> None:
    with pytest.raises(BadMark):
        check(FILE, "a.test", "default", [], LATER)
    with pytest.raises(BadMark, match="believed"):
        check(FILE, "a.test", "default", [certified("x.test").certificate], LATER)
