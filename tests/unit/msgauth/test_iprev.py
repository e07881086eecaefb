"""iprev: the name of an address leads back to it, or not, or nobody knows (RFC 8601 section 3)."""

import asyncio

import pytest

from a3mailer.mail.authresults import MethodResult
from a3mailer.msgauth.iprev import MAX_NAMES, check_iprev
from a3mailer.runtime.resolver import Answer
from a3mailer.testing.resolver import FakeResolver

IP, REVERSE = "192.0.2.9", "9.2.0.192.in-addr.arpa"


async def test_a_name_that_leads_back() -> None:
    resolver = FakeResolver()
    resolver.put(REVERSE, "PTR", "other.example.test", "Mail.Example.test.")
    resolver.put("other.example.test", "A", "192.0.2.1")
    resolver.put("mail.example.test", "A", "192.0.2.1", IP)
    found = await check_iprev(IP, resolver)
    assert (found.result, found.name) == ("pass", "mail.example.test")
    assert found.method_result() == MethodResult("iprev", "pass", "", (("policy", "iprev", IP),))
    assert found.sentence() == "192.0.2.9 is called mail.example.test, and that name leads back to it."


async def test_ipv6_and_ipv4_inside_it() -> None:
    resolver = FakeResolver()
    resolver.put("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "six.example.test")
    resolver.put("six.example.test", "AAAA", "2001:0db8:0::1")
    assert (await check_iprev("2001:db8::1", resolver)).result == "pass"
    resolver.put(REVERSE, "PTR", "four.example.test")
    resolver.put("four.example.test", "A", IP)
    assert (await check_iprev("::ffff:192.0.2.9", resolver)).result == "pass"


async def test_a_name_that_leads_elsewhere_or_nowhere() -> None:
    resolver = FakeResolver()
    resolver.put(REVERSE, "PTR", "mail.example.test")
    found = await check_iprev(IP, resolver)
    assert found.result == "fail"
    assert found.sentence().startswith("192.0.2.9 calls itself mail.example.test, but")
    resolver.put("mail.example.test", "A", "192.0.2.1")
    assert (await check_iprev(IP, resolver)).result == "fail"


@pytest.mark.parametrize("names", [(), (".",), ("",), ("a" * 64 + ".test",), ("a..b",)])
async def test_no_name_at_all_is_permanent(names: tuple[str, ...]) -> None:
    resolver = FakeResolver()
    resolver.put(REVERSE, "PTR", *names)
    found = await check_iprev(IP, resolver)
    assert (found.result, len(resolver.asked)) == ("permerror", 1)
    assert found.sentence() == "The name of 192.0.2.9 could not be confirmed: it has no name."


async def test_a_dns_that_fails_is_for_now() -> None:
    resolver = FakeResolver()
    resolver.fail(REVERSE, "PTR")
    assert (await check_iprev(IP, resolver)).result == "temperror"
    resolver.put(REVERSE, "PTR", "dead.example.test", "live.example.test")
    resolver.fail("dead.example.test", "A")
    assert (await check_iprev(IP, resolver)).result == "temperror"
    resolver.put("live.example.test", "A", IP)
    assert (await check_iprev(IP, resolver)).result == "pass"


async def test_ten_names_and_no_more() -> None:
    resolver = FakeResolver()
    resolver.put(REVERSE, "PTR", *(f"p{i}.example.test" for i in range(400)))
    resolver.put("p10.example.test", "A", IP)
    assert (await check_iprev(IP, resolver)).result == "fail"
    assert len(resolver.asked) == 1 + MAX_NAMES
    resolver.put("p9.example.test", "A", IP)
    assert (await check_iprev(IP, resolver)).result == "pass"


class Silent(FakeResolver):
    async def lookup(self, name: str, kind: str) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError(name, kind)


async def test_what_is_no_address() -> None:
    assert (await check_iprev("x", Silent())).result == "permerror"
