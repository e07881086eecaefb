"""All methods at once: what they tell of one mail, under one deadline, whatever the DNS does."""

import asyncio

import pytest

from a3mailer.mail.authresults import encode, parse
from a3mailer.msgauth.evaluate import LATE, MAX_HEADER, Evaluation, Evaluator, Incoming
from a3mailer.runtime.resolver import Answer
from a3mailer.testing.resolver import FakeResolver
from tests.fuzz import mutate
from tests.unit.msgauth.signed import NOW, key, record, signed

MAIL = (
    b"From: Alice <alice@example.org>\r\nTo: bob@a.test\r\nSubject: hello\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"
)
US = "mail.a.test"


def zone() -> FakeResolver:
    """example.org: everything published, mail from 192.0.2.7."""
    resolver = FakeResolver()
    resolver.put("example.org", "TXT", b"v=spf1 ip4:192.0.2.7 -all")
    resolver.put("mx.example.org", "TXT", b"v=spf1 a -all")
    resolver.put("mx.example.org", "A", "192.0.2.7")
    resolver.put("7.2.0.192.in-addr.arpa", "PTR", "mx.example.org")
    resolver.put("_dmarc.example.org", "TXT", b"v=DMARC1; p=reject")
    for name in ("ed", "rsa"):
        resolver.put(f"{name}._domainkey.example.org", "TXT", record(key(name, "example.org")))
    return resolver


async def look(
    octets: bytes,
    resolver: FakeResolver,
    *,
    ip: str = "192.0.2.7",
    sender: str = "alice@example.org",
    seconds: float = 5.0,
    trusted: tuple[str, ...] = (),
) -> Evaluation:
    incoming = Incoming(ip, "mx.example.org", sender, octets)
    return await Evaluator(resolver, US, trusted)(incoming, NOW, seconds)


def words(found: Evaluation) -> dict[str, str]:
    return {each.method: each.result for each in found.results.results}


