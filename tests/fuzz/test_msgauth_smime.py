"""Fuzz targets of S/MIME: signatures, and mails around them, are anybody's octets."""

from __future__ import annotations

import base64

from a3mailer.mail.message import index
from a3mailer.msgauth import cms
from a3mailer.msgauth.author import authors
from a3mailer.msgauth.smime import judged, opened
from a3mailer.msgauth.smime_chain import trust_of
from tests.fuzz import mutate
from tests.unit.msgauth.mails_signed import BODY, LATER, ROOT, signed

TRUST = trust_of(ROOT.pem)
TOKENS = (
    b"\x30\x80", b"\x24\x80", b"\x24\x03\x04\x01a", b"\0\0", b"\x30\x84\xff\xff\xff\xff", b"\xa0\x80",
    b"\x05\x00",
    b"\x06\x09*\x86H\x86\xf7\r\x01\x07\x02", b"\x06\x09*\x86H\x86\xf7\r\x01\x09\x04", b"\x17\x0d",
    b"\x31\x00",
)  # fmt: skip
HEAD = (
    b"From: alice@a.test\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
STATUSES = (None, "unknown", "signed", "signed/verified", "signed/failed")


def data(octets: bytes) -> None:
    try:
        plain = cms.definite(octets)
    except cms.Unreadable:
        return
    assert cms.definite(plain) == plain
    mail = HEAD + base64.encodebytes(octets)
    found = judged(opened(mail, index(mail).parts), ("alice@a.test",), TRUST, LATER)
    assert found.status in STATUSES
    if found.status == "signed/verified":
        made = cms.read(octets)
        assert isinstance(made, cms.SignedData) and made.content == BODY


def mail(octets: bytes) -> None:
    found = index(octets)
    status = judged(opened(octets, found.parts), authors(octets[: found.header_end]), TRUST, LATER)
    assert status.status in STATUSES
    assert bool(status.errors) is (status.status == "signed/failed")
    assert status.status != "signed/verified" or b"Hello Bob," in octets


def _cms(*options: str) -> bytes:
    mail = signed("-nodetach", *options)
    return base64.b64decode(mail[index(mail).header_end :])


@mutate.CASES
def test_any_octets_are_signed_data_or_not(count: int, seed: int) -> None:
    mutate.run(data, (_cms(), _cms("-stream"), _cms("-noattr")), count=count, seed=seed, tokens=TOKENS)


@mutate.CASES
def test_any_octets_are_a_signed_mail_or_not(count: int, seed: int) -> None:
    mutate.run(mail, (signed(), signed("-noattr")), count=count, seed=seed, tokens=TOKENS)
