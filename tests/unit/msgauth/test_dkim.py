"""DKIM as its RFCs, and those who attack it, have it: verification."""

import base64
import hashlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from a3mailer.mail.authresults import FAIL, NEUTRAL, PASS, PERMERROR, POLICY, TEMPERROR
from a3mailer.msgauth import domainkeys, fields
from a3mailer.msgauth.canonical import signed_octets
from a3mailer.msgauth.dkim import MAX_SIGNATURES, DkimResult, Unusable, parse
from a3mailer.msgauth.sign import Form
from a3mailer.testing.resolver import FakeResolver
from tests.growth import assert_linear
from tests.tree import ROOT
from tests.unit.msgauth.signed import DOMAIN, MAIL, NOW, VECTORS, key, record, signed, verified, zone

FOOTBALL = FakeResolver()
FOOTBALL.put(
    "brisbane._domainkey.football.example.com",
    "TXT",
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
)
FOOTBALL.put("test._domainkey.football.example.com", "TXT", (VECTORS / "test.txt").read_bytes().strip())


def vector(name: str) -> bytes:
    return re.sub(rb"\r?\n", b"\r\n", (VECTORS / name).read_bytes())


def words(results: tuple[DkimResult, ...]) -> list[str]:
    return [one.result for one in results]


def one(mail: bytes, resolver: FakeResolver, now: int = NOW) -> tuple[str, str]:
    (result,) = verified(mail, resolver, now=now)
    return result.result, result.reason


# --- vectors ------------------------------------------------------------------------------------------


def test_the_example_of_rfc_8463() -> None:
    mail = (ROOT / "tests/vectors/dkim/rfc8463.msg").read_bytes().replace(b"\n", b"\r\n")
    results = verified(mail, FOOTBALL)
    assert [(r.result, r.algorithm, r.selector, r.bits) for r in results] == [
        (PASS, "ed25519-sha256", "brisbane", 256),
        (PASS, "rsa-sha256", "test", 1024),
    ]
    assert words(verified(mail.replace(b"dinner", b"supper"), FOOTBALL)) == [FAIL, FAIL]


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("rfc6376.signed.msg", [PASS, PASS]),
        ("rfc6376.signed.rsa.msg", [PASS]),
        ("rfc6376.signed.no_t.msg", [FAIL]),  # t= taken out and x= put in after it was signed
        ("rfc6376.msg", []),
        ("rfc6376.w1258.msg", []),
        ("test.message", []),
        ("test_nofrom.message", []),
    ],
)
def test_mails_of_the_vectors(name: str, results: list[str]) -> None:
    assert words(verified(vector(name), FOOTBALL)) == results


def test_an_ed25519_signature_of_exim() -> None:
    resolver = FakeResolver()
    resolver.put("sed._domainkey.test.ex", "TXT", (VECTORS / "eximtest.dns").read_bytes().strip())
    (result,) = verified(vector("ed25519test2.msg"), resolver)
    assert (result.domain, result.algorithm, result.bits) == ("test.ex", "ed25519-sha256", 256)
    assert result.result == PASS


def test_a_domain_with_a_comment_in_it_is_never_asked() -> None:
    resolver = FakeResolver()
    assert words(verified(vector("test.message.baddomain"), resolver)) == [NEUTRAL]
    assert not resolver.asked


def test_folding_that_is_ugly_but_legal_is_read() -> None:
    header = fields.read(vector("test2.message"))
    read = parse(header.all(b"dkim-signature")[0])
    assert (read.domain, read.selector, len(read.signature)) == (b"gmail.com", b"20120113", 256)
    assert read.names[:2] == (b"mime-version", b"sender")
    mbox = parse(fields.read(vector("message.mbox")).all(b"dkim-signature")[0])
    assert (mbox.domain, mbox.signed, mbox.header_relaxed) == (b"kitterman.com", 1299525798, False)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("1024_testkey_wo_markers.pub.rsa.txt", 1024),
        ("1024_testkey_wo_markers.pub.txt", 1024),
        ("2048_testkey_PKCS8.key.pub.txt", 2048),
        ("2048_testkey_wo_markers.pub.rsa.txt", 2048),
        ("2048_testkey_wo_markers.pub.txt", 2048),
        ("ed25519test.dns", 256),
        ("test.txt", 1024),
        ("test2.txt", 1024),
        ("test_tlsrpt.txt", 1024),
        ("badk.txt", 0),
        ("badversion.txt", 0),
        ("test_bad.txt", 0),
    ],
)
def test_key_records_of_the_vectors(name: str, bits: int) -> None:
    loaded = domainkeys.load((VECTORS / name).read_bytes().strip())
    assert (loaded.bits if isinstance(loaded, domainkeys.DomainKey) else 0) == bits


# --- keys -----------------------------------------------------------------------------------------------


def with_record(text: bytes) -> FakeResolver:
    resolver = FakeResolver()
    resolver.put(f"rsa1024._domainkey.{DOMAIN}", "TXT", text)
    return resolver


