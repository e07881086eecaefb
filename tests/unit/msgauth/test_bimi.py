"""BIMI: whose record counts, what it says, and when nobody asks for it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from a3mailer.mail.authresults import MethodResult
from a3mailer.msgauth import bimi, dmarc_record
from a3mailer.msgauth.bimi import DECLINED, SKIPPED, Assertion, find, look, parse_record, parse_selector
from a3mailer.msgauth.dkim import DkimResult
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.fields import Header, read
from a3mailer.testing.resolver import FakeResolver

LOGO = "https://a.test/logo.svg"
RECORD = f"v=BIMI1; l={LOGO}; a=https://a.test/vmc.pem".encode()


def passed(
    text: bytes, domain: str = "a.test", found_at: str = "a.test", result: str = "pass"
) -> DmarcResult:
    return DmarcResult(
        result, domain, record=dmarc_record.parse(text), found_at=found_at, organizational="a.test"
    )


def resolver(**texts: bytes) -> FakeResolver:
    made = FakeResolver()
    for name, text in texts.items():
        made.put(f"{name.replace('__', '.')}._bimi.a.test", "TXT", text)
    return made


async def test_the_picture_of_a_mail_that_passes() -> None:
    found = await look(passed(b"v=DMARC1; p=reject"), "default", resolver(default=RECORD))
    assert (found.result, found.domain, found.reason) == ("pass", "a.test", "")
    assert found.assertion == Assertion(LOGO, "https://a.test/vmc.pem")


@pytest.mark.parametrize(
    ("record", "found_at", "domain", "words"),
    [
        (b"v=DMARC1; p=none", "a.test", "a.test", "p=none"),
        (b"v=DMARC1; p=reject; sp=none", "a.test", "a.test", "sp=none"),
        (b"v=DMARC1; p=reject; sp=none", "a.test", "b.a.test", "p=none"),
        (b"v=DMARC1; p=none; sp=reject", "a.test", "b.a.test", "p=none"),
        (b"v=DMARC1; p=reject; t=y", "a.test", "a.test", "tested"),
        (b"v=DMARC1; p=quarantine; pct=99", "a.test", "a.test", "tested"),
    ],
)
async def test_a_policy_that_is_not_in_force(record: bytes, found_at: str, domain: str, words: str) -> None:
    found = await look(passed(record, domain, found_at), "default", resolver(default=RECORD))
    assert found.result == SKIPPED and words in found.reason and found.assertion is None


@pytest.mark.parametrize("result", ["fail", "none", "temperror", "permerror"])
async def test_without_dmarc_nobody_asks(result: str) -> None:
    asked = resolver()
    found = await look(passed(b"v=DMARC1; p=reject", result=result), "default", asked)
    assert found.result == SKIPPED and "does not pass" in found.reason


async def test_a_subdomain_has_its_own_or_that_of_its_organization() -> None:
    world = resolver(default=RECORD)
    found = await find("b.a.test", "a.test", "default", world)
    assert (found.result, found.domain) == ("pass", "a.test")
    world.put("default._bimi.b.a.test", "TXT", b"v=BIMI1; l=; a=")
    found = await find("b.a.test", "a.test", "default", world)
    assert (found.result, found.domain) == (DECLINED, "b.a.test")
    assert (await find("c.test", "", "default", world)).result == "none"


async def test_other_texts_do_not_count_and_two_records_are_none() -> None:
    world = FakeResolver()
    world.put("x._bimi.a.test", "TXT", b"v=spf1 -all", b"v=BIMI2; l=", RECORD)
    assert (await find("a.test", "a.test", "x", world)).result == "pass"
    world.put("x._bimi.a.test", "TXT", RECORD, RECORD)
    assert "several" in (await find("a.test", "a.test", "x", world)).reason
    world.put("x._bimi.a.test", "TXT", b"v=BIMI1; l=http://a.test/x.svg")
    found = await find("a.test", "a.test", "x", world)
    assert found.result == "fail" and "no https address" in found.reason
    world.fail("x._bimi.a.test", "TXT")
    assert (await find("a.test", "a.test", "x", world)).result == "temperror"


@pytest.mark.parametrize(
    ("text", "location", "authority"),
    [
        (b"v=BIMI1; l=HTTPS://a.test/x", "HTTPS://a.test/x", ""),
        (b"v=BIMI1;a=https://a.test/m.pem;", "", "https://a.test/m.pem"),
        (b"v=BIMI1; l=https://a.test/x; a=self; avp=brand; unknown=1", "https://a.test/x", ""),
    ],
)
def test_records(text: bytes, location: str, authority: str) -> None:
    assert parse_record(text) == Assertion(location, authority)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"l=https://a.test/x; v=BIMI1", b"v=bimi1; l=", b"v=BIMI1", b"v=BIMI1; avp=brand",
        b"v=BIMI1; l=https://a.test/x; l=https://b.test/x", b"v=BIMI1; l=ftp://a.test",
        b"v=BIMI1; l=https://\xc3\xa4.test/x", b"v=BIMI1; l=https://a.test/" + b"x" * 3000,
        b"v=BIMI1; l" * 99,
    ],
)  # fmt: skip
def test_no_records(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|neither|no https"):
        parse_record(text)


def test_a_mail_names_its_selector() -> None:
    assert parse_selector((b"v=BIMI1; s=Brand-2",)) == "brand-2"
    assert parse_selector((b" v=BIMI1;\r\n s=a.b ;",)) == "a.b"
    for bad in (
        b"s=x",
        b"v=BIMI1",
        b"v=BIMI1; s=",
        b"v=BIMI1; s=a..b",
        b"v=BIMI1; s=a b/",
        b"v=BIMI1; s=" + b"x" * 64,
    ):
        assert parse_selector((bad,)) == bimi.DEFAULT
    assert parse_selector(()) == parse_selector((b"v=BIMI1; s=x",) * 2) == bimi.DEFAULT


SIGNED = b"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=one; h=%s; bh=YWFh; b=YWJjZGVmZ2hpams=\r\n"
PROVED = DkimResult("pass", domain="a.test", selector="one", told="YWJjZGVm")


def header(*fields: bytes, author: bytes = b"News <shop.news+7@a.test>") -> Header:
    return read(b"".join((b"From: " + author + b"\r\n", *fields, b"\r\nbody\r\n")))


NAMED = b"BIMI-Selector: v=BIMI1; s=spring\r\n"


@pytest.mark.parametrize(
    ("fields", "proofs", "selector"),
    [
        ((NAMED, SIGNED % b"from:bimi-selector"), (PROVED,), "spring"),
        ((NAMED, SIGNED % b"from"), (PROVED,), "default"),
        ((NAMED,), (), "default"),
        ((NAMED, SIGNED % b"from:bimi-selector"), (), "default"),
        ((NAMED, NAMED, SIGNED % b"from:bimi-selector"), (PROVED,), "default"),
        ((NAMED, SIGNED % b"from:bimi-selector"), (replace(PROVED, result="fail"),), "default"),
        ((NAMED, SIGNED % b"from:bimi-selector"), (replace(PROVED, domain="b.test"),), "default"),
        # a second field that looks as the one that passes: which of them passed, nobody can say
        ((NAMED, SIGNED % b"from:bimi-selector", SIGNED % b"from"), (PROVED,), "default"),
        ((b"BIMI-Selector: s=spring; v=BIMI1\r\n", SIGNED % b"from:bimi-selector"), (PROVED,), "default"),
    ],
)
def test_a_selector_counts_where_the_author_has_signed_it(
    fields: tuple[bytes, ...], proofs: tuple[DkimResult, ...], selector: str
) -> None:
    assert bimi.selector_of(header(*fields), passed(b"v=DMARC1; p=reject"), proofs) == selector


async def test_a_mail_with_its_selector() -> None:
    asked = resolver(spring=RECORD)
    mail = header(NAMED, SIGNED % b"from:bimi-selector")
    found = await bimi.of_mail(mail, passed(b"v=DMARC1; p=reject"), (PROVED,), asked)
    assert found.method_result() == MethodResult(
        "bimi",
        "pass",
        "",
        (("header", "d", "a.test"), ("header", "selector", "spring"), ("policy", "authority", "none")),
    )


async def test_two_authors_have_no_picture() -> None:
    mail = header(author=b"x@a.test,\r\n y@a.test")
    found = await bimi.of_mail(mail, passed(b"v=DMARC1; p=reject"), (), resolver(default=RECORD))
    assert (found.result, found.reason) == (SKIPPED, "more than one author")
    assert found.method_result().properties == ()


async def test_the_organization_has_to_mean_it_too() -> None:
    asked = resolver(default=RECORD)
    asked.put("_dmarc.a.test", "TXT", b"v=DMARC1; p=none")
    asked.put("default._bimi.b.a.test", "TXT", RECORD)
    below = passed(b"v=DMARC1; p=reject", "b.a.test", "b.a.test")
    found = await look(below, "default", asked)
    assert (found.result, found.reason) == (SKIPPED, "a.test: DMARC asks for nothing (p=none)")
    asked.put("_dmarc.a.test", "TXT", b"v=DMARC1; p=quarantine")
    assert (await look(below, "default", asked)).result == "pass"
    asked.fail("_dmarc.a.test", "TXT")
    assert (await look(below, "default", asked)).result == "temperror"


BY_NAME = b"v=BIMI1; l=; lps=true"


@pytest.mark.parametrize(
    ("record", "own", "selector", "result"),
    [
        (BY_NAME, RECORD, "shop-news", "pass"),
        (BY_NAME, b"v=BIMI1; l=http://a.test/", "default", DECLINED),
        (BY_NAME, b"v=spf1 -all", "default", DECLINED),
        (b"v=BIMI1; l=; lps=True", RECORD, "default", DECLINED),
        (RECORD, b"v=BIMI1; l=", "default", "pass"),
    ],
)
async def test_a_record_may_go_by_the_local_part(
    record: bytes, own: bytes, selector: str, result: str
) -> None:
    asked = resolver(default=record)
    asked.put("shop-news._bimi.a.test", "TXT", own)
    found = await bimi.of_mail(header(), passed(b"v=DMARC1; p=reject"), (), asked)
    assert (found.selector, found.result) == (selector, result)


@pytest.mark.parametrize(
    ("local_part", "selector"),
    [
        ("Shop", "shop"),
        ("_a..b-_c_+x", "a-b-c"),
        ("\u00e9", ""),
        ("+x", ""),
        ("a" * 64, ""),
        ("a b", ""),
    ],
)
def test_a_local_part_as_selector(local_part: str, selector: str) -> None:
    assert bimi.local_selector(local_part.encode()) == selector


def test_an_address_that_cannot_be_printed_is_none() -> None:
    with pytest.raises(ValueError, match="no https address"):
        parse_record("v=BIMI1; l=https://a.test/\u00e9".encode())


LOCATION = b"BIMI-Location: v=BIMI1; l=https://evil.test/x.svg\r\n"


@pytest.mark.parametrize(
    "field",
    [
        LOCATION,
        b"bimi-indicator : PHN2Zz4=\r\n\tPHN2Zz4=\r\n",
        b"BIMI-Logo-Preference: avp=brand\r\n",
        b"BiMi-LoCaTiOn\t:\r\n v=BIMI1\r\n",
        b"BIMI-Indicator:\n x\n",
    ],
)
def test_what_strangers_say_is_shown_is_taken_away(field: bytes) -> None:
    first, last = b"From: x@a.test\r\nX-BIMI-Location: y\r\n", b"BIMI-Selector: v=BIMI1; s=x\r\n\r\n"
    assert bimi.strip(field + first + field + field + last) == first + last
    assert bimi.strip(first + field) == first
    same = first + last
    assert bimi.strip(same) is same
