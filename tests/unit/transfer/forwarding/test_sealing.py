"""ARC sets on forwarded mail: made of what we found, of nothing that a stranger has written."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from a3mailer.mail.authresults import NONE, PASS, AuthResults, MethodResult, encode
from a3mailer.msgauth.sign import SigningKey
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.forwarding.sealing import sealed
from tests.unit.msgauth.test_arc import MAIL, NOW, key, validate, zone
from tests.unit.msgauth.test_arc import sealed as sealed_by_other

HOST = "mx.here.test"
RECEIVED = b"Received: from x by mx.here.test with ESMTP id 1;\r\n\tSun, 22 Nov 2026 10:00:00 +0000\r\n"
SPF = MethodResult("spf", PASS, "", (("smtp", "mailfrom", "carol@c.test"),))


def judged(mail: bytes, *results: MethodResult, host: str = HOST) -> bytes:
    """As it lies in the queue: what we found, our Received field, the mail as it came."""
    return encode(AuthResults(host, (SPF, *results))) + RECEIVED + mail


def seal(mail: bytes) -> bytes:
    made = sealed(mail, HOST, (key("here.test"),), NOW)
    assert made.endswith(mail)
    return made


def resolver(*others: str) -> FakeResolver:
    return zone("here.test", *others)


def test_a_forwarded_mail_gets_the_first_set() -> None:
    chain = validate(seal(judged(MAIL)), resolver())
    assert (chain.result, len(chain.sets)) == (PASS, 1)
    said = chain.sets[0].results
    assert said is not None
    assert (said.authserv_id, said.of("spf")) == (HOST, (SPF,))


def test_a_chain_that_passed_goes_on() -> None:
    mail = sealed_by_other(MAIL, "other.test", resolver("other.test"))
    chain = validate(seal(judged(mail, MethodResult("arc", PASS))), resolver("other.test"))
    assert [each.sealer for each in chain.sets] == ["other.test", "here.test"]
    assert (chain.result, chain.oldest_pass) == (PASS, 0)


@pytest.mark.parametrize(
    "mail",
    [
        RECEIVED + MAIL,
        MAIL,
        judged(MAIL, host="mx.evil.test"),
        RECEIVED + judged(MAIL),  # a field in our name that came with the mail
        RECEIVED + b"Authentication-Results: mx.here.test; arc=pass\r\n" + MAIL,
        judged(MAIL).replace(b"From:", b"Form:"),
        b"Authentication-Results: mx.here.test; ;;;\r\n" + RECEIVED + MAIL,
    ],
)
def test_what_we_have_not_judged_is_not_sealed(mail: bytes) -> None:
    assert seal(mail) == mail


@pytest.mark.parametrize("result", [None, NONE, "fail", "temperror"])
def test_a_chain_that_did_not_pass_when_it_came_stays_as_it_is(result: str | None) -> None:
    mail = sealed_by_other(MAIL, "other.test", resolver("other.test"))
    mail = judged(mail, *(() if result is None else (MethodResult("arc", result),)))
    assert seal(mail) == mail


def test_a_chain_that_lost_a_field_is_not_gone_on_with() -> None:
    mail = sealed_by_other(MAIL, "other.test", resolver("other.test"))
    cut = mail.replace(b"ARC-Message-Signature:", b"X-Message-Signature:")
    whole = judged(cut, MethodResult("arc", PASS))
    assert seal(whole) == whole


def test_only_rsa_keys_seal() -> None:
    ed = SigningKey("here.test", "e", Ed25519PrivateKey.generate())
    assert sealed(judged(MAIL), HOST, (ed,), NOW) == judged(MAIL)
    assert sealed(judged(MAIL), HOST, (), NOW) == judged(MAIL)
    assert b"s=s1" in sealed(judged(MAIL), HOST, (ed, key("here.test")), NOW)