def test_what_a_key_record_says_is_obeyed() -> None:
    signing = key("rsa1024")
    mail, good = signed(MAIL, signing), record(signing)
    assert one(mail, with_record(good)) == (PASS, "")
    for text, result in (
        (b"v=DKIM1; p=", PERMERROR),
        (b"junk", PERMERROR),
        (good + b"; s=tlsrpt", PERMERROR),
        (good + b"; s=tlsrpt:email", PASS),
        (good + b"; h=sha1", PERMERROR),
        (good + b"; h=sha1:sha256", PASS),
        (good + b"; t=s", PASS),
        (record(key("ed")), PERMERROR),
        (record(key("rsa")), FAIL),
        (record(key("rsa")) + b"; t=y", NEUTRAL),
        (good + b"; t=y", PASS),
    ):
        assert one(mail, with_record(text))[0] == result, text
    assert one(mail, FakeResolver()) == (PERMERROR, "there is no key")
    silent = FakeResolver()
    silent.fail(f"rsa1024._domainkey.{DOMAIN}", "TXT")
    assert one(mail, silent)[0] == TEMPERROR


def test_a_strict_key_is_not_for_identities_below_the_domain() -> None:
    assert one(forged(b"i=x@sub.example.org"), with_record(record(key("rsa1024")) + b"; t=s"))[0] == PERMERROR


def test_short_keys_never_pass() -> None:
    # made by openssl genrsa 512: what makes keys here refuses to
    text = (
        b"p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKLZK48j3iBR5LQKqR0toNFZbo7Pmc5yxK7E0s31pJ8aPm65"
        b"ai5EMPPqlMB2dirDkvmm3AbPUAU3F+vIRHYjqrkCAwEAAQ=="
    )
    loaded = domainkeys.load(text)
    assert isinstance(loaded, domainkeys.DomainKey) and loaded.bits == 512
    result, reason = one(signed(MAIL, key("rsa1024")), with_record(text))
    assert (result, reason) == (POLICY, "a key of 512 bits proves nothing")


# --- signatures -----------------------------------------------------------------------------------------


def forged(extra: bytes, mail: bytes = MAIL) -> bytes:
    """A mail with tags put into its signature: what does not pass for another reason fails."""
    made = signed(mail, key("rsa1024"))
    return made.replace(b"; d=example.org;", b"; d=example.org; " + extra + b";", 1)


@pytest.mark.parametrize(
    ("extra", "result"),
    [
        (b"z=harmless", FAIL),
        (b"i=@sub.example.org", FAIL),
        (b"i=alice=40x@example.org", FAIL),
        (b"i=@EXAMPLE.org", FAIL),
        (b"i=@example.com", NEUTRAL),
        (b"i=@notexample.org", NEUTRAL),
        (b"i=example.org", NEUTRAL),
        (b"i=alice=40example.org", FAIL),
        (b"q=dns/other", NEUTRAL),
        (b"q=other : dns/txt", FAIL),
        (b"x=1", NEUTRAL),
        (b"x=soon", NEUTRAL),
        (b"l=-1", NEUTRAL),
        (b"l=", NEUTRAL),
        (b"v=1", NEUTRAL),
        (b"z=\0", NEUTRAL),
    ],
)
def test_tags_are_checked_before_anything_else(extra: bytes, result: str) -> None:
    assert one(forged(extra), zone(key("rsa1024")))[0] == result


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (b"v=1", b"v=2", NEUTRAL),
        (b"a=rsa-sha256", b"a=rsa-sha1", POLICY),
        (b"a=rsa-sha256", b"a=rsa-md5", NEUTRAL),
        (b"a=rsa-sha256", b"a=ed25519-sha256", PERMERROR),
        (b"c=relaxed/relaxed", b"c=relaxed/no", NEUTRAL),
        (b"c=relaxed/relaxed", b"c=simple", FAIL),
        (b"h=from:from:", b"h=", PERMERROR),
        (b"bh=", b"bh=!", NEUTRAL),
        (b"d=example.org", b"d=example.org.", NEUTRAL),
        (b"d=example.org", b"d=", NEUTRAL),
        (b"s=rsa1024", b"s=a b", NEUTRAL),
        (b"\tb=", b"\tbb=", NEUTRAL),
    ],
)
def test_a_signature_that_cannot_be_used_says_why(old: bytes, new: bytes, result: str) -> None:
    mail = signed(MAIL, key("rsa1024"))
    assert old in mail
    assert one(mail.replace(old, new, 1), zone(key("rsa1024")))[0] == result


def test_times() -> None:
    signing = key("rsa1024")
    mail = signed(MAIL, signing, form=Form(lifetime=100))
    assert one(mail, zone(signing), NOW + 100)[0] == PASS
    assert one(mail, zone(signing), NOW + 101) == (POLICY, "the signature has expired")
    assert one(mail, zone(signing), NOW - 300)[0] == PASS
    assert one(mail, zone(signing), NOW - 301) == (POLICY, "the signature is of the future")


