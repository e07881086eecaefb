"""By which way mail leaves: rules, smart host, MX; logins, source addresses, names, and what a rule holds."""

from typing import Any

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Settings
from a3mailer.mail.ids import QueueId
from a3mailer.mail.tls import TlsLevel
from a3mailer.transfer.queue.queue import change
from a3mailer.transfer.relay.destinations.mx import Host
from a3mailer.transfer.relay.relay import Relay
from a3mailer.transfer.relay.session import Manners
from a3mailer.transfer.relay.ways import USUAL, Way, Ways, no_secrets
from tests.unit.transfer.office import Office
from tests.unit.transfer.test_pacing import Peer, states


def ways(*rules: str, relay: str = "") -> Ways:
    return Ways(Settings(queue=QueueSettings(rules=rules, relay=relay)), lambda name: f"secret of {name}")


def test_the_first_rule_that_applies_decides() -> None:
    found = ways("to=b.test from=<> via=n.test:26", "to=b.test via=b1.test:25", "from=a.test ehlo=out.a.test")
    assert found.of("B.test", "", "").host == Host("n.test", 26)
    assert found.of("b.test", "a.test", "").host == Host("b1.test", 25)
    assert found.of("c.test", "A.test", "") == Way(ehlo="out.a.test", name="from=a.test ehlo=out.a.test")
    assert found.of("c.test", "d.test", "") is USUAL
    assert not found.by_account
    assert ways("account=x@a.test hold").by_account


def test_rules_without_a_host_leave_the_smart_host_its_mail() -> None:
    found = ways("from=a.test ehlo=out.a.test", "to=direct.test via=d.test:25", relay="smart.test:587")
    assert found.of("c.test", "", "").host == found.of("c.test", "a.test", "").host == Host("smart.test", 587)
    assert found.of("direct.test", "", "").host == Host("d.test", 25)


def test_destinations_differ_where_ways_do() -> None:
    found = ways("from=a.test ehlo=out.a.test", "to=.b.test via=r.test:25")
    plain, named = found.of("c.test", "", "").to("c.test"), found.of("c.test", "a.test", "").to("c.test")
    assert plain.name == "c.test" != named.name
    assert found.of("x.b.test", "", "").to("x.b.test") == found.of("y.b.test", "", "").to("y.b.test")


def test_what_a_rule_demands_of_tls() -> None:
    levels = {
        tls: [plan.level for plan in (ways(f"via=r.test:25 tls={tls}").of("c.test", "", "").demand()).plans]  # type: ignore[union-attr]
        for tls in ("may", "must", "verify")
    }
    assert levels == {
        "may": [TlsLevel.MAY, TlsLevel.NEVER],
        "must": [TlsLevel.MUST],
        "verify": [TlsLevel.STS],
    }
    assert ways("via=r.test:25").of("c.test", "", "").demand() is None
    login = ways("via=r.test:25 login=me secret=file").of("c.test", "", "")
    assert login.login is not None and login.login.password == "secret of file"
    assert "secret of" not in repr(login)
    with pytest.raises(ValueError, match="file"):
        Ways(Settings(queue=QueueSettings(rules=("via=r.test:25 login=me secret=file",))), no_secrets)


def test_an_address_to_send_from_is_of_the_same_family() -> None:
    way = ways("source=192.0.2.5 source=2001:db8::5").of("c.test", "", "")
    assert way.source_to("198.51.100.1") == "192.0.2.5"
    assert way.source_to("2001:db8::99") == "2001:db8::5"
    assert ways("source=192.0.2.5").of("c.test", "", "").source_to("::1") is None
    assert USUAL.source_to("::1") == ""


