"""Where TLSA records count (RFC 7672 section 2.2): only at the end of a way that is validated throughout."""

from __future__ import annotations

import random

import pytest

from a3mailer.mail.tls import TlsLevel
from a3mailer.runtime.resolver import Mx, Tlsa
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.relay.destinations.dane import dane_plan
from a3mailer.transfer.relay.destinations.mx import Host, NoRoute, Ourselves, hosts_of, smart_host

RECORD = Tlsa(3, 1, 1, bytes(32))
MX = Host("mx.b.test", 25, authentic=True)
US = Ourselves(frozenset(("us.test",)), frozenset(), 25)


def zone(*signed: str) -> FakeResolver:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", Mx(10, "mx.b.test"))
    resolver.put("mx.b.test", "A", "192.0.2.1")
    resolver.put("_25._tcp.mx.b.test", "TLSA", RECORD)
    resolver.signed = set(signed)
    return resolver


async def test_a_signed_way_demands_what_the_records_say() -> None:
    plan = await dane_plan(MX, "b.test", zone("b.test"))
    assert plan is not None
    assert (plan.level, plan.server_name, plan.policy_domain) == (TlsLevel.DANE, "mx.b.test", "b.test")
    assert plan.names == ("mx.b.test", "b.test")


async def test_a_certificate_may_be_for_what_the_domain_is_an_alias_of() -> None:
    resolver = zone("b.test")
    resolver.aliases["www.b.test"] = "b.test"
    (host,) = await hosts_of("www.b.test", resolver, US, 25, random.Random(1))
    plan = await dane_plan(host, "www.b.test", resolver)
    assert plan is not None and plan.names == ("mx.b.test", "www.b.test", "b.test")


async def test_the_port_is_the_one_that_is_dialled() -> None:
    resolver = zone("b.test")
    assert await dane_plan(Host("mx.b.test", 2525, authentic=True), "b.test", resolver) is None
    assert ("_2525._tcp.mx.b.test", "TLSA") in resolver.asked


async def test_hosts_are_as_authentic_as_the_answer_that_names_them() -> None:
    for signed, authentic in ((("b.test",), True), ((), False)):
        hosts = await hosts_of("b.test", zone(*signed), US, 25, random.Random(1))
        assert [host.authentic for host in hosts] == [authentic]
        lonely = await hosts_of("mx.b.test", zone(*signed), US, 25, random.Random(1))
        assert [(host.name, host.authentic) for host in lonely] == [("mx.b.test", authentic)]
    assert smart_host("relay.test:587", 25).authentic
    assert not (await hosts_of("[192.0.2.1]", zone("b.test"), US, 25, random.Random(1)))[0].authentic


@pytest.mark.parametrize("host", [Host("mx.b.test", 25), Host("192.0.2.1", 25, authentic=True)])
async def test_an_unsigned_mx_or_an_address_has_no_dane_and_is_not_asked_about(host: Host) -> None:
    resolver = zone("b.test")
    assert await dane_plan(host, "b.test", resolver) is None
    assert resolver.asked == []


async def test_records_of_a_host_with_unsigned_addresses_are_not_asked_for() -> None:
    resolver = zone("c.test")
    assert await dane_plan(MX, "b.test", resolver) is None
    assert {kind for _, kind in resolver.asked} == {"A", "AAAA"}


async def test_unsigned_or_missing_records_demand_nothing() -> None:
    resolver = zone("mx.b.test")
    resolver.signed = {"mx.b.test"}
    resolver.zone.pop(("_25._tcp.mx.b.test", "TLSA"))
    assert await dane_plan(MX, "b.test", resolver) is None


async def test_unusable_records_demand_tls() -> None:
    resolver = zone("b.test")
    resolver.put("_25._tcp.mx.b.test", "TLSA", Tlsa(1, 1, 1, bytes(32)))
    plan = await dane_plan(MX, "b.test", resolver)
    assert plan is not None and plan.level is TlsLevel.MUST


async def test_row_5_a_question_that_fails_makes_the_host_unusable() -> None:
    resolver = zone("b.test")
    resolver.fail("_25._tcp.mx.b.test", "TLSA")
    with pytest.raises(NoRoute) as caught:
        await dane_plan(MX, "b.test", resolver)
    assert not caught.value.permanent
    resolver = zone("b.test")
    resolver.fail("mx.b.test", "A")
    with pytest.raises(NoRoute):
        await dane_plan(MX, "b.test", resolver)


async def test_one_family_that_fails_leaves_the_demand() -> None:
    resolver = zone("b.test")
    resolver.fail("mx.b.test", "AAAA")
    assert await dane_plan(MX, "b.test", resolver) is not None


async def test_a_signed_alias_is_followed_and_else_the_first_name_counts() -> None:
    resolver = zone("b.test", "c.test")
    resolver.aliases["mx.b.test"] = "host.c.test"
    resolver.put("host.c.test", "A", "192.0.2.1")
    resolver.put("_25._tcp.host.c.test", "TLSA", RECORD)
    plan = await dane_plan(MX, "b.test", resolver)
    assert plan is not None
    assert (plan.server_name, plan.names) == ("host.c.test", ("host.c.test", "mx.b.test", "b.test"))
    resolver.put("_25._tcp.host.c.test", "TLSA")
    plan = await dane_plan(MX, "b.test", resolver)
    assert plan is not None and plan.server_name == "mx.b.test"


async def test_of_a_signed_alias_to_an_unsigned_host_the_first_name_counts() -> None:
    resolver = zone("b.test")
    resolver.aliases["mx.b.test"] = "host.c.test"
    resolver.put("host.c.test", "A", "192.0.2.1")
    plan = await dane_plan(MX, "b.test", resolver)
    assert plan is not None and plan.server_name == "mx.b.test"
    resolver.signed = set()
    assert await dane_plan(MX, "b.test", resolver) is None