def test_a_length_is_honoured_and_never_passes() -> None:
    # attack row 17: whoever comes by can append to such a mail
    body = b"signed\r\n"
    head = b"From: alice@example.org\r\n"
    made = b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=rsa1024; l=%d; h=from:from; bh=%b; b=" % (
        len(body),
        base64.b64encode(hashlib.sha256(body).digest()),
    )
    private = key("rsa1024").private
    assert isinstance(private, RSAPrivateKey)
    value = private.sign(b"from:alice@example.org\r\ndkim-signature:" + made, PKCS1v15(), SHA256())
    field = b"DKIM-Signature: " + made + base64.b64encode(value) + b"\r\n"
    resolver = zone(key("rsa1024"))
    for appended in (b"", b"and a phish\r\n"):
        result, reason = one(field + head + b"\r\n" + body + appended, resolver)
        assert (result, reason) == (POLICY, "l= leaves the end of the mail unsigned")
    assert one(field + head + b"\r\nSigned\r\nmore\r\n", resolver)[0] == FAIL
    assert one(field + head + b"\r\nsign\r\n", resolver)[0] == FAIL
    assert one(field + b"From: eve@example.org\r\n" + head + b"\r\n" + body, resolver)[0] == FAIL


def test_fields_cannot_be_added_above_those_that_are_signed() -> None:
    signing = key("rsa1024")
    mail, resolver = signed(MAIL, signing), zone(signing)
    for added in (
        b"From: eve@example.com\r\n",
        b"Subject: other\r\n",
        b"To: x@y\r\n",
        b"Content-Type: text/html\r\n",
    ):
        for forged_mail in (added + mail, mail.replace(b"From: Alice", added + b"From: Alice", 1)):
            assert one(forged_mail, resolver)[0] == FAIL, added
    assert one(b"Received: from x\r\nX-Added: y\r\n" + mail, resolver)[0] == PASS


def test_names_that_repeat_are_taken_from_the_bottom() -> None:
    # RFC 6376 section 5.4.2
    signing = key("rsa1024")
    mail = MAIL.replace(b"To:", b"Comments: one\r\nComments: two\r\nTo:")
    header = fields.read(mail)
    own = fields.Field(b"dkim-signature", b"DKIM-Signature: b=\r\n")
    made = signed_octets(header, (b"comments", b"comments", b"comments", b"from"), own, relaxed=True)
    assert made.startswith(b"comments:two\r\ncomments:one\r\nfrom:Alice")
    assert one(signed(mail, signing), zone(signing))[0] == PASS


# --- several signatures -----------------------------------------------------------------------------------


def test_each_signature_has_its_result_and_the_authors_domain_is_first() -> None:
    ours, other, parent = key("rsa1024"), key("ed", "other.test"), key("ed", "org")
    mail = signed(signed(signed(MAIL, ours), parent), other)
    results = verified(mail, zone(ours, other))
    assert [(r.domain, r.result) for r in results] == [
        ("example.org", PASS),
        ("org", PERMERROR),
        ("other.test", PASS),
    ]
    told = results[0].method_result()
    assert (told.method, told.result) == ("dkim", "pass")
    assert told.properties[:4] == (
        ("header", "d", "example.org"),
        ("header", "i", "@example.org"),
        ("header", "s", "rsa1024"),
        ("header", "a", "rsa-sha256"),
    )
    assert told.properties[4][:2] == ("header", "b") and len(told.properties[4][2]) == 8


def test_signatures_beyond_the_limit_cost_nothing() -> None:
    ours = key("ed")
    strangers = [key("ed", f"d{n}.test") for n in range(30)]
    resolver = zone(ours, *strangers)
    mail = signed(signed(MAIL, ours), *strangers)
    results = verified(mail, resolver)
    assert len(results) == MAX_SIGNATURES == len(resolver.asked)
    assert (results[0].domain, set(words(results))) == (DOMAIN, {PASS})


def test_junk_in_the_field_has_no_names() -> None:
    (result,) = verified(b"DKIM-Signature: junk\r\n" + MAIL, FakeResolver())
    assert result == DkimResult(NEUTRAL, "not a signature of version 1")
    assert result.method_result().properties == ()


def test_a_large_body_is_hashed_beside_the_loop() -> None:
    signing = key("ed")
    mail = MAIL + b"a line of text \r\n" * 40_000
    assert one(signed(mail, signing), zone(signing))[0] == PASS
    assert one(signed(mail, signing) + b"x", zone(signing))[0] == FAIL


def test_signatures_that_want_to_be_dear_are_linear() -> None:
    for unit in (b"from:", b"x:", b" ", b"from:\r\n ", b"=40"):

        def read(value: bytes) -> object:
            field = fields.Field(
                b"dkim-signature", b"DKIM-Signature: v=1; a=rsa-sha256; b=AA==; bh=; " + value
            )
            try:
                return parse(field)
            except Unusable:
                return None

        assert_linear(lambda n, unit=unit: b"d=a.b; s=c; i=@a.b; h=from:" + unit * n + b"\r\n", read, 4_000)
    resolver = zone()
    for lines in (b"DKIM-Signature: v=1\r\n", b"DKIM-Signature: v=1;;\r\n From: x\r\n", b"From: x\r\n"):
        assert_linear(lambda n, lines=lines: lines * n + b"\r\n", lambda m: verified(m, resolver), 4_000)
