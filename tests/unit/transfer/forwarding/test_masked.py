"""Masked addresses: who writes to one first is its site, who comes later has it from there."""

from __future__ import annotations

import pytest
from msgspec import structs

from a3mailer.mail.ids import AccountId
from a3mailer.transfer.forwarding import masked
from a3mailer.transfer.forwarding.masked import (
    MARK,
    MAX_SENDERS,
    Masked,
    Sender,
    has_form,
    leaks,
    new_local_part,
)
from a3mailer.transfer.policy.judge import Judged, Judges
from a3mailer.transfer.receive import Receive
from tests.unit.transfer.world import MAIL, World

ADDRESS = "shop-example.k3x9qd@a.test"


class Prover:
    """A judge to whom an author has proved itself."""

    def __init__(self, author: str) -> None:
        self.author = author

    def wants(self, arrival: object) -> bool:
        return True

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        return structs.replace(mail, author=self.author)

    def reconfigure(self, settings: object) -> None:
        """It has none."""


def place() -> World:
    world = World()
    world.store.put_alias(ADDRESS, "alice@a.test")
    world.store.put(masked.put(world.alice.id, ADDRESS, Masked("shop.example", 0)))
    world.directory.forget()
    return world


async def known(world: World) -> Masked:
    found = await masked.masked_of(world.store, world.alice.id, ADDRESS)
    assert found is not None
    return found


async def test_domains_are_noted_with_the_mail_they_come_with() -> None:
    world = place()
    for sender in ("a@news.esp.example", "b@news.esp.example", "x@evil.example", ""):
        assert await world.send(MAIL + sender.encode(), ADDRESS, sender=sender) == (None,)
    senders = (await known(world)).senders
    assert [each.domain for each in senders] == ["news.esp.example", "evil.example"]
    (mails,) = {len(t.operations) for t in world.store.transactions[1:2]}
    assert mails == 1, "of a domain that is known nothing is written"
    assert len(world.store.inbox(world.alice.id)) == 4


async def test_what_was_proved_counts_more_than_what_is_said() -> None:
    world = place()
    await world.send(MAIL, ADDRESS, sender="a@shop.example")
    assert not (await known(world)).senders[0].proved
    judges = Judges({"authenticate": Prover("shop.example")})
    world.receive = Receive(world.store, world.directory, world.settings, world.clock, judges)
    await world.send(MAIL + b"2", ADDRESS, sender="bounces@esp.example")
    (only,) = (await known(world)).senders
    assert (only.domain, only.proved) == ("shop.example", True)
    await world.send(MAIL + b"3", ADDRESS, sender="bounces@esp.example")
    assert len((await known(world)).senders) == 1


@pytest.mark.parametrize("to", ["alice@a.test", "alice+x.k3x9qd@a.test", "ally@a.test"])
async def test_no_other_address_is_looked_up(to: str) -> None:
    world = place()
    asked: list[str] = []
    found = world.store.document

    async def document(account: AccountId, kind: str, name: str) -> object:
        asked.append(name)
        return await found(account, kind, name)

    world.store.document = document  # type: ignore[method-assign, assignment]
    await world.send(MAIL, to)
    assert asked == []


async def test_no_more_domains_are_kept_than_the_limit() -> None:
    world = place()
    for number in range(MAX_SENDERS + 5):
        await world.send(MAIL + b"%d" % number, ADDRESS, sender=f"a@d{number}.example")
    assert len((await known(world)).senders) == MAX_SENDERS


def test_leaks_are_said_in_words() -> None:
    quiet = Masked(
        "shop.example", 0, (Sender("esp.example", 86_400, True), Sender("m.shop.example", 90_000, True))
    )
    assert leaks(ADDRESS, quiet) == ()
    evil = Sender("evil.example", 172_800, False)
    (said,) = leaks(ADDRESS, Masked("shop.example", 0, (*quiet.senders, evil)))
    assert said == (
        f"shop.example handed {ADDRESS} on, or lost it: it was given to shop.example on 1970-01-01, and "
        "since 1970-01-03 evil.example writes to it (so it says; that was not proved)"
    )


def test_addresses_name_their_site_and_cannot_be_guessed() -> None:
    made = {new_local_part("Shop.Example") for _ in range(100)}
    assert len(made) == 100 and all(each.startswith("shop-example.") and has_form(each) for each in made)
    assert all(len(each.partition(".")[2]) == MARK for each in made)
    assert has_form(new_local_part("x" * 300)) and has_form(new_local_part("..."))
    assert not any(has_form(text) for text in ("", "alice", "a.b", "first.lastname", "x.k3x9q0", "." * 7))
