"""DMARC: tree walk, alignment, and what is asked of whom (RFC 9989 sections 4.4, 4.7, 4.10; RFC 7489)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import dmarc
from a3mailer.msgauth.author import Author, author
from a3mailer.msgauth.dmarc import DmarcResult, Identifier, names, walk
from a3mailer.msgauth.evaluate import method_result
from a3mailer.testing.resolver import FakeResolver


def zone(**records: str) -> FakeResolver:
    """``a__b="p=none"``: the DMARC record of a.b."""
    resolver = FakeResolver()
    for name, text in records.items():
        domain = name.replace("__", ".")
        resolver.put(f"_dmarc.{domain}", "TXT", f"v=DMARC1; {text}".encode())
    return resolver


def spf(domain: str, result: str = "pass") -> Identifier:
    return Identifier("spf", domain, result)


def dkim(domain: str, result: str = "pass") -> Identifier:
    return Identifier("dkim", domain, result)


async def judge(domain: str, resolver: FakeResolver, *identifiers: Identifier) -> DmarcResult:
    return await dmarc.evaluate(Author(domain), identifiers, resolver)


def test_a_walk_asks_for_eight_names_at_most() -> None:
    assert names("example") == ("example",)
    assert names("a.b.example") == ("a.b.example", "b.example", "example")
    # RFC 9989 section 4.10: the start, then upwards from seven labels
    assert names("a.b.c.d.e.f.g.h.i.j.mail.example.com") == (
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    )
    assert len(names("a.b.c.d.e.f.g.h")) == 8


@given(st.integers(1, 60))
def test_a_walk_of_any_depth(depth: int) -> None:
    domain = ".".join(f"l{n}" for n in range(depth))
    found = names(domain)
    assert len(found) == min(depth, dmarc.MAX_QUESTIONS)
    assert found[0] == domain
    assert all(one.endswith(f".{two}") for one, two in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("domain", "records", "organization"),
    [
        ("a.mail.example.com", {"example__com": "p=none"}, "example.com"),
        ("a.mail.example.com", {"com": "p=none; psd=y"}, "example.com"),
        ("a.mail.example.com", {"com": "p=none; psd=y", "mail__example__com": "p=none"}, "example.com"),
        ("a.mail.example.com", {"mail__example__com": "p=none; psd=n", "com": "p=none"}, "mail.example.com"),
        ("a.mail.example.com", {"a__mail__example__com": "p=none", "example__com": "p=none"}, "example.com"),
        ("a.mail.example.com", {"a__mail__example__com": "p=none; psd=n"}, "a.mail.example.com"),
        ("a.mail.example.com", {}, "a.mail.example.com"),
        ("example.com", {"example__com": "p=none; psd=y"}, "example.com"),
        ("example.co.uk", {"co__uk": "p=none; psd=y", "uk": "p=none"}, "example.co.uk"),
        ("co.uk", {"co__uk": "p=none; psd=y", "uk": "p=none"}, "co.uk"),
        ("co.uk", {"co__uk": "p=none; psd=y", "uk": "p=none; psd=n"}, "co.uk"),
        ("giant.bank.example", {"bank__example": "p=none; psd=y"}, "giant.bank.example"),
    ],
)
async def test_the_organizational_domain(domain: str, records: dict[str, str], organization: str) -> None:
    assert (await walk(domain, zone(**records))).organizational == organization


async def test_a_walk_stops_where_the_organization_is_known() -> None:
    resolver = zone(mail__example__com="p=none; psd=n")
    await walk("a.mail.example.com", resolver)
    assert [name for name, _ in resolver.asked] == ["_dmarc.a.mail.example.com", "_dmarc.mail.example.com"]
    resolver = zone(co__uk="p=none; psd=y")
    await walk("example.co.uk", resolver)
    assert [name for name, _ in resolver.asked] == ["_dmarc.example.co.uk", "_dmarc.co.uk"]


async def test_several_records_are_none_and_other_texts_are_passed_over() -> None:
    resolver = FakeResolver()
    resolver.put("_dmarc.two.example", "TXT", b"v=DMARC1; p=reject", b"v=DMARC1; p=none")
    resolver.put("_dmarc.one.example", "TXT", b"v=spf1 -all", b"v=DMARC1; p=reject", b"")
    assert (await judge("two.example", resolver)).result == "none"
    assert (await judge("one.example", resolver)).result == "fail"


@pytest.mark.parametrize(
    ("tags", "identifier", "result"),
    [
        ("p=reject", spf("example.com"), "pass"),
        ("p=reject", dkim("example.com"), "pass"),
        ("p=reject", spf("EXAMPLE.com"), "pass"),
        ("p=reject", spf("bounces.example.com"), "pass"),
        ("p=reject", dkim("a.b.example.com"), "pass"),
        ("p=reject; aspf=s", spf("bounces.example.com"), "fail"),
        ("p=reject; adkim=s", dkim("a.example.com"), "fail"),
        ("p=reject; aspf=s", dkim("a.example.com"), "pass"),
        ("p=reject; adkim=s", spf("a.example.com"), "pass"),
        ("p=reject; aspf=s; adkim=s", spf("example.com"), "pass"),
        ("p=reject", spf("example.com", "softfail"), "fail"),
        ("p=reject", dkim("example.com", "policy"), "fail"),
        ("p=reject", spf("com"), "fail"),
        ("p=reject", spf("notexample.com"), "fail"),
        ("p=reject", spf("example.com.attack.example"), "fail"),
        # attack row 16: domains of other parsers
        ("p=reject", dkim("example.com\0.attack.example"), "fail"),
        ("p=reject", dkim("example.com."), "fail"),
        ("p=reject", dkim(".example.com"), "fail"),
        ("p=reject", dkim("x..example.com"), "fail"),
        ("p=reject", spf("attack.example(.example.com"), "fail"),
        ("p=reject", spf("attack.example'.example.com"), "fail"),
        ("p=reject", spf('attack.example".example.com'), "fail"),
        ("p=reject", spf("attack.example,.example.com"), "fail"),
        ("p=reject", spf("attack.example\\.example.com"), "fail"),
        ("p=reject", spf(""), "fail"),
        ("p=reject", dkim("example.com", "temperror"), "temperror"),
        ("p=reject", spf("mail.example.com", "temperror"), "temperror"),
        ("p=reject", spf("attack.example", "temperror"), "fail"),
    ],
)
async def test_alignment(tags: str, identifier: Identifier, result: str) -> None:
    found = await judge("example.com", zone(example__com=tags), identifier)
    assert found.result == result
    assert found.policy == ("reject" if result == "fail" else "none")
    assert (found.aligned == identifier) is (result != "fail")


async def test_a_subdomain_with_an_organization_of_its_own_is_not_aligned() -> None:
    resolver = zone(example__com="p=reject", customer__example__com="p=none; psd=n")
    assert (await judge("example.com", resolver, spf("customer.example.com"))).result == "fail"
    assert (await judge("customer.example.com", resolver, spf("example.com"))).result == "fail"
    assert (await judge("www.customer.example.com", resolver, spf("customer.example.com"))).result == "pass"
    # siblings below a public suffix
    resolver = zone(co__uk="p=none; psd=y", one__co__uk="p=reject")
    assert (await judge("one.co.uk", resolver, spf("two.co.uk"))).result == "fail"
    assert (await judge("a.one.co.uk", resolver, spf("b.one.co.uk"))).result == "pass"


@pytest.mark.parametrize(
    ("domain", "policy"), [("a.test", "reject"), ("sub.a.test", "quarantine"), ("b.test", None)]
)
async def test_a_pass_says_what_would_have_been_asked(domain: str, policy: str | None) -> None:
    resolver = zone(a__test="p=reject; sp=quarantine", b__test="p=none")
    found = await judge(domain, resolver, dkim(domain))
    assert (found.result, found.policy) == ("pass", "none")
    assert method_result(found).value("policy", "dmarc") == policy


async def test_a_pass_is_found_among_many_and_before_what_could_not_be_checked() -> None:
    many = [dkim(f"x{n}.example") for n in range(8)] + [dkim("example.com", "temperror"), dkim("example.com")]
    found = await judge("example.com", zone(example__com="p=reject"), *many)
    assert (found.result, found.aligned) == ("pass", dkim("example.com"))


@pytest.mark.parametrize(
    ("domain", "records", "policy"),
    [
        ("example.com", {"example__com": "p=quarantine; sp=reject"}, "quarantine"),
        ("www.example.com", {"example__com": "p=quarantine; sp=reject"}, "reject"),
        ("www.example.com", {"example__com": "p=quarantine"}, "quarantine"),
        ("www.example.com", {"example__com": "p=none; sp=none; np=reject"}, "none"),
        ("gone.example.com", {"example__com": "p=none; sp=quarantine; np=reject"}, "reject"),
        ("gone.example.com", {"example__com": "p=none; np=reject"}, "reject"),
        ("www.example.com", {"www__example__com": "p=none", "example__com": "p=reject"}, "none"),
        ("www.example.com", {"www__example__com": "p=reject; sp=none", "example__com": "p=none"}, "reject"),
        # only the author's, the organization's or the suffix's record counts, not one between
        ("a.b.example.com", {"b__example__com": "p=reject", "example__com": "p=none"}, "none"),
        ("example.co.uk", {"co__uk": "p=none; sp=quarantine; psd=y"}, "quarantine"),
        ("gone.co.uk", {"co__uk": "p=none; np=reject; psd=y"}, "reject"),
        ("example.com", {"example__com": "p=reject; t=y"}, "quarantine"),
        ("example.com", {"example__com": "p=quarantine; t=y"}, "none"),
        ("example.com", {"example__com": "p=none; t=y"}, "none"),
        ("example.com", {"example__com": "p=reject; pct=99"}, "quarantine"),
        ("gone.example.com", {"example__com": "p=none; np=reject; t=y"}, "quarantine"),
        ("example.com", {"example__com": "sp=reject; rua=mailto:a@b.example"}, "none"),
    ],
)
async def test_what_is_asked_for_a_mail_that_fails(domain: str, records: dict[str, str], policy: str) -> None:
    resolver = zone(**records)
    for name in ("www.example.com", "a.b.example.com", "example.co.uk"):
        resolver.put(name, "A", "192.0.2.1")
    found = await judge(domain, resolver, spf("attack.example"))
    assert (found.result, found.policy) == ("fail", policy)


@pytest.mark.parametrize("domain", ["example.com", "a.b.c.d.e.f.g.h.i.j.example.com"])
async def test_no_record_is_none(domain: str) -> None:
    resolver = FakeResolver()
    assert await judge(domain, resolver, spf(domain)) == DmarcResult("none", domain)
    assert len(resolver.asked) <= dmarc.MAX_QUESTIONS


async def test_a_record_without_a_policy_is_permerror() -> None:
    found = await judge("example.com", zone(example__com="p=destroy"), spf("example.com"))
    assert (found.result, found.policy, found.found_at) == ("permerror", "none", "example.com")


@pytest.mark.parametrize("name", ["_dmarc.www.example.com", "_dmarc.com", "_dmarc.bounces.example.com"])
async def test_a_dns_failure_anywhere_is_temperror_and_asks_for_nothing(name: str) -> None:
    resolver = zone(example__com="p=reject")
    resolver.fail(name, "TXT")
    found = await judge("www.example.com", resolver, spf("bounces.example.com"))
    assert (found.result, found.policy, found.domain) == ("temperror", "none", "www.example.com")
    assert found.reason


async def test_a_failure_while_asking_whether_a_name_exists_is_temperror() -> None:
    resolver = zone(example__com="p=none; np=reject")
    resolver.fail("gone.example.com", "A")
    assert (await judge("gone.example.com", resolver)).result == "temperror"


async def test_who_has_no_author_domain_fails_without_any_question() -> None:
    resolver = zone(legit__example="p=none")
    header = b"From: a@attack.example\r\nFrom: b@legit.example\r\n\r\n"
    found = await dmarc.evaluate(author(header), [spf("legit.example"), dkim("attack.example")], resolver)
    assert (found.result, found.policy, found.reason) == ("fail", "reject", "2 From fields")
    assert not resolver.asked
