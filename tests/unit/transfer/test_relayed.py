"""Domains that we take mail for and hand on: what stays here, where the rest goes, and with which sender."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from a3mailer.config.fields import BadValue
from a3mailer.config.tree import Policy
from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.identity.directory import RelayedAddress
from a3mailer.identity.relaying import Relaying, parse_relaying
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import NotAllowed, Refused
from a3mailer.mail.tls import TlsLevel
from a3mailer.runtime.resolver import Mx
from a3mailer.store.operations import Enqueue
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.scripts import Scripts
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.relay.ways import Way, Ways, no_secrets
from a3mailer.transfer.route import Local, Remote
from tests.unit.transfer.office import Office
from tests.unit.transfer.policy.test_judge import Scripted, only_mail, world_of
from tests.unit.transfer.relay.test_ways import Listening
from tests.unit.transfer.test_pacing import states
from tests.unit.transfer.world import MAIL, MX, SETTINGS, World, address


def relayed(world: World, to: str = "next.test:2525", name: str = "r.test", **more: str) -> None:
    world.store.put_domain(name, settings=json.dumps({"relay_to": to, **more}))
    world.directory.forget()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Next.Test", Relaying("next.test")),
        ("next.test:25", Relaying("next.test", 25)),
        ("10.0.0.1", Relaying("10.0.0.1")),
        ("10.0.0.1:2525", Relaying("10.0.0.1", 2525)),
        ("[2001:db8::1]", Relaying("2001:db8::1")),
        ("[2001:db8::1]:26", Relaying("2001:db8::1", 26)),
        ("MX", Relaying()),
    ],
)
def test_the_next_server_is_a_host_or_the_mx(text: str, found: Relaying) -> None:
    assert parse_relaying(text) == found == parse_relaying(str(found))


@pytest.mark.parametrize(
    "text",
    ["", ":25", "next test", "next.test:", "next.test:0", "2001:db8::1", "[next.test]", "a@b.test", "1.2"],
)
def test_what_is_no_server_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadValue):
        parse_relaying(text)
    for to, tls in (("mx", "verify"), ("next.test", "never")):
        with pytest.raises(BadValue):
            parse_relaying(to, tls)


async def test_what_exists_here_stays_and_the_rest_goes_on() -> None:
    world = World()
    relayed(world)
    world.store.put_account("kept@r.test")
    world.store.put_alias("sales@r.test", "alice@a.test", "eve@r.test")
    (kept,) = await world.policy.lead(address("Kept+x@R.test"))
    assert isinstance(kept, Local)
    both = await world.policy.lead(address("sales@r.test"))
    assert {type(route) for route in both} == {Local, Remote} and both[0].relayed  # type: ignore[union-attr]
    for text in ("Eve@r.test", "postmaster@r.test", "dmarc-reports@r.test", "eve+x@r.test"):
        (route,) = await world.policy.lead(address(text))
        assert route == Remote(address(text), kept.tenant, relayed=True)
        assert await world.policy.relaying(address(text)) == Relaying("next.test", 2525)
    assert await world.policy.relaying(address("sales@r.test")) is None
    assert await world.directory.resolve(Address("Eve", "R.TEST")) == (RelayedAddress(address("Eve@r.test")),)


async def test_strangers_cannot_fill_the_memory_with_addresses_of_such_a_domain() -> None:
    world = World()
    relayed(world)
    for number in range(50):
        await world.policy.lead(address(f"guess{number}@r.test"))
    assert not world.directory._known and not world.policy._routes


async def test_who_asks_what_the_domain_is() -> None:
    world = World()
    relayed(world)
    relayed(world, "mx", "backup.test")
    found = [
        (await world.policy.is_ours(name), await world.policy.hosts(name), await world.policy.fronts(name))
        for name in ("A.test", "R.test", "backup.test", "b.test")
    ]
    assert found == [(True, True, True), (True, False, True), (True, False, False), (False, False, False)]


@pytest.mark.parametrize("local_part", ["eve%b.test", "b.test!eve", "eve@b.test", "%", "a!b!c"])
async def test_a_stranger_cannot_lead_the_next_server_on_but_a_user_may(local_part: str) -> None:
    world = World()
    relayed(world)
    recipient, envelope = Recipient(Address(local_part, "r.test")), Envelope(ReversePath(address("c@b.test")))
    for client in (MX, Client("", 0, "", protocol="LMTP")):
        with pytest.raises(NotAllowed):
            await world.policy.recipient(client, envelope, recipient)
    (route,) = await world.policy.recipient(world.submitter(), envelope, recipient)
    assert isinstance(route, Remote)


async def test_what_is_handed_on_keeps_its_sender_and_what_an_alias_sends_on_does_not() -> None:
    world = World()
    relayed(world)
    await world.send(MAIL, "eve@r.test", "away@a.test", "alice@a.test")
    (transaction,) = [
        t for t in world.store.transactions if any(isinstance(o, Enqueue) for o in t.operations)
    ]
    found = {
        o.recipients[0].address: o.reverse_path for o in transaction.operations if isinstance(o, Enqueue)
    }
    assert found["eve@r.test"] == "carol@b.test"
    assert found["alice@elsewhere.test"].startswith("SRS0=")
    assert len(world.store.inbox(world.alice.id)) == 1


async def test_the_next_server_is_told_what_would_be_junk_here(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, Scripted(lambda mail: structs.replace(mail, junk=True)))
    relayed(world)
    await world.send(MAIL, "eve@r.test", "alice@a.test")
    (entry,) = world.store.entries
    assert b"\r\nX-Spam-Flag: YES\r\n" in b"\r\n" + await world.store.octets(entry.account, entry.blob)
    assert b"X-Spam-Flag" in await only_mail(world, box="Junk")
    await world.send(MAIL, "bob@a.test")
    assert b"X-Spam-Flag" not in await only_mail(world, "bob", "Junk")


async def test_what_is_put_apart_goes_on_marked_and_does_not_leave(tmp_path: Path) -> None:
    world = World()
    relayed(world)
    settings = structs.replace(SETTINGS, policy=Policy(scripts=("data=data.sieve",)))
    (tmp_path / "data.sieve").write_text('require "vnd.a3.policy"; quarantine "odd";')
    judges = Judges({"scripts": Scripts(tmp_path, settings)})
    world.receive = Receive(world.store, world.directory, settings, world.clock, judges)
    assert await world.send(MAIL, "eve@r.test") == (None,)
    (refused,) = await world.send(MAIL, "away@a.test")
    assert isinstance(refused, Refused)
    (entry,) = world.store.entries
    assert b"X-Spam-Flag: YES" in await world.store.octets(entry.account, entry.blob)


async def test_a_sender_of_a_relayed_domain_is_a_stranger_where_mail_is_forwarded() -> None:
    world = World()
    relayed(world)
    path = await world.forwarding.reverse_path(ReversePath(address("eve@r.test")))
    assert str(path).startswith("SRS0=")
    (back,) = await world.policy.lead(path.address)  # type: ignore[arg-type]
    assert isinstance(back, Remote) and back.address == address("eve@r.test") and back.relayed


async def test_addresses_of_our_own_making_are_the_next_servers_where_they_are_not_ours() -> None:
    world = World()
    relayed(world)
    for text in ("BOUNCE=AAAA=AA=x=b.test=eve@r.test", "SRS0=AAAA=AA=b.test=eve@r.test"):
        (route,) = await world.policy.lead(address(text))
        assert route == Remote(address(text), route.tenant, relayed=True)  # type: ignore[union-attr]


def office(to: str, **more: str) -> tuple[Office, Listening]:
    peer = Listening()
    made = Office(peer, QueueSettings(rules=("to=r.test via=elsewhere.test:25", "hold"), relay="smart.test"))
    made.resolver.put("next.test", "A", "192.0.2.9")
    relayed(made, to, **more)
    return made, peer


async def test_the_queue_hands_it_to_the_next_server_whatever_the_rules_are() -> None:
    made, peer = office("next.test:2525")
    await made.enqueue("eve@r.test", "Postmaster@r.test", sender="carol@b.test")
    await made.attempt()
    assert states(made.outcomes) == ["relayed"] * 2 and peer.dialled == ["192.0.2.9:2525"]
    assert "RCPT TO:<Postmaster@r.test>" in peer.heard and "MAIL FROM:<carol@b.test>" in peer.heard


async def test_an_alias_that_leads_to_a_relayed_address_ends_there() -> None:
    made, peer = office("next.test")
    made.store.put_alias("both@r.test", "bob@a.test", "eve@r.test")
    made.directory.forget()
    await made.enqueue("both@r.test")
    assert await made.attempt() == 1 and await made.attempt() == 1 and await made.attempt() == 0
    assert len(made.store.inbox(made.bob.id)) == 1 and peer.dialled == ["192.0.2.9:25"]
    assert [line for line in peer.heard if line.startswith("RCPT")] == ["RCPT TO:<eve@r.test>"]


async def test_a_backup_hands_on_to_those_before_it_and_never_to_itself() -> None:
    made, peer = office("mx")
    exchanges = (Mx(30, "third.test"), Mx(20, "mail.a.test"), Mx(10, "next.test"))
    made.resolver.put("r.test", "MX", *exchanges)
    await made.enqueue("eve@r.test")
    await made.attempt()
    assert states(made.outcomes) == ["relayed"] and peer.dialled == ["192.0.2.9:25"]
    made, peer = office("mx")
    made.resolver.put("r.test", "MX", *exchanges)
    peer.refused.add("192.0.2.9:25")
    await made.enqueue("eve@r.test")
    await made.attempt()
    assert states(made.outcomes) == ["waiting"] and peer.dialled == ["192.0.2.9:25"]
    made, peer = office("mx")
    made.resolver.put("r.test", "MX", *exchanges[:2])
    await made.enqueue("eve@r.test")
    await made.attempt()
    assert states(made.outcomes) == ["failed"] and made.outcomes[0].enhanced == "5.4.6" and not peer.dialled


@pytest.mark.parametrize("to", ["mail.a.test", "192.0.2.250", "alias.test"])
async def test_a_next_server_that_is_ourselves_ends_the_loop(to: str) -> None:
    made, peer = office(to)
    for name in ("mail.a.test", "alias.test"):
        made.resolver.put(name, "A", "192.0.2.250")
    await made.enqueue("eve@r.test")
    await made.attempt()
    assert states(made.outcomes) == ["failed"] and made.outcomes[0].enhanced == "5.4.6"
    assert not peer.dialled


async def test_what_it_demands_of_tls_is_kept() -> None:
    made, peer = office("next.test", relay_tls="verify")
    await made.enqueue("eve@r.test")
    await made.attempt()
    assert states(made.outcomes) == ["waiting"] and not any(line.startswith("MAIL") for line in peer.heard)
    ways = Ways(made.settings, no_secrets)
    (plan,) = ways.onward(Relaying("next.test", 0, "must")).demand().plans  # type: ignore[union-attr]
    assert plan.level is TlsLevel.MUST and plan.reason == "relay_tls says must"
    assert ways.onward(Relaying("next.test")).demand() is None and ways.onward(Relaying()) == Way()


async def test_a_domain_that_is_relayed_no_more_is_ours_again() -> None:
    made, peer = office("next.test")
    await made.enqueue("eve@r.test")
    made.store.put_domain("r.test")
    made.directory.forget()
    await made.attempt()
    assert states(made.outcomes) == ["failed"] and made.outcomes[0].enhanced == "5.1.1" and not peer.dialled
