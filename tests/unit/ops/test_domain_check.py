"""domain check over a resolver that knows what it was told: green when all is there, a sentence when not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import dns.rdata
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import structs

from a3mailer.keys.selectors import key_text
from a3mailer.ops import domain_check
from a3mailer.ops.autoconfig import mozilla, pacc
from a3mailer.ops.autoconfig.services import offer
from a3mailer.ops.domain_check import (
    RELAYED_SECTIONS,
    SECTIONS,
    Examination,
    FetchFailed,
    Section,
    check,
    covers,
)
from a3mailer.ops.domain_records import Certificate, DomainRecord, Facts, records
from a3mailer.ops.record_state import DIFFERENT, MISSING, PUBLISHED, UNKNOWN, judge, look
from a3mailer.runtime.resolver import Answer, Mx, Record, Tlsa
from a3mailer.testing.resolver import FakeResolver

NOW = 1_800_000_000
DAY = 86400
ADDRESS = "203.0.113.9"  # of a documentation network, which is not global: tests say what they mean
PUBLIC = "9.9.9.9"
HOST = "mail.example.test"


def key() -> str:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return key_text(pem)


FACTS = Facts(
    domain="example.test",
    hostname=HOST,
    addresses=(PUBLIC,),
    dkim=(("a3-ed25519", key()),),
    keys=("ab" * 32, "cd" * 32),
    listeners={"smtp": 25, "submissions": 465, "submission": 587, "imap": 143, "imaps": 993, "https": 443},
    certificate=Certificate((HOST,), NOW - DAY, NOW + 90 * DAY, False),
)


def value(record: DomainRecord) -> Record:
    """What the stub resolver makes of a record."""
    data = dns.rdata.from_text("IN", record.kind, record.data)
    if record.kind == "MX":
        return Mx(data.preference, data.exchange.to_text(True))
    if record.kind == "TXT":
        return b"".join(data.strings)
    if record.kind == "TLSA":
        return Tlsa(data.usage, data.selector, data.mtype, data.cert)
    return str(data.to_text().rstrip("."))


class Resolver(FakeResolver):
    """Everything is published, and vouched for where ``vouched``."""

    def __init__(self, facts: Facts = FACTS, signed: bool = True) -> None:
        super().__init__()
        self.vouched = signed
        for record in records(facts):
            known = self.zone.setdefault((record.name, record.kind), [])
            assert isinstance(known, list)
            known.append(value(record))
        self.put("9.9.9.9.in-addr.arpa", "PTR", HOST)

    async def lookup(self, name: str, kind: str) -> Answer:
        return structs.replace(await super().lookup(name, kind), authentic=self.vouched)

    def text(self, name: str, *texts: str) -> None:
        self.put(name, "TXT", *(text.encode() for text in texts))


async def policy(address: str) -> bytes:
    offered = offer(FACTS.domain, FACTS.hostname, FACTS.listeners)
    if address == "https://autoconfig.example.test/mail/config-v1.1.xml":
        return mozilla.encode(offered)
    if address == "https://ua-auto-config.example.test/.well-known/user-agent-configuration.json":
        return pacc.encode(offered)
    return f"version: STSv1\r\nmode: enforce\r\nmx: {HOST}\r\nmax_age: 86400\r\n".encode()


async def sections(
    resolver: FakeResolver, facts: Facts = FACTS, fetch: object = policy, validator: str = "libunbound"
) -> dict[str, Section]:
    states = await look(facts, resolver)
    exam = Examination(facts, resolver, NOW, states, ("list.test",), fetch, validator)  # type: ignore[arg-type]
    found = await check(exam)
    of_all = RELAYED_SECTIONS if facts.relayed else SECTIONS
    assert [each.subject for each in found] == [subject for subject, _ in of_all]
    return {each.subject: each for each in found}


def said(section: Section) -> str:
    return " | ".join((*section.errors, *section.warnings, *section.not_checked))


async def test_what_is_all_published_is_all_good() -> None:
    found = await sections(Resolver())
    assert {name: said(each) for name, each in found.items() if said(each)} == {}
    assert not [each.instructions for each in found.values() if each.instructions]
    states = await look(FACTS, Resolver())
    assert {state.state for state in states} == {PUBLISHED}


async def test_of_a_relayed_domain_only_what_is_about_receiving_is_asked_for() -> None:
    facts = replace(FACTS, relayed="next.test:2525", verified=True)
    found = await sections(FakeResolver(), facts)
    assert {name for name, each in found.items() if each.errors} == {"mx", "address", "next server"}
    assert "next.test, has no address" in said(found["next server"])
    assert "--relay-to HOST" in found["next server"].instructions[0]
    resolver = Resolver(facts)
    resolver.put("next.test", "A", "10.0.0.7")
    assert not [each for each in (await sections(resolver, facts)).values() if said(each)]
    assert not said((await sections(resolver, replace(facts, relayed="10.0.0.7")))["next server"])
    resolver.put("next.test", "A", PUBLIC)
    assert not said((await sections(resolver, facts))["next server"])  # another port is somebody else
    everybody = await sections(resolver, replace(facts, accepts_all=True))
    assert "takes mail for everybody" in said(everybody["next server"])
    unasked = (await sections(resolver, replace(facts, verified=False)))["next server"]
    assert "policy.verify on" in unasked.instructions[0] and not unasked.errors
    for loop in ("next.test", PUBLIC, HOST):
        assert "loops" in said((await sections(resolver, replace(facts, relayed=loop)))["next server"])


async def test_a_backup_mx_needs_somebody_before_it() -> None:
    facts = replace(FACTS, relayed="mx", sts_mode="enforce")
    resolver = Resolver(facts)
    found = await sections(resolver, facts)
    assert "No MX of example.test comes before" in said(found["next server"])
    assert "serves no MTA-STS policy" in said(found["mta-sts"])
    resolver.put("example.test", "MX", Mx(20, HOST), Mx(30, "third.test"))
    assert found["next server"].errors
    resolver.put("example.test", "MX", Mx(20, HOST), Mx(10, "first.test"))
    found = await sections(resolver, facts)
    assert not found["next server"].errors and not said(found["mx"])


async def test_what_is_not_published_at_all_is_asked_for() -> None:
    found = await sections(FakeResolver())
    wrong = {name for name, each in found.items() if each.errors}
    assert wrong == {"mx", "address", "spf", "dkim", "dmarc"}
    assert {name for name, each in found.items() if each.warnings} >= {
        "tls-rpt",
        "mta-sts",
        "caa",
        "autoconfig",
    }
    assert found["mx"].instructions == (f"Publish: example.test. IN MX 10 {HOST}.",)
    assert {s.state for s in await look(FACTS, FakeResolver())} == {MISSING}


async def test_a_name_server_that_fails_is_neither_good_nor_bad() -> None:
    resolver = Resolver()
    for name, kind in list(resolver.zone):
        resolver.fail(name, kind)
    found = await sections(resolver)
    assert not [each for each in found.values() if each.errors]
    silent = {name for name, each in found.items() if each.not_checked}
    assert silent == {name for name, _ in SECTIONS} - {"certificate"}
    assert {s.state for s in await look(FACTS, resolver)} == {UNKNOWN}


@pytest.mark.parametrize(
    ("exchanges", "words"),
    [
        ([Mx(10, "mx.elsewhere.test")], "goes to mx.elsewhere.test, not to"),
        ([Mx(0, ".")], "null MX"),
        ([], "no MX record"),
    ],
)
async def test_mail_that_goes_elsewhere(exchanges: list[Mx], words: str) -> None:
    resolver = Resolver()
    resolver.put("example.test", "MX", *exchanges)
    found = (await sections(resolver))["mx"]
    assert words in said(found) and found.errors and found.instructions


async def test_several_mx_and_another_preference_are_good() -> None:
    resolver = Resolver()
    resolver.put("example.test", "MX", Mx(5, "backup.test"), Mx(20, HOST.upper()))
    assert not said((await sections(resolver))["mx"])
    resolver.put(HOST, "CNAME", "else.test")
    assert "alias" in said((await sections(resolver))["mx"])


@pytest.mark.parametrize(
    ("pointer", "words", "is_error"),
    [((), "no name (PTR record)", True), (("host-9.isp.test",), "not mail.example.test", False)],
)
async def test_the_name_of_an_address(pointer: tuple[str, ...], words: str, is_error: bool) -> None:
    resolver = Resolver()
    resolver.put("9.9.9.9.in-addr.arpa", "PTR", *pointer)
    found = (await sections(resolver))["address"]
    assert words in said(found) and bool(found.errors) is is_error and "PTR" in found.instructions[0]


async def test_an_address_nobody_can_reach() -> None:
    resolver = Resolver()
    resolver.put(HOST, "A", "192.168.1.2")
    found = (await sections(resolver))["address"]
    assert "no address the world can reach" in said(found) and f"has the address {PUBLIC}" in said(found)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("v=spf1 mx -all", "v=spf1 a -all"), "2 SPF records"),
        (("v=spf1 include:other.test -all",), f"says permerror of {PUBLIC}"),
        (("v=spf1 ip4:192.0.2.0/24 -all",), f"says fail of {PUBLIC}"),
        (("v=spf1 ip4:192.0.2.0/24 ~all",), "is this server in it?"),
        (("v=spf1 ip4:192.0.2.0/24",), "is this server in it?"),
        (("v=spf1 mx +all",), "lets everybody send"),
        (("site-verification=1",), "no SPF record"),
    ],
)
async def test_spf_that_does_not_name_us(texts: tuple[str, ...], words: str) -> None:
    resolver = Resolver()
    resolver.text("example.test", *texts)
    assert words in said((await sections(resolver))["spf"])
    states = {s.record.name: s.state for s in await look(FACTS, resolver) if s.record.subject == "spf"}
    assert states.pop("example.test") != PUBLISHED and set(states.values()) == {PUBLISHED}


async def test_spf_is_asked_and_not_compared() -> None:
    resolver = Resolver()
    for text in ("v=spf1 ip4:9.9.9.0/24 -all", "v=spf1 include:example.test.provider.test ?all"):
        resolver.text("example.test", text)
        resolver.text("example.test.provider.test", "v=spf1 a:mail.example.test -all")
        assert not said((await sections(resolver))["spf"])
        assert {s.state for s in await look(FACTS, resolver)} == {PUBLISHED}
    resolver.fail("example.test.provider.test", "TXT")
    found = (await sections(resolver))["spf"]
    assert "temperror" in found.not_checked[0] and not found.errors
    resolver = Resolver(relayed := replace(FACTS, relay="smart.test:25"))
    resolver.text("example.test", "v=spf1 ip4:9.9.9.0/24 -all")  # mail leaves from the smart host's address
    assert "is this server in it?" in said((await sections(resolver, relayed))["spf"])


async def test_a_list_that_has_every_address_says_nothing() -> None:
    resolver = Resolver()
    resolver.put("9.9.9.9.list.test", "A", "127.0.0.2")
    resolver.put("1.0.0.127.list.test", "A", "127.0.0.2")
    assert not said((await sections(resolver))["blocklists"])


async def test_spf_may_say_more_and_stand_among_other_texts() -> None:
    resolver = Resolver()
    resolver.text("x.test", "v=spf1 ip4:192.0.2.0/24 -all")
    resolver.text("example.test", "site-verification=1", "V=SPF1 include:x.test MX ~all")
    assert not said((await sections(resolver))["spf"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v=DKIM1; k=ed25519; p=", "revoked"),
        (key(), "not the one"),
        ("v=DKIM1; p=!", "malformed"),
        ("x", "not published"),
    ],
)
async def test_a_dkim_key_that_cannot_be_used(text: str, words: str) -> None:
    resolver = Resolver()
    resolver.text("a3-ed25519._domainkey.example.test", text)
    found = (await sections(resolver))["dkim"]
    assert words in said(found) and found.errors and FACTS.dkim[0][1] in found.instructions[0]


async def test_a_dkim_key_written_otherwise_is_the_same_key() -> None:
    resolver = Resolver()
    resolver.text("a3-ed25519._domainkey.example.test", FACTS.dkim[0][1].replace("; ", " ;\t") + "; t=s")
    assert not said((await sections(resolver))["dkim"])


@pytest.mark.parametrize(
    ("texts", "words", "is_error"),
    [
        (("v=DMARC1; p=none; rua=mailto:x@y.test",), "p=none", False),
        (("v=DMARC1;p=reject",), "no rua", False),
        (("v=DMARC1; p=reject; rua=https://y.test/",), "no address of mail", False),
        (("v=DMARC1; p=reject; rua=mailto:x@y.test",), "y.test does not say that it takes them", False),
        (("v=DMARC1; p=reject", "v=DMARC1; p=none"), "several", True),
        (("v=DMARC1; x",), "cannot be read", True),
        (("v=DMARC1; p=destroy",), "cannot be read", True),
        (("v=dmarc1; p=reject; rua=mailto:x@y.test",), "cannot be read", True),
        (("v=DMARC1; p=reject; t=y; rua=mailto:x@y.test",), "asks for nothing", False),
        ((), "no DMARC record", True),
    ],
)
async def test_dmarc(texts: tuple[str, ...], words: str, is_error: bool) -> None:
    resolver = Resolver()
    resolver.text("_dmarc.example.test", *texts)
    found = (await sections(resolver))["dmarc"]
    assert words in said(found) and bool(found.errors) is is_error


async def test_reports_go_to_who_takes_them() -> None:
    resolver = Resolver()
    resolver.text("_dmarc.example.test", "v=DMARC1; p=reject; rua=mailto:x@y.test,mailto:r@example.test")
    resolver.text("example.test._report._dmarc.y.test", "v=DMARC1")
    assert not said((await sections(resolver))["dmarc"])
    resolver.fail("example.test._report._dmarc.y.test", "TXT")
    found = (await sections(resolver))["dmarc"]
    assert found.not_checked == ("The name server did not answer for who takes the DMARC reports.",)


async def test_the_policy_is_fetched_and_read() -> None:
    async def down(_: str) -> bytes:
        raise FetchFailed("nobody listens")

    async def other(_: str) -> bytes:
        return (await policy(_)).replace(HOST.encode(), b"mx.elsewhere.test")

    async def nonsense(_: str) -> bytes:
        return b"<html>"

    for fetch, words in ((down, "nobody listens"), (other, "does not name"), (nonsense, "is no policy")):
        found = (await sections(Resolver(), fetch=fetch))["mta-sts"]
        assert words in said(found) and found.errors
    assert "not fetched" in said((await sections(Resolver(), fetch=None))["mta-sts"])


async def test_tlsa_counts_only_where_it_is_signed() -> None:
    other = Tlsa(3, 1, 1, b"\x01" * 32)
    name = f"_25._tcp.{HOST}"
    for signed, records_there, words, is_error in (
        (True, (other,), "cannot deliver", True),
        (False, (other,), "cannot deliver", False),
        (True, (), "within reach", False),
        (False, (Tlsa(3, 1, 1, bytes.fromhex("ab" * 32)),), "not vouched for", False),
    ):
        resolver = Resolver(signed=signed)
        resolver.put(name, "TLSA", *records_there)
        found = (await sections(resolver))["tlsa"]
        assert words in said(found) and bool(found.errors) is is_error and found.instructions
    resolver = Resolver(signed=False)
    resolver.put(name, "TLSA")
    assert not said((await sections(resolver))["tlsa"])


async def test_where_nobody_validates_it_is_not_known_whether_tlsa_counts() -> None:
    found = (await sections(Resolver(signed=False), validator="nobody: dns.dnssec is off"))["tlsa"]
    assert not (found.errors or found.warnings)
    assert found.not_checked == (
        "Whether DNSSEC vouches for it: answers are validated by nobody: dns.dnssec is off.",
    )


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (Certificate(("other.test",), NOW - 1, NOW + 90 * DAY, False), "not for mail.example.test"),
        (Certificate((HOST,), NOW - 9, NOW - 1, False), "has ended"),
        (Certificate((HOST,), NOW - 9, NOW + 3 * DAY, False), "ends in 3 days"),
        (Certificate((HOST,), NOW + 9, NOW + 90 * DAY, False), "is the clock right"),
        (Certificate((HOST,), NOW - 9, NOW + 90 * DAY, True), "self-signed"),
        (None, "No certificate"),
    ],
)
async def test_the_certificate(certificate: Certificate | None, words: str) -> None:
    found = (await sections(Resolver(), replace(FACTS, certificate=certificate)))["certificate"]
    assert words in said(found)


def test_a_wildcard_stands_for_one_label() -> None:
    assert covers("*.example.test", HOST) and covers("MAIL.example.test.", HOST)
    assert not covers("*.test", HOST) and not covers("example.test", HOST) and not covers("*", HOST)


async def test_caa_of_the_closest_name_decides() -> None:
    resolver = Resolver()
    resolver.put(HOST, "CAA")
    resolver.put("example.test", "CAA", '0 issue "other.test; x=1"', '0 iodef "mailto:a@b"')
    assert "allows other.test to issue" in said((await sections(resolver))["caa"])
    resolver.put("example.test", "CAA", '0 issue ";"')
    assert "allows nobody" in said((await sections(resolver))["caa"])
    resolver.put("example.test", "CAA", '0 issue "letsencrypt.org"')
    assert not said((await sections(resolver))["caa"])


async def test_blocklists() -> None:
    resolver = Resolver()
    resolver.put("9.9.9.9.list.test", "A", "127.0.0.2")
    found = (await sections(resolver))["blocklists"]
    assert f"{PUBLIC} is on the blocklist list.test" in said(found) and found.errors
    resolver.put("9.9.9.9.list.test", "A", "127.255.255.254")
    found = (await sections(resolver))["blocklists"]
    assert not found.errors and "does not answer the resolver" in said(found)
    resolver.fail("9.9.9.9.list.test", "A")
    assert "did not answer" in said((await sections(resolver))["blocklists"])
    resolver = Resolver()
    resolver.put(HOST, "A")
    resolver.put(HOST, "AAAA", "2620:fe::fe")
    found = (await sections(resolver))["blocklists"]
    assert ("e.f.0.0" + ".0" * 20 + ".e.f.0.0.0.2.6.2.list.test", "A") in resolver.asked


async def test_a_section_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Resolver):
        slow = False

        async def lookup(self, name: str, kind: str) -> Answer:
            if self.slow:
                await asyncio.sleep(60)
            return await super().lookup(name, kind)

    monkeypatch.setattr(domain_check, "SECTION_SECONDS", 0.0)
    resolver = Slow()
    states = await look(FACTS, resolver)
    resolver.slow = True
    exam = Examination(FACTS, resolver, NOW, states, ("list.test",), None)
    found = {each.subject: each for each in await check(exam)}
    assert "No answer within" in said(found["mx"])


@pytest.mark.parametrize(
    "octets", [b"\xff\x00", b"v=spf1", b"v=DMARC1", b"v=DKIM1", b"v=STSv1;", b"v=TLSRPTv1", b""]
)
def test_any_text_is_judged(octets: bytes) -> None:
    for record in (r for r in records(FACTS) if r.kind == "TXT"):
        assert judge(record, Answer(record.name, "TXT", (octets,))).state in (MISSING, DIFFERENT)


async def test_what_the_world_is_told_of_settings_is_fetched_and_compared() -> None:
    async def closed(_: str) -> bytes:
        raise FetchFailed("refused")

    found = (await sections(Resolver(), fetch=closed))["autoconfig"]
    assert (
        len(found.warnings) == 2 and "refused" in found.warnings[0] and "certificate" in found.instructions[0]
    )

    async def other(_: str) -> bytes:
        return b"<clientConfig/>"

    found = (await sections(Resolver(), fetch=other))["autoconfig"]
    assert len(found.warnings) == 2 and "who answers there" in found.warnings[1]
    resolver = Resolver()
    resolver.text("_ua-auto-config.example.test", "v=UAAC1; a=sha256; d=AAAA")
    found = (await sections(resolver))["autoconfig"]
    assert "d=AAAA, not as expected" in said(found) and "v=UAAC1; a=sha256; d=" in found.instructions[0]
