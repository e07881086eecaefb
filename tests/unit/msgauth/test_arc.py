"""ARC chains: the validation suite of ValiMail, what a seal of ours is to others, and row 18."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR, AuthResults, MethodResult
from a3mailer.msgauth import arc
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.seal import seal
from a3mailer.msgauth.sign import SigningKey
from a3mailer.testing.resolver import FakeResolver
from tests.growth import assert_linear
from tests.tree import ROOT

NAME = "arc-draft-validation-tests.yml"
SHARED = ROOT.parent / "shared" / "vectors" / "arc" / NAME
VECTORS = SHARED if SHARED.exists() else ROOT / "tests" / "vectors" / "arc" / NAME
ALL, KEPT = 171, 28
NOW = 1_795_000_000
MAIL = (
    b"Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\n"
    b"To: list@example.net\r\nSubject: hello\r\n\tagain \r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nHello  Bob,\r\n\r\nbye \r\n\r\n"
)
FOUND = (MethodResult("spf", PASS, "", (("smtp", "mailfrom", "alice@example.org"),)),)


def cases() -> Iterator[Any]:
    """(records, message, expected) of each case."""
    for document in yaml.safe_load_all(VECTORS.read_text("utf-8")):
        records = {name: text.encode() for name, text in (document["txt-records"] or {}).items()}
        for name, case in document["tests"].items():
            message = (case["message"] or "").replace("\n", "\r\n").encode()
            # an empty cv: is a chain that says of itself that it has failed
            expected = (case["cv"] or "").strip().lower() or FAIL
            yield pytest.param(records, message, expected, id=f"{name}-{len(message)}")


def validate(mail: bytes, resolver: FakeResolver) -> arc.Chain:
    header = read(mail)
    return asyncio.run(arc.validate(header, Bodies(mail, header.body), resolver))


def test_the_suite_is_there() -> None:
    assert len(list(cases())) == (ALL if VECTORS == SHARED else KEPT)


@pytest.mark.parametrize(("records", "message", "expected"), list(cases()))
def test_a_case_of_the_suite(records: dict[str, bytes], message: bytes, expected: str) -> None:
    resolver = FakeResolver()
    for name, text in records.items():
        resolver.put(name, "TXT", text)
    chain = validate(message, resolver)
    assert chain.result == expected, chain.reason
    assert bool(chain.reason) == (expected == FAIL)


def test_the_kept_copy_says_what_the_suite_says() -> None:
    if not SHARED.exists():
        assert VECTORS.exists()
        return
    kept = {
        name: (case["message"], case["cv"])
        for document in yaml.safe_load_all((ROOT / "tests" / "vectors" / "arc" / NAME).read_text("utf-8"))
        for name, case in document["tests"].items()
    }
    whole = [
        (name, (case["message"], case["cv"]))
        for document in yaml.safe_load_all(SHARED.read_text("utf-8"))
        for name, case in document["tests"].items()
    ]
    assert len(kept) == KEPT
    assert all((name, case) in whole for name, case in kept.items())


# --- seals of ours -------------------------------------------------------------------------------------


@functools.cache
def key(domain: str) -> SigningKey:
    return SigningKey(domain, "s1", rsa.generate_private_key(65537, 1024))


def zone(*domains: str) -> FakeResolver:
    resolver = FakeResolver()
    for domain in domains:
        public = key(domain).private.public_key()
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        resolver.put(f"s1._domainkey.{domain}", "TXT", b"v=DKIM1; p=" + base64.b64encode(octets))
    return resolver


def sealed(mail: bytes, domain: str, resolver: FakeResolver, *found: MethodResult) -> bytes:
    """The mail as ``domain`` hands it on, its set on top where it makes one."""
    header = read(mail)
    bodies = Bodies(mail, header.body)
    chain = asyncio.run(arc.validate(header, bodies, resolver))
    results = AuthResults(f"mx.{domain}", (chain.method_result(), *(found or FOUND)))
    return seal(header, bodies, chain, results, key(domain), NOW) + mail


def sealed_by(*domains: str, mail: bytes = MAIL) -> tuple[bytes, FakeResolver]:
    resolver = zone(*domains)
    for domain in domains:
        mail = b"Received: by " + domain.encode() + b"\r\n" + sealed(mail, domain, resolver)
    return mail, resolver


def test_a_chain_of_ours_passes_and_grows() -> None:
    mail, resolver = sealed_by("a.test", "b.test", "c.test")
    chain = validate(mail, resolver)
    assert (chain.result, chain.reason, chain.oldest_pass) == (PASS, "", 0)
    assert [each.sealer for each in chain.sets] == ["a.test", "b.test", "c.test"]
    assert [each.seal[b"cv"] for each in chain.sets] == [b"none", b"pass", b"pass"]
    assert chain.method_result("192.0.2.1") == MethodResult(
        "arc", PASS, "", (("smtp", "remote-ip", "192.0.2.1"), ("header", "oldest-pass", "0"),
                          ("header", "d", "c.test"), ("header", "s", "s1")),
    )  # fmt: skip
    assert max(map(len, mail.split(b"\r\n"))) <= 78
    said = chain.sets[0].results
    assert said is not None
    assert said.of("spf") == FOUND


def test_fifty_sets_are_a_chain_and_none_is_added() -> None:
    mail, resolver = MAIL, zone("a.test")
    for _ in range(50):
        mail = sealed(mail, "a.test", resolver)
    chain = validate(mail, resolver)
    assert (chain.result, len(chain.sets)) == (PASS, 50)
    assert sealed(mail, "a.test", resolver) == mail
    top = mail[: len(mail) - len(MAIL)]
    more = top.replace(b" i=50; ", b" i=51; ")[: top.index(b" i=49; ")] + mail
    assert validate(more, resolver).result == FAIL


@pytest.mark.parametrize(
    ("change", "oldest"),
    [
        ((b"Subject: hello", b"Subject: [list] hello"), None),
        ((b"bye", b"bye, and buy"), None),
        ((b"spf=pass", b"spf=fail"), None),
        ((b"cv=none", b"cv=pass"), None),
        ((b"From: Alice", b"From: Mallory"), None),
        ((b"Message-ID: <1@example.org>", b"Message-ID: <1@example.org>\r\nFrom: m@example.org"), None),
        ((b"Received: from a", b"Received: from x"), 0),
        ((b"i=2; a=rsa-sha256; cv", b"a=rsa-sha256; i=2; cv"), None),
    ],
)
def test_what_a_seal_covers_cannot_be_changed(change: tuple[bytes, bytes], oldest: int | None) -> None:
    mail, resolver = sealed_by("a.test", "b.test")
    assert change[0] in mail
    chain = validate(mail.replace(*change, 1), resolver)
    assert chain.result == (FAIL if oldest is None else PASS), chain.reason


def test_a_list_that_changes_the_mail_and_seals_it_is_the_oldest_pass() -> None:
    mail, resolver = sealed_by("a.test")
    changed = mail.replace(b"Subject: hello", b"Subject: [list] hello")
    resolver = zone("a.test", "b.test", "c.test")
    header = read(mail)
    chain = asyncio.run(arc.validate(header, Bodies(mail, header.body), resolver))
    new = read(changed)
    top = seal(new, Bodies(changed, new.body), chain, AuthResults("mx.b.test", FOUND), key("b.test"), NOW)
    after = sealed(top + changed, "c.test", resolver)
    assert validate(after, resolver).oldest_pass == 2


def test_nothing_is_sealed_after_a_failure() -> None:
    mail, resolver = sealed_by("a.test", "b.test")
    broken = mail.replace(b"bye", b"buy")
    assert sealed(broken, "b.test", resolver) == broken
    resolver.fail("s1._domainkey.b.test", "TXT")
    assert validate(mail, resolver).result == TEMPERROR
    assert sealed(mail, "b.test", resolver) == mail
    for odd in (MAIL.replace(b"From:", b"Form:"), MAIL.replace(b"To:", b"From:")):  # none, two
        assert sealed(odd, "b.test", zone("b.test")) == odd


def test_a_mail_without_a_chain_has_none() -> None:
    assert validate(MAIL, FakeResolver()).result == NONE
    assert validate(b"", FakeResolver()) == arc.Chain(NONE)


def test_a_signature_of_a_part_of_the_body_breaks_the_chain() -> None:
    mail, resolver = sealed_by("a.test")
    cut = mail.replace(b"c=relaxed/relaxed; ", b"c=relaxed/relaxed; l=1; ").replace(
        b"c=relaxed/relaxed;\r\n", b"c=relaxed/relaxed; l=1;\r\n"
    )
    assert cut != mail
    assert "part of the body" in validate(cut, resolver).reason


# --- row 18 --------------------------------------------------------------------------------------------


def test_row_18_a_chain_of_strangers_is_never_trusted() -> None:
    mail, resolver = sealed_by("evil.test")
    chain = validate(mail, resolver)
    assert chain.result == PASS
    assert arc.trusted(chain, ()) is None
    assert arc.trusted(chain, {"good.test"}) is None


def test_row_18_what_is_said_below_a_stranger_is_not_used() -> None:
    """Only an unbroken run of trusted sealers up to the newest vouches for what its lowest one saw."""
    mail, resolver = sealed_by("good.test", "evil.test", "fine.test", "good.test")
    chain = validate(mail, resolver)
    said = arc.trusted(chain, {"good.test", "fine.test"})
    assert said is not None
    assert said.authserv_id == "mx.fine.test"
    whole = arc.trusted(chain, {"good.test", "fine.test", "evil.test"})
    assert whole is not None
    assert whole.authserv_id == "mx.good.test"
    assert arc.trusted(chain, {"fine.test", "evil.test"}) is None


def test_row_18_a_trusted_chain_in_anothers_mail_is_worth_nothing() -> None:
    """Taken from a good mail and put on top of another one, or with the author left out of the signature."""
    mail, resolver = sealed_by("good.test")
    chain_only = mail[: mail.index(b"Received: from a")]
    other = b"From: ceo@bank.test\r\nSubject: pay\r\n\r\nnow\r\n"
    assert validate(chain_only + other, resolver).result == FAIL
    chain = validate(*sealed_by("good.test"))
    (only,) = chain.sets
    bare = arc.ArcSet(1, only.fields, {**only.signature, b"h": b"to:subject"}, only.seal)
    assert arc.trusted(chain, {"good.test"}) is not None
    assert arc.trusted(arc.Chain(PASS, "", (bare,)), {"good.test"}) is None


def test_row_18_lies_about_the_chain_before_are_seen() -> None:
    """A sealer that says pass after a failure, or none in the middle, breaks the chain."""
    mail, _ = sealed_by("a.test", "b.test")
    broken = mail.replace(b"bye", b"buy")
    header = read(broken)
    bodies = Bodies(broken, header.body)
    before = arc.Chain(PASS, "", arc.collect(header))
    lied = seal(header, bodies, before, AuthResults("mx.c.test", FOUND), key("c.test"), NOW) + broken
    found = validate(lied, zone("a.test", "b.test", "c.test"))
    assert found.result == PASS  # c answers for the mail as it is now ...
    assert found.oldest_pass == 3  # ... alone
    assert arc.trusted(found, {"a.test", "b.test"}) is None
    none = arc.Chain(NONE, "", arc.collect(header))
    lied = seal(header, bodies, none, AuthResults("mx.c.test", FOUND), key("c.test"), NOW) + broken
    assert validate(lied, zone("a.test", "b.test", "c.test")).result == FAIL


def test_row_18_a_chain_asks_for_each_key_once() -> None:
    mail, resolver = sealed_by(*["a.test"] * 5, "b.test")
    resolver.asked.clear()
    assert validate(mail, resolver).result == PASS
    assert len(resolver.asked) == 2


def test_bombs_of_sets_are_linear() -> None:
    def bomb(n: int) -> bytes:
        filler = b"".join(b"X-%d: %b\r\n" % (at, b" a" * 50) for at in range(n))
        many = b"".join(b"ARC-Seal: i=%d; cv=none; a=x; b=x; d=x; s=x\r\n" % (at % 50 + 1) for at in range(n))
        return filler + many + MAIL

    def run(mail: bytes) -> None:
        assert validate(mail, FakeResolver()).result == FAIL

    assert_linear(bomb, run, 500)


def test_long_names_and_fields_in_a_chain_are_linear() -> None:
    chain, resolver = sealed_by(*["a.test"] * 50)

    def bomb(n: int) -> bytes:
        return b"".join(b"Subject: %b\r\n" % (b"a  " * 30) for _ in range(n)) + chain

    def run(mail: bytes) -> None:
        assert validate(mail, resolver).result == FAIL  # the subject was oversigned

    assert_linear(bomb, run, 200)
