"""Signed mails as openssl makes them, and everything that can be wrong with one."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime

import pytest
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from a3mailer.mail.message import index
from a3mailer.msgauth import cms
from a3mailer.msgauth.author import authors
from a3mailer.msgauth.smime import Judgement, Kind, judged, kind_of, opened
from a3mailer.msgauth.smime_chain import Trust, addresses_of, same_address, trust_of
from tests.certificates import DAY, NOW, Certified, authority, limited
from tests.unit.msgauth.mails_signed import ALICE, BETWEEN, BODY, LATER, OTHER, ROOT, Who, signed, signer

TRUST = trust_of(ROOT.pem)
GOOD = Judgement("signed/verified")


def judge(mail: bytes, trust: Trust = TRUST, at: datetime = LATER) -> Judgement:
    found = index(mail)
    return judged(opened(mail, found.parts), authors(mail[: found.header_end]), trust, at)


def fails(mail: bytes, *words: str, trust: Trust = TRUST, at: datetime = LATER) -> None:
    found = judge(mail, trust, at)
    assert found.status == "signed/failed", found
    assert len(found.errors) == len(words), found.errors
    for word, error in zip(words, found.errors, strict=True):
        assert word in error


@pytest.mark.parametrize(
    "options",
    [
        "",
        "-stream",
        "-nodetach",
        "-nodetach -stream",
        "-noattr",
        "-md sha384",
        "-md sha512",
        "-cades",
        "-binary",
    ],
)
def test_what_openssl_signs_is_verified(options: str) -> None:
    assert judge(signed(*options.split())) == GOOD


@pytest.mark.parametrize("after", [(), ("-keyopt", "rsa_padding_mode:pss")])
def test_rsa_in_both_ways(after: Sequence[str]) -> None:
    assert judge(signed(by=[signer(kind="rsa2048")], after=after)) == GOOD


def test_the_older_command_of_openssl() -> None:
    assert judge(signed(command="smime")) == GOOD


def test_who_signed_may_be_named_by_the_key() -> None:
    key = x509.SubjectKeyIdentifier(b"A key of Alice")
    alice = signer(more=[(key, False)])
    assert judge(signed("-keyid", by=[alice])) == GOOD
    others = [
        signer("eve@a.test", kind="rsa2048", more=[(key, False)]),
        signer("bob@a.test", more=[(key, False)]),
    ]
    between = [BETWEEN, *(Certified(BETWEEN.key, each.certificate) for each in others)]
    assert judge(signed("-keyid", by=[alice], between=between)) == GOOD, "each that fits is tried"


def test_pieces_are_put_together() -> None:
    body = b"Content-Type: text/plain\r\n\r\n" + b"A line of text\r\n" * 3000
    mail = signed("-nodetach", "-stream", body=body)
    found = index(mail)
    octets = base64.b64decode(mail[found.header_end :])
    assert octets[1] == 0x80 and octets.count(b"\x04\x82") > 3
    data = cms.read(octets)
    assert isinstance(data, cms.SignedData) and data.content == body
    assert judge(mail) == GOOD


def test_a_changed_mail() -> None:
    fails(signed().replace(b"Hello Bob", b"Hello Bab"), "was changed")
    fails(signed().replace(b"text/plain", b"text/plaim"), "was changed")
    fails(signed("-noattr").replace(b"Hello Bob", b"Hello Bab"), "signature is wrong")
    mail = signed("-nodetach")
    octets = base64.b64decode(mail[index(mail).header_end :]).replace(b"Hello Bob", b"Hello Bab")
    fails(mail[: index(mail).header_end] + base64.encodebytes(octets), "was changed")


def test_line_ends_that_were_changed_on_the_way_do_not_count() -> None:
    mail = signed()
    begins = mail.index(b"Content-Type: text/plain")
    ends = mail.index(b"\r\n--", begins)
    assert judge(mail[:begins] + mail[begins:ends].replace(b"\r\n", b"\n") + mail[ends:]) == GOOD


def test_what_is_around_the_signed_part_does_not_count() -> None:
    mail = signed()
    assert judge(mail.replace(b"This is an S/MIME signed message", b"Something else entirely")) == GOOD
    assert judge(b"Received: from x\r\n" + mail + b"\r\nA list wrote this\r\n") == GOOD


def test_part_of_a_mail_is_not_the_mail() -> None:
    inner = signed().partition(b"MIME-Version: 1.0\r\n")[2]
    outer = (
        b"From: alice@a.test\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\n"
        + inner
        + b"\r\n--out\r\n\r\nA footer\r\n--out--\r\n"
    )
    assert kind_of(index(outer).parts) is Kind.WITHIN
    fails(outer, "Only a part")
    attached = b"From: alice@a.test\r\nContent-Type: message/rfc822\r\n\r\n" + signed()
    assert judge(attached) == Judgement(None), "what is attached is another mail"


def test_weak_digests_and_keys() -> None:
    fails(signed("-md", "sha1"), "sha1")
    fails(signed(by=[signer(kind="rsa1536")]), "1536 bits")


def test_times() -> None:
    brief = signed(by=[signer(days=2)])
    assert judge(brief) == GOOD
    fails(brief, "ended on", at=NOW + 3 * DAY)
    fails(brief, "begins on", at=NOW - 21 * DAY)
    fails(signed(by=[signer(days=-1)]), "ended on")
    assert judge(signed(by=[signer(days=-1)]), at=NOW - 2 * DAY) == GOOD, "it was good then"


def test_authorities_nobody_believes() -> None:
    words = "No authority that is believed"
    fails(signed(), words, trust=trust_of(OTHER.pem))
    fails(signed(between=[]), words)
    fails(signed(by=[signer(issuer=OTHER)]), words)
    fails(signed(), "No authority is believed here", trust=Trust())
    same_name = authority("Mail root")
    fails(signed(by=[signer(issuer=same_name)]), words)
    assert judge(signed(by=[signer(issuer=ROOT)], between=[])) == GOOD


def test_a_signer_is_no_authority() -> None:
    key = serialization.load_pem_private_key(ALICE.key, None)
    below = signer("bob@a.test", Certified(key, ALICE.certificate))  # type: ignore[arg-type]
    between = [BETWEEN, Certified(key, ALICE.certificate)]  # type: ignore[arg-type]
    fails(signed(by=[below], between=between, author="bob@a.test"), "No authority that is believed")


def test_what_certificates_are_for() -> None:
    fails(signed(by=[signer(usage=ExtendedKeyUsageOID.SERVER_AUTH)]), "not for mail")
    fails(signed(by=[signer(signs=False)]), "not for signing")
    assert judge(signed(by=[signer(usage=None)])) == GOOD
    assert judge(signed(by=[signer(usage=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)])) == GOOD
    for usage, good in (ExtendedKeyUsageOID.EMAIL_PROTECTION, True), (ExtendedKeyUsageOID.SERVER_AUTH, False):
        between = limited(ROOT, usage)
        found = judge(signed(by=[signer(issuer=between)], between=[between]))
        assert (found == GOOD) is good


def test_what_a_certificate_demands_and_nobody_knows() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert judge(signed(by=[signer(more=[(unknown, False)])])) == GOOD
    fails(signed(by=[signer(more=[(unknown, True)])]), "demands")


def test_the_author_is_the_signer() -> None:
    word = "The address in the From field"
    fails(signed(author="mallory@a.test"), word)
    fails(signed(author='"alice@a.test" <mallory@evil.test>'), word)
    fails(signed(author="alice@a.test, bob@a.test"), word)
    fails(signed(by=[signer(names=[])]), word)
    fails(signed(by=[signer(names=[x509.DNSName("a.test")])]), word)
    assert judge(signed(author="ALICE@A.Test")) == GOOD
    assert judge(signed(by=[signer(names=[], subject="alice@a.test")])) == GOOD
    fails(b"From: mallory@evil.test\r\n" + signed(), "does not plainly name")
    fails(signed().replace(b"From:", b"X-From:", 1), "does not plainly name")
    fails(signed(by=[signer(days=-1)], author="bob@a.test"), "ended on", word)


def test_several_signers_vouch_for_several_authors() -> None:
    bob = signer("bob@b.test")
    assert judge(signed(by=[ALICE, bob], author="alice@a.test, Bob <bob@b.test>")) == GOOD
    assert judge(signed(by=[ALICE, bob])) == GOOD
    fails(signed(by=[ALICE, signer("bob@b.test", days=-1)], author="alice@a.test, bob@b.test"), "ended on")


def test_internationalised_addresses() -> None:
    value = "älice@bücher.test".encode()
    name = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), bytes((0x0C, len(value))) + value)
    who = signer(names=[name])
    assert addresses_of(who.certificate) == ["älice@bücher.test"]
    assert judge(signed(by=[who], author="Älice <älice@BÜCHER.test>")) == GOOD
    assert same_address("a@xn--bcher-kva.test", "A@BÜCHER.test")
    assert not same_address("@a.test", "@a.test")
    assert not same_address("kate@a.test", "\u212aate@a.test"), "a sign that is a k in lower case"


def revoking(
    *serials: int, issuer: Certified = BETWEEN, days: int = -1, demands: x509.ExtensionType | None = None
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(BETWEEN.certificate.subject)
        .last_update(NOW - 5 * DAY)
        .next_update(NOW - 4 * DAY)
    )
    if demands is not None:
        builder = builder.add_extension(demands, critical=True)
    for serial in serials:
        entry = (
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW + days * DAY).build()
        )
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, hashes.SHA256())


def test_revoked_certificates() -> None:
    def trust(each: x509.CertificateRevocationList) -> Trust:
        return trust_of(ROOT.pem, each.public_bytes(serialization.Encoding.PEM))

    serial = ALICE.certificate.serial_number
    fails(signed(), "was revoked on", trust=trust(revoking(serial)))
    assert judge(signed(), trust(revoking(serial + 1))) == GOOD
    assert judge(signed(), trust(revoking(serial, days=1))) == GOOD, "not yet"
    assert judge(signed(), trust(revoking(serial, issuer=OTHER))) == GOOD, "not by the authority"
    for demands, counts in (
        (x509.DeltaCRLIndicator(1), False),
        (point(indirect=True), False),
        (point(indirect=False), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), False),
    ):
        found = judge(signed(), trust(revoking(serial, demands=demands)))
        assert (found != GOOD) is counts, demands


def point(*, indirect: bool) -> x509.IssuingDistributionPoint:
    where = [x509.UniformResourceIdentifier("http://a.test/list")]
    return x509.IssuingDistributionPoint(where, None, False, False, None, indirect, False)


def test_an_authority_that_may_not_revoke() -> None:
    may = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    silent = below(ROOT, may)
    who = signer(issuer=silent)
    revoked = revoking(who.certificate.serial_number, issuer=silent).public_bytes(serialization.Encoding.PEM)
    assert judge(signed(by=[who], between=[silent]), trust_of(ROOT.pem, revoked)) == GOOD


def below(issuer: Certified, *others: x509.ExtensionType) -> Certified:
    """An authority of the name of BETWEEN, with these extensions for those of their kind."""
    found = authority("Mail authority", issuer)
    made = (
        x509.CertificateBuilder()
        .subject_name(found.certificate.subject)
        .issuer_name(found.certificate.issuer)
        .public_key(found.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(found.certificate.not_valid_before_utc)
        .not_valid_after(found.certificate.not_valid_after_utc)
    )
    kept = [each.value for each in found.certificate.extensions if type(each.value) not in map(type, others)]
    for each in (*kept, *others):
        critical = isinstance(each, x509.BasicConstraints | x509.NameConstraints)
        made = made.add_extension(each, critical=critical)
    return Certified(found.key, made.sign(issuer.key, hashes.SHA256()))


def test_an_authority_that_vouches_for_one_domain() -> None:
    for name, told in ("a.test", ""), ("b.test", "No authority"):
        limited_to = below(ROOT, x509.NameConstraints([x509.RFC822Name(name)], None))
        mail = signed(by=[signer(issuer=limited_to)], between=[limited_to])
        assert judge(mail) == GOOD if not told else fails(mail, told) is None
    only = below(ROOT, x509.NameConstraints([x509.RFC822Name("b.test")], None))
    word = "may not vouch for all"
    fails(signed(by=[signer(issuer=only, names=[], subject="alice@a.test")], between=[only]), word)
    mine = [x509.RFC822Name("bob@b.test")]
    fails(signed(by=[signer(issuer=only, names=mine, subject="alice@a.test")], between=[only]), word)
    same = signer(issuer=only, names=mine, subject="Bob@b.test")
    assert judge(signed(by=[same], between=[only], author="bob@b.test")) == GOOD


def test_a_list_of_revoked_certificates_in_the_mail_itself() -> None:
    mail = signed()
    last = index(mail).parts[2]
    info = asn1.ContentInfo.load(base64.b64decode(mail[last.body : last.end]))
    revoked = revoking(ALICE.certificate.serial_number).public_bytes(serialization.Encoding.DER)
    info["content"]["crls"] = [asn1.RevocationInfoChoice("crl", asn1.CertificateList.load(revoked))]
    octets = base64.encodebytes(info.dump(force=True))
    fails(mail[: last.body] + octets + mail[last.end :], "was revoked on")


def test_trust_has_a_name_that_changes_with_it() -> None:
    pem = revoking(1).public_bytes(serialization.Encoding.PEM)
    names = {trust_of(ROOT.pem).name, trust_of(OTHER.pem).name, trust_of(ROOT.pem, pem).name, Trust().name}
    assert len(names) == 4 and trust_of(ROOT.pem).name == TRUST.name
    assert (
        len(
            trust_of(ROOT.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").authorities
        )
        == 1
    )
    with pytest.raises(ValueError, match="no certificate"):
        trust_of(b"something else")
    with pytest.raises(ValueError, match="no list of revoked"):
        trust_of(ROOT.pem, b"something else")
    der = trust_of(ROOT.der, revoking(1).public_bytes(serialization.Encoding.DER))
    assert (len(der.authorities), len(der.lists)) == (1, 1)


def test_other_protocols_and_other_contents() -> None:
    mail = signed().replace(b"application/pkcs7-signature", b"application/pgp-signature")
    assert judge(mail) == Judgement("unknown")
    assert judge(b"From: alice@a.test\r\n\r\nplain\r\n") == Judgement(None)
    opaque = b"From: alice@a.test\r\nContent-Type: application/pkcs7-mime\r\n"
    opaque += b"Content-Transfer-Encoding: base64\r\n\r\n"
    assert judge(opaque + b"AAAA\r\n") == Judgement("unknown")
    for kind, status in ("enveloped_data", None), ("compressed_data", "unknown"):
        info = asn1.ContentInfo({"content_type": kind}).dump(force=True)
        assert cms.read(info) == kind
        assert judge(opaque + base64.encodebytes(info)) == Judgement(status)


def test_certificates_alone_are_no_signature() -> None:
    mail = signed("-nodetach")
    data = asn1.ContentInfo.load(cms.definite(base64.b64decode(mail[index(mail).header_end :])))
    data["content"]["signer_infos"] = []
    head = mail[: index(mail).header_end]
    assert judge(head + base64.encodebytes(data.dump(force=True))) == Judgement("unknown")


def test_contents_in_both_places_or_none() -> None:
    inside, outside = signed("-nodetach"), signed()
    blob = inside[index(inside).header_end :]
    last = index(outside).parts[2]
    fails(outside[: last.body] + blob + outside[last.end :], "not there just once")
    detached = outside[last.body : last.end]
    fails(inside[: index(inside).header_end] + detached, "not there just once")
    fails(outside[: last.body] + b"AAAA" + outside[last.end :], "cannot be read")


def test_a_third_part() -> None:
    mail = signed()
    boundary = re.search(rb'boundary="([^"]+)"', mail)
    assert boundary is not None
    mark = b"--" + boundary[1]
    fails(mail.replace(mark + b"--", mark + b"\r\n\r\nMore\r\n" + mark + b"--"), "structure")


def test_a_certificate_put_in_anothers_place() -> None:
    """Same issuer, serial and key, other address: signing programs name the one they mean (RFC 5035)."""
    same = ALICE.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(same.subject)
        .issuer_name(same.issuer)
        .public_key(same.public_key())
        .serial_number(same.serial_number)
        .not_valid_before(same.not_valid_before_utc)
        .not_valid_after(same.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("eve@a.test")]), critical=False)
    )
    twin = Who(ALICE.key, builder.sign(BETWEEN.key, hashes.SHA256()))
    mail = signed("-cades")
    last = index(mail).parts[2]
    octets = base64.b64decode(mail[last.body : last.end])
    one, other = (each.certificate.public_bytes(serialization.Encoding.DER) for each in (ALICE, twin))
    info = asn1.ContentInfo.load(octets)
    info["content"]["certificates"] = [
        asn1.CertificateChoices("certificate", asn1.Certificate.load(each)) for each in (other, BETWEEN.der)
    ]
    assert one not in info.dump(force=True)
    changed = mail[: last.body] + base64.encodebytes(info.dump(force=True)) + mail[last.end :]
    fails(changed.replace(b"alice@a.test", b"eve@a.test", 1), "another certificate")


def test_bounds() -> None:
    wide = b"\x30\x80" + b"\x05\x00" * cms.MAX_ELEMENTS + b"\0\0"
    deep = b"\x30\x80" * 5000
    for octets in (wide, deep):
        with pytest.raises(cms.TooMuch):
            cms.read(octets)
    for octets in (
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x04\x80\0\0",
        b"\x30\x85\0\0\0\0\0",
        b"\x1f\x81\x01\0",
        b"\x24\x03\x02\x01\x00",
    ):
        with pytest.raises(cms.Unreadable):
            cms.definite(octets)
    many = signed(between=[BETWEEN] + [authority(f"Nobody {n}") for n in range(cms.MAX_CERTIFICATES)])
    assert judge(many) == Judgement("signed"), "more than is looked at is not verified"


def test_definite_leaves_der_alone_and_joins_pieces() -> None:
    assert cms.definite(ALICE.certificate.public_bytes(serialization.Encoding.DER) + b"more") == (
        ALICE.certificate.public_bytes(serialization.Encoding.DER)
    )
    assert cms.definite(b"\x30\x80\x24\x80\x04\x01a\x24\x03\x04\x01b\0\0\0\0") == b"\x30\x04\x04\x02ab"
    assert cms.definite(b"\x30\x81\x02\x05\x00") == b"\x30\x81\x02\x05\x00", (
        "longer than need be, but as it was signed"
    )
    assert BODY in signed("-binary")
