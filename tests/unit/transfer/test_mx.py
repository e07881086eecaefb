"""Which hosts take a domain's mail: preferences, fall-back, null MX, and never ourselves (rows 9 and 15)."""

import random

import pytest

from a3mailer.config.tree import Server, Settings
from a3mailer.runtime.resolver import Mx
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.relay.destinations.mx import (
    MAX_ADDRESSES,
    MAX_HOSTS,
    Host,
    NoRoute,
    addresses_of,
    hosts_of,
    smart_host,
)
from a3mailer.transfer.relay.relay import ourselves

US = ourselves(Settings(server=Server(hostname="Mail.A.test", listen=("192.0.2.250", "2001:db8::250"))))


async def hosts(resolver: FakeResolver, domain: str = "b.test", seed: int = 1, port: int = 25) -> list[str]:
    found = await hosts_of(domain, resolver, US, port, random.Random(seed))
    return [host.name for host in found]


async def test_hosts_come_by_preference() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", Mx(30, "c.b.test"), Mx(10, "A.b.test"), Mx(20, "b.b.test"))
    assert await hosts(resolver) == ["a.b.test", "b.b.test", "c.b.test"]


async def test_equal_preferences_are_shuffled() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", *(Mx(10, f"m{n}.b.test") for n in range(4)), Mx(5, "first.b.test"))
    orders = [await hosts(resolver, seed=seed) for seed in range(20)]
    assert {order[0] for order in orders} == {"first.b.test"}
    assert {order[1] for order in orders} == {f"m{n}.b.test" for n in range(4)}


async def test_without_mx_the_domain_itself_takes_the_mail() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "A", "192.0.2.1")
    assert await hosts(resolver) == ["b.test"]


@pytest.mark.parametrize(
    ("domain", "enhanced", "permanent"),
    [
        ("nowhere.test", "5.1.2", True),
        ("null.test", "5.1.10", True),
        ("broken.test", "4.4.3", False),
        ("[nonsense]", "5.1.2", True),
    ],
)
async def test_domains_without_a_route(domain: str, enhanced: str, permanent: bool) -> None:
    resolver = FakeResolver()
    resolver.put("null.test", "MX", Mx(0, "."))
    resolver.fail("broken.test", "MX")
    with pytest.raises(NoRoute) as refusal:
        await hosts(resolver, domain)
    assert (refusal.value.enhanced, refusal.value.permanent) == (enhanced, permanent)


async def test_a_null_mx_beside_others_is_passed_over() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", Mx(0, "."), Mx(10, "mx.b.test"))
    assert await hosts(resolver) == ["mx.b.test"]


async def test_address_literals_are_hosts() -> None:
    assert await hosts(FakeResolver(), "[192.0.2.1]") == ["192.0.2.1"]
    assert await hosts(FakeResolver(), "[IPv6:2001:db8::1]") == ["2001:db8::1"]


async def test_a_hundred_mx_are_cut() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", *(Mx(n, f"m{n}.b.test") for n in range(100)))
    assert await hosts(resolver) == [f"m{n}.b.test" for n in range(MAX_HOSTS)]


async def test_row_9_we_hand_mail_only_to_hosts_better_than_ourselves() -> None:
    resolver = FakeResolver()
    best, rest = Mx(10, "best.b.test"), (Mx(20, "mail.a.test"), Mx(20, "peer.b.test"), Mx(30, "last.b.test"))
    resolver.put("b.test", "MX", best, *rest)
    assert await hosts(resolver) == ["best.b.test"]
    resolver.put("b.test", "MX", *rest)
    with pytest.raises(NoRoute) as refusal:
        await hosts(resolver)
    assert (refusal.value.enhanced, refusal.value.permanent) == ("5.4.6", True)


async def test_row_9_the_same_name_with_another_port_is_another_server() -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", Mx(10, "mail.a.test"))
    assert await hosts(resolver, port=2525) == ["mail.a.test"]


async def test_addresses_of_both_families_take_turns() -> None:
    resolver = FakeResolver()
    resolver.put("mx.b.test", "A", "192.0.2.1", "192.0.2.2", "192.0.2.3")
    resolver.put("mx.b.test", "AAAA", "2001:db8::1")
    found = await addresses_of(Host("mx.b.test", 25), resolver)
    assert found == ("2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3")[:MAX_ADDRESSES]


async def test_one_family_is_enough_when_the_other_fails() -> None:
    resolver = FakeResolver()
    resolver.put("mx.b.test", "A", "192.0.2.1")
    resolver.fail("mx.b.test", "AAAA")
    assert await addresses_of(Host("mx.b.test", 25), resolver) == ("192.0.2.1",)


@pytest.mark.parametrize(("fails", "enhanced", "permanent"), [(True, "4.4.3", False), (False, "5.4.4", True)])
async def test_a_host_without_addresses(fails: bool, enhanced: str, permanent: bool) -> None:
    resolver = FakeResolver()
    if fails:
        resolver.fail("mx.b.test", "AAAA")
    with pytest.raises(NoRoute) as refusal:
        await addresses_of(Host("mx.b.test", 25), resolver)
    assert (refusal.value.enhanced, refusal.value.permanent) == (enhanced, permanent)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("relay.test:587", Host("relay.test", 587)),
        ("Relay.Test", Host("relay.test", 25)),
        ("192.0.2.1:2525", Host("192.0.2.1", 2525)),
        ("[2001:db8::1]:26", Host("2001:db8::1", 26)),
        ("[2001:db8::1]", Host("2001:db8::1", 25)),
        ("2001:db8::1", Host("2001:db8::1", 25)),
    ],
)
def test_smart_hosts_are_written_in_many_ways(text: str, host: Host) -> None:
    assert smart_host(text, 25) == host


@pytest.mark.parametrize("text", [":25", "a.test:smtp", "[]"])
def test_what_is_no_smart_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        smart_host(text, 25)


def test_listening_everywhere_this_machine_is_ours() -> None:
    us = ourselves(Settings(server=Server(listen=("0.0.0.0",), port_base=20000)))
    assert us.is_ours("127.0.0.1", 20025)
    assert not us.is_ours("127.0.0.1", 25)
