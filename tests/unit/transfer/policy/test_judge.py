"""Judges of whole mails: their order, their time, and what their changes do to what is stored."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import MailError, NotAllowed, TryLater
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy import judge
from a3mailer.transfer.policy.judge import Judged, Judges
from a3mailer.transfer.receive import Receive
from tests.unit.transfer.world import World

MAIL = b"From: carol@b.test\r\nSubject: hello\r\n\r\nbody\r\n"


class Scripted:
    """A judge that does what the test says."""

    def __init__(self, act: Callable[[Judged], Judged], wanted: bool = True) -> None:
        self.act = act
        self.wanted = wanted
        self.seen: list[Arrival] = []

    def wants(self, arrival: Arrival) -> bool:
        return self.wanted

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        assert 0 < seconds <= judge.SECONDS
        self.seen.append(mail.arrival)
        return self.act(mail)

    def reconfigure(self, settings: Settings) -> None:
        self.settings = settings


def world_of(monkeypatch: pytest.MonkeyPatch, *judges: Scripted) -> World:
    world = World()
    names = tuple(f"judge{n}" for n in range(len(judges)))
    monkeypatch.setattr(judge, "ORDER", names)
    given = Judges(dict(zip(reversed(names), reversed(judges), strict=True)))
    world.receive = Receive(world.store, world.directory, world.settings, world.clock, given)
    return world


def refuse(mail: Judged) -> Judged:
    raise NotAllowed("not this one")


async def only_mail(world: World, name: str = "alice", box: str = "INBOX") -> bytes:
    account = getattr(world, name).id
    mailbox = await world.store.mailbox_named(account, box)
    _, columns = await world.store.columns(account, mailbox.id)
    assert len(columns.uids) == 1
    (message,) = await world.store.messages(account, mailbox.id, list(columns.uids))
    return await world.store.octets(account, message.blob)


async def test_the_later_judge_sees_what_the_former_made_and_lies_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Scripted(
        lambda m: m.with_top(b"X-First: 1\r\n").with_octets(b"X-New: 1\r\n" + m.arrival.octets[:])
    )
    second = Scripted(lambda m: m.with_top(b"X-Second: 2\r\n"))
    world = world_of(monkeypatch, first, second)
    assert await world.send(MAIL, "alice@a.test") == (None,)
    assert second.seen[0].octets == b"X-New: 1\r\n" + MAIL
    stored = await only_mail(world)
    head, _, rest = stored.partition(b"Received: ")
    assert head.endswith(b">\r\nX-Second: 2\r\nX-First: 1\r\n") and head.startswith(b"Return-Path: ")
    assert rest.endswith(b"\r\nX-New: 1\r\n" + MAIL)


async def test_who_refuses_refuses_for_all_and_nothing_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    never = Scripted(lambda m: m)
    world = world_of(monkeypatch, Scripted(refuse), never)
    outcomes = await world.send(MAIL, "alice@a.test", "bob@a.test")
    assert [type(o) for o in outcomes] == [NotAllowed, NotAllowed]
    assert not never.seen and not (await world.store.columns(world.alice.id, 1))[1].uids  # type: ignore[arg-type]


async def test_a_judge_that_does_not_want_a_mail_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, unasked := Scripted(refuse, wanted=False))
    assert await world.send(MAIL, "alice@a.test") == (None,)
    assert not unasked.seen


async def test_recipients_taken_out_are_answered_for_and_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_bob(mail: Judged) -> Judged:
        pairs = zip(mail.arrival.envelope.recipients, mail.arrival.routes, strict=True)
        return mail.with_recipients(tuple(p for p in pairs if p[0].address.local_part == "bob"))

    world = world_of(monkeypatch, Scripted(only_bob))
    assert await world.send(MAIL, "alice@a.test", "bob@a.test") == (None, None)
    assert MAIL in await only_mail(world, "bob")
    assert not (await world.store.columns(world.alice.id, 1))[1].uids  # type: ignore[arg-type]


async def test_a_discarded_mail_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    never = Scripted(lambda m: m)
    world = world_of(monkeypatch, Scripted(lambda m: structs.replace(m, discarded=True)), never)
    assert await world.send(MAIL, "alice@a.test") == (None,)
    assert not never.seen and not (await world.store.columns(world.alice.id, 1))[1].uids  # type: ignore[arg-type]


async def test_junk_goes_to_junk_and_to_the_queue_as_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, Scripted(lambda m: structs.replace(m, junk=True)))
    assert await world.send(MAIL, "alice@a.test", "away@a.test") == (None, None)
    assert MAIL in await only_mail(world, "alice", "Junk")
    assert len(await world.store.queue()) == 1


async def test_a_mail_that_is_sent_again_is_known_however_it_was_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = iter(range(100))
    world = world_of(
        monkeypatch, Scripted(lambda m: m.with_octets(b"X-Time: %d\r\n" % next(made) + m.arrival.octets[:]))
    )
    for _ in range(2):
        assert await world.send(MAIL, "alice@a.test") == (None,)
    first, again = world.store.transactions
    assert first.fingerprint == again.fingerprint
    assert first.contents[0].octets != again.contents[0].octets
    assert await world.send(MAIL, "bob@a.test") == (None,)
    assert world.store.transactions[-1].fingerprint != first.fingerprint


async def test_who_overstays_is_cut_off_and_the_sender_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sleeper(Scripted):
        async def judge(self, mail: Judged, seconds: float) -> Judged:
            await asyncio.sleep(3600)
            return mail

    monkeypatch.setattr(judge, "SECONDS", 0.01)
    monkeypatch.setattr(judge, "GRACE_SECONDS", 0.01)
    world = world_of(monkeypatch, Sleeper(lambda m: m))
    (outcome,) = await world.send(MAIL, "alice@a.test")
    assert isinstance(outcome, TryLater) and isinstance(outcome, MailError)


def test_a_judge_without_a_place_in_the_order_is_a_mistake() -> None:
    with pytest.raises(LookupError):
        Judges({"nobody knows": Scripted(refuse)})