async def test_a_mail_with_everything_right() -> None:
    found = await look(signed(MAIL, key("ed", "example.org")), zone())
    assert words(found) == {"iprev": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass"}
    (dmarc,) = found.results.of("dmarc")
    assert dmarc.value("header", "from") == "example.org"
    assert parse(encode(found.results).partition(b":")[2]) == found.results


@pytest.mark.parametrize("ip", ["192.0.2.7", "198.51.100.1", "2001:db8::1"])
@pytest.mark.parametrize("sender", ["alice@example.org", "", "x@nowhere.test"])
@pytest.mark.parametrize("signers", [(), ("ed",), ("rsa", "ed"), ("gone",)])
async def test_what_is_known_already_is_found_without_waiting(
    ip: str, sender: str, signers: tuple[str, ...]
) -> None:
    octets = signed(MAIL, *(key(name, "example.org") for name in signers)) if signers else MAIL
    cold, warm = zone(), zone()
    warm.warm = True
    found = await look(octets, warm, ip=ip, sender=sender)
    assert found == await look(octets, cold, ip=ip, sender=sender)
    assert set(warm.asked) == set(cold.asked)
    if len(signers) < 2:
        looking = look(octets, warm, ip=ip, sender=sender)
        with pytest.raises(StopIteration):
            looking.send(None)


async def test_what_failed_a_moment_ago_is_not_waited_for() -> None:
    warm = zone()
    warm.warm = True
    warm.fail("7.2.0.192.in-addr.arpa", "PTR")
    warm.fail("_dmarc.org", "TXT")
    found = await look(signed(MAIL, key("ed", "example.org")), warm)
    assert words(found) == {"iprev": "temperror", "spf": "pass", "dkim": "pass", "dmarc": "temperror"}


async def test_one_answer_that_is_not_known_takes_nothing_from_the_others() -> None:
    class Half(FakeResolver):
        def known(self, name: str, kind: str) -> Answer | None:
            return None if self.missing in (name, kind) else super().known(name, kind)

        missing = ""

    half = Half(zone().zone)
    half.warm = True
    mail = signed(MAIL, key("ed", "example.org"))
    for half.missing in ("PTR", "example.org", "A", "ed._domainkey.example.org", "_dmarc.example.org"):
        assert await look(mail, half) == await look(mail, zone()), half.missing


async def test_a_mail_of_somebody_else() -> None:
    found = await look(MAIL, zone(), ip="198.51.100.1")
    assert words(found) == {"iprev": "permerror", "spf": "fail", "dkim": "none", "dmarc": "fail"}
    assert found.dmarc.policy == "reject"
    (dmarc,) = found.results.of("dmarc")
    assert dmarc.value("policy", "dmarc") == "reject"


async def test_a_signature_alone_is_enough_and_so_is_spf() -> None:
    forwarded = await look(
        signed(MAIL, key("rsa", "example.org")), zone(), ip="198.51.100.1", sender="x@y.test"
    )
    assert (forwarded.dmarc.result, words(forwarded)["dkim"]) == ("pass", "pass")
    unsigned = await look(MAIL, zone())
    assert (unsigned.dmarc.result, words(unsigned)["dkim"]) == ("pass", "none")


async def test_somebody_elses_signature_and_sender_prove_nothing_of_the_author() -> None:
    resolver = zone()
    resolver.put("attack.test", "TXT", b"v=spf1 +all")
    resolver.put("ed._domainkey.attack.test", "TXT", record(key("ed", "attack.test")))
    found = await look(signed(MAIL, key("ed", "attack.test")), resolver, sender="x@attack.test")
    assert words(found)["spf"] == words(found)["dkim"] == "pass"
    assert words(found)["dmarc"] == "fail"


async def test_the_null_reverse_path_is_checked_as_the_name_of_the_client() -> None:
    found = await look(MAIL, zone(), sender="")
    (spf,) = found.results.of("spf")
    assert (spf.result, spf.value("smtp", "helo")) == ("pass", "mx.example.org")
    assert found.dmarc.result == "pass"
    # attack row 16: the name of the client is not the author's domain
    resolver = zone()
    resolver.put("mx.example.org", "TXT", b"v=spf1 -all")
    assert (await look(MAIL, resolver, sender="")).dmarc.result == "fail"


@pytest.mark.parametrize(
    "froms", [b"From: eve@attack.test\r\n", b"From : eve@attack.test\r\n", b"From: ;\r\n"]
)
async def test_a_second_from_field_fails_whatever_else_is_right(froms: bytes) -> None:
    found = await look(froms + signed(MAIL, key("ed", "example.org")), zone())
    assert words(found)["spf"] == "pass"
    assert (found.dmarc.result, found.dmarc.policy, found.dmarc.domain) == ("fail", "reject", "")


async def test_a_domain_without_a_record() -> None:
    resolver = zone()
    del resolver.zone["_dmarc.example.org", "TXT"]
    assert words(await look(MAIL, resolver))["dmarc"] == "none"


async def test_a_header_that_is_too_large_names_nobody() -> None:
    resolver = zone()
    found = await look(b"X: y\r\n" * (MAX_HEADER // 6 + 1) + MAIL, resolver)
    assert (words(found), found.dmarc.policy) == ({"dmarc": "fail"}, "reject")
    assert not resolver.asked


class Broken(FakeResolver):
    """Fails all questions."""

    async def lookup(self, name: str, kind: str) -> Answer:
        self.fail(name, kind)
        return await super().lookup(name, kind)


async def test_without_the_dns_everything_is_temperror() -> None:
    found = await look(signed(MAIL, key("ed", "example.org")), Broken())
    assert set(words(found).values()) == {"temperror"}
    assert found.dmarc.policy == "none"


class Silent(FakeResolver):
    """Never answers what is of the given types or names; the rest at once."""

    def __init__(self, known: FakeResolver, *silent: str) -> None:
        super().__init__(known.zone)
        self.silent = silent

    async def lookup(self, name: str, kind: str) -> Answer:
        if kind in self.silent or name in self.silent:
            await asyncio.Event().wait()
        return await super().lookup(name, kind)


async def test_a_silent_dns_costs_no_more_than_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    silent = Silent(FakeResolver(), "A", "AAAA", "MX", "PTR", "TXT")
    before = loop.time()
    found = await look(signed(MAIL, key("ed", "example.org")), silent, seconds=0.05)
    assert loop.time() - before < 30
    assert set(words(found).values()) == {"temperror"}
    assert found.results.of("dmarc")[0].reason == LATE


@pytest.mark.parametrize(
    ("silent", "result"),
    [
        ("PTR", "pass"),
        ("ed._domainkey.example.org", "pass"),
        ("_dmarc.example.org", "temperror"),
        ("_dmarc.org", "temperror"),
    ],
)
async def test_what_is_late_takes_nothing_from_what_is_known(silent: str, result: str) -> None:
    found = await look(signed(MAIL, key("ed", "example.org")), Silent(zone(), silent), seconds=0.05)
    assert found.dmarc.result == result
    assert found.dmarc.policy == "none"


async def test_a_late_signature_might_have_made_it_pass() -> None:
    late = Silent(zone(), "ed._domainkey.example.org")
    found = await look(signed(MAIL, key("ed", "example.org")), late, ip="198.51.100.1", seconds=0.05)
    assert (found.dmarc.result, found.dmarc.policy) == ("temperror", "none")


async def test_who_has_no_author_fails_even_without_the_dns() -> None:
    silent = Silent(FakeResolver(), "PTR", "TXT")
    found = await look(b"From: a@b.test\r\n" + MAIL, silent, seconds=0.05)
    assert (found.dmarc.result, found.dmarc.policy) == ("fail", "reject")


def test_any_octets_have_results(seed: int) -> None:
    evaluator = Evaluator(zone(), US)
    mails = (signed(MAIL, key("ed", "example.org")), MAIL, b"", b"\r\n", b"From: <>\r\n")
    loop = asyncio.new_event_loop()

    def target(octets: bytes) -> None:
        incoming = Incoming("192.0.2.7", "mx.example.org", "alice@example.org", octets)
        found = loop.run_until_complete(evaluator(incoming, NOW, 5.0))
        field = encode(found.results)
        assert field.count(b"\r\n") == field.count(b"\n")
        assert parse(field.partition(b":")[2]) is not None

    try:
        mutate.run(target, mails, count=1000, seed=seed)
    finally:
        loop.close()
