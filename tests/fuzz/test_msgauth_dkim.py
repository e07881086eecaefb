"""Fuzz targets of DKIM: whole mails to the verifier and the signer, key records."""

from __future__ import annotations

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import domainkeys, fields
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.sign import sign
from tests.fuzz import mutate
from tests.unit.msgauth.signed import MAIL, NOW, key, record, signed, verified, zone

ED = key("ed")
ZONE = zone(ED)
MAILS = (
    signed(MAIL, ED),
    signed(signed(MAIL, ED), key("ed", "other.test")),
    b"DKIM-Signature: v=1; a=rsa-sha256; d=a.b; s=c; h=from; l=3; t=1; x=2; i=@a.b; bh=AA==; b=AA==\r\n"
    + MAIL,
)
TOKENS = (
    *(
        b";",
        b"=",
        b"b=",
        b"bh=",
        b"h=from",
        b"l=0;",
        b"t=9;",
        b"x=99999999999;",
        b"i=@",
        b"c=simple/relaxed;",
    ),
    *(
        b"\r\n",
        b"\r\n\t",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b"DKIM-Signature: ",
        b"From: ",
        b"\xff",
        b"\r\n\r\n",
    ),
)
WORDS = {"pass", "fail", "policy", "neutral", "permerror", "temperror"}


def mail(octets: bytes) -> None:
    for result in verified(octets, ZONE):
        assert result.result in WORDS
        assert result.result != PASS or (result.domain, result.bits) == ("example.org", 256)
        result.method_result()
    header = fields.read(octets)
    made = sign(header, Bodies(octets, header.body), (ED,), NOW)
    if made:
        assert PASS in [result.result for result in verified(made + octets, ZONE)]


@mutate.CASES
def test_any_octets_have_results(count: int, seed: int) -> None:
    mutate.run(mail, MAILS, count=count, seed=seed, tokens=TOKENS)


RECORDS = (
    record(ED),
    b"v=DKIM1; h=sha256; k=rsa; s=email:*; t=y:s; n=x; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ==",
)


def key_record(octets: bytes) -> None:
    found = domainkeys._load.__wrapped__(octets)
    assert isinstance(found, domainkeys.DomainKey) or found.result == "permerror"
    if isinstance(found, domainkeys.DomainKey):
        assert not found.verify(b"x" * 64, b"y" * 32)
        assert found.bits


@mutate.CASES
def test_any_octets_are_a_key_record_or_none(count: int, seed: int) -> None:
    mutate.run(
        key_record, RECORDS, count=count, seed=seed, tokens=(b";", b"p=", b"k=ed25519", b"=", b"\0", b" ")
    )