class Listening(Peer):
    """Notes from where it was dialled, and what was said to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.heard: list[str] = []

    async def __call__(self, address: str, port: int, seconds: float, source: str = "") -> Any:
        self.sources.append(source)
        wire = await super().__call__(f"{address}:{port}", port, seconds)
        write = wire.write

        def heard(octets: bytes) -> None:
            self.heard += bytes(octets).decode().split("\r\n")
            write(octets)

        wire.write = heard
        return wire


def office_with(*rules: str) -> tuple[Office, Listening]:
    peer = Listening()
    office = Office(peer, QueueSettings(rules=rules))
    office.resolver.mail_host("b.test", "192.0.2.1")
    office.resolver.put("relay.test", "A", "192.0.2.9")
    return office, peer


async def test_mail_goes_where_its_rule_says() -> None:
    office, peer = office_with("from=a.test to=b.test via=relay.test:2525", "to=c.test via=relay.test:2525")
    office.resolver.mail_host("c.test", "192.0.2.3")
    await office.enqueue("x@b.test", "x@c.test")
    await office.enqueue("y@b.test", sender="")
    await office.attempt()
    assert states(office.outcomes) == ["relayed"] * 3
    assert sorted(peer.dialled) == ["192.0.2.1:25", "192.0.2.9:2525", "192.0.2.9:2525"]


async def test_a_rule_says_from_where_and_as_whom() -> None:
    office, peer = office_with("from=a.test source=192.0.2.77 ehlo=out2.a.test")
    await office.enqueue("x@b.test")
    await office.enqueue("x@b.test", sender="")
    await office.attempt()
    assert states(office.outcomes) == ["relayed"] * 2
    assert peer.sources == ["192.0.2.77", ""]
    assert [line for line in peer.heard if line.startswith("EHLO")] == [
        "EHLO out2.a.test",
        "EHLO mail.a.test",
    ]


async def test_an_address_that_is_not_ours_keeps_mail_waiting_and_no_host_from_others() -> None:
    office, peer = office_with("from=a.test source=192.0.2.77")
    peer.refused.add("192.0.2.1:25")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert states(office.outcomes) == ["waiting"]
    peer.refused.clear()
    await office.enqueue("x@b.test", sender="")
    await office.attempt()
    assert states(office.outcomes) == ["waiting", "relayed"]


async def test_where_no_address_of_the_family_is_given_mail_waits() -> None:
    office, peer = office_with("source=2001:db8::5")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert (office.outcomes[0].state, peer.dialled) == ("waiting", [])
    assert "192.0.2.1" in office.outcomes[0].text


async def test_what_a_rule_holds_goes_by_retry_only() -> None:
    office, peer = office_with("account=alice@a.test to=b.test hold")
    office.resolver.mail_host("c.test", "192.0.2.3")
    queue = QueueId(await office.enqueue("x@b.test", "x@c.test"))
    await office.attempt()
    (entry,) = office.store.entries
    assert entry.held and not entry.lease_owner
    assert [(r.state, r.attempts) for r in entry.recipients] == [("waiting", 0), ("relayed", 1)]
    assert "queue.rules" in entry.recipients[0].text
    await change(office.store, queue, "release", subject="op", now=int(office.clock.now()))
    await office.attempt()
    assert office.store.entries[0].held  # the rule still says so
    await change(office.store, queue, "retry", subject="op", now=int(office.clock.now()))
    await office.attempt()
    assert not office.store.entries
    assert peer.dialled == ["192.0.2.3:25", "192.0.2.1:25"]


async def test_a_login_never_goes_out_in_clear_and_a_wrong_one_fails_no_mail() -> None:
    peer = Listening()
    office = Office(peer)
    settings = Settings(queue=QueueSettings(rules=("via=192.0.2.9:587 login=me secret=f tls=must",)))
    manners = Manners("mail.a.test", object())
    office.relay = Relay(
        office.resolver, peer, manners, settings, office.clock, office.chance, secrets=lambda name: "s3cret"
    )
    office.desk = office.make_desk("worker-1")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert (office.outcomes[0].state, office.outcomes[0].enhanced) == ("waiting", "4.7.4")
    assert not [line for line in peer.heard if line.startswith("AUTH")]
