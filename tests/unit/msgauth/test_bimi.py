"""BIMI: whose record counts, what it says, and when nobody asks for it."""

from __future__ import annotations

import pytest

from a3mailer.msgauth import bimi, dmarc_record
from a3mailer.msgauth.bimi import DECLINED, SKIPPED, Assertion, find, look, parse_record, parse_selector
from a3mailer.msgauth.dmarc import DmarcResult
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
