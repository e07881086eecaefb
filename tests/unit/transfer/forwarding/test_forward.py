"""Mail that an alias sends on: its reverse-path, its bounces, and nobody else's mail (rows 6, 8, 9)."""

from __future__ import annotations

import pytest

from a3mailer.config.tree import Forward, Server, Settings
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.errors import NoSuchAccount, NotAllowed
from a3mailer.store.operations import Enqueue
from a3mailer.transfer.route import Local, Remote
from tests.unit.transfer.world import MAIL, MX, World, address

NOBODY = Envelope(NULL_PATH)


def queued(world: World) -> list[Enqueue]:
    return [o for t in world.store.transactions for o in t.operations if isinstance(o, Enqueue)]


async def forwarded(world: World, sender: str = "carol@b.test", to: str = "away@a.test") -> str:
    """The reverse-path that a mail goes on with."""
    assert await world.send(MAIL, to, sender=sender) == (None,)
    return queued(world)[-1].reverse_path


async def test_a_strangers_mail_goes_on_from_us_and_its_bounce_comes_back() -> None:
    world = World()
    path = await forwarded(world)
    assert path.startswith("SRS0=")
    assert path.endswith("=b.test=carol@a.test")
    (route,) = await world.policy.recipient(MX, NOBODY, Recipient(address(path)))
    assert route == Remote(address("carol@b.test"), world.alice.tenant)
    assert await world.send(b"Subject: bounce\r\n\r\n", path, sender="") == (None,)
    back = queued(world)[-1]
    assert back.reverse_path == ""
    assert [r.address for r in back.recipients] == ["carol@b.test"]


@pytest.mark.parametrize("sender", ["", "alice@a.test", "x@tenant.test"])
async def test_our_own_senders_and_nobody_stay(sender: str) -> None:
    assert await forwarded(World(), sender) == sender


async def test_who_logged_in_keeps_his_address() -> None:
    world = World()
    assert await world.send(MAIL.replace(b"carol@b.test", b"alice@a.test"), "away@a.test",
                            sender="alice@a.test", client=world.submitter()) == (None,)  # fmt: skip
    assert queued(world)[-1].reverse_path == "alice@a.test"


async def test_it_can_be_switched_off_and_have_a_domain_of_its_own() -> None:
    server = Server(hostname="mail.a.test", domain="a.test")
    assert await forwarded(World(Settings(server=server, forward=Forward(srs=False)))) == "carol@b.test"
    own = World(Settings(server=server, forward=Forward(srs_domain="Tenant.test")))
    path = await forwarded(own)
    assert path.endswith("@tenant.test")
    (route,) = await own.policy.recipient(MX, NOBODY, Recipient(address(path)))
    assert isinstance(route, Remote)
    assert route.tenant == 2


async def test_row_6_only_bounces_may_use_the_address() -> None:
    world = World()
    path = await forwarded(world)
    for sender in ("carol@b.test", "mallory@evil.test", "alice@a.test"):
        with pytest.raises(NotAllowed):
            await world.policy.recipient(MX, Envelope(ReversePath(address(sender))), Recipient(address(path)))


async def test_row_6_forged_and_old_addresses_lead_nowhere_even_with_a_catch_all() -> None:
    world = World()
    world.store.put_domain("a.test", catch_all="bob@a.test")
    path = await forwarded(world)
    for bad in ("SRS0=AAAAAAAA=AA=victim.test=x@a.test", path.replace("carol", "victim"), "srs1=x@a.test"):
        with pytest.raises(NoSuchAccount):
            await world.policy.recipient(MX, NOBODY, Recipient(address(bad)))
    world.clock.advance(60 * 86400)
    with pytest.raises(NoSuchAccount):
        await world.policy.recipient(MX, NOBODY, Recipient(address(path)))
    assert world.policy.known(address(path)) is None


async def test_row_6_no_bounce_goes_into_private_networks() -> None:
    world = World()
    path = world.forwarding._srs.forward(Address("x", "[127.0.0.1]"), world.clock.now())  # type: ignore[union-attr]
    assert path is not None
    with pytest.raises(NotAllowed):
        await world.policy.recipient(MX, NOBODY, Recipient(path))


async def test_a_sender_whose_domain_has_become_ours_gets_the_bounce_here() -> None:
    world = World()
    path = await forwarded(world, "bob@new.test")
    world.store.put_domain("new.test")
    world.store.put_alias("bob@new.test", "bob@a.test")
    world.directory.forget()
    (route,) = await world.policy.recipient(MX, NOBODY, Recipient(address(path)))
    assert isinstance(route, Local)
    assert route.account == world.bob.id


async def test_row_9_a_mail_that_comes_round_again_keeps_an_address_that_leads_back() -> None:
    """We forward it, another server forwards it to us again, and so on: each bounce finds carol."""
    world = World()
    path = await forwarded(world)
    other = world.forwarding._srs.__class__("b.test", (b"o" * 32,))  # type: ignore[union-attr]
    lengths = set()
    for _ in range(6):
        theirs = other.forward(address(path), world.clock.now())
        assert theirs is not None
        path = await forwarded(world, str(theirs))
        lengths.add(len(path))
    assert len(lengths) == 1
    (route,) = await world.policy.recipient(MX, NOBODY, Recipient(address(path)))
    assert route == Remote(address("carol@b.test"), world.alice.tenant)
