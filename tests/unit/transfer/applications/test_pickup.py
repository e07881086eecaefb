"""Mail from programs of this machine: completed like sendmail does, submitted like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from a3mailer.config.tree import Server, Settings, Smtp
from a3mailer.mail.errors import BadName, MailError, NoSuchAccount, NotAllowed, TooLarge
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.applications.pickup import Handed, Pickup, as_mail
from tests.unit.edge.http.api_world import ApiWorld

CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> x\nMIME-Version: 1.0\n\nout\n.\nput\n"


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    clock = FakeClock()
    settings = Settings(server=Server(hostname="mail.a.test", domain="a.test"), smtp=Smtp(size=10_000))
    made = ApiWorld(MemoryStore(clock), clock, settings)
    await made.settle()
    await made.do(op.PutAlias(DEFAULT_TENANT, "postmaster@a.test", ("bob@a.test",)))
    yield made
    await made.close()


async def hand(world: ApiWorld, octets: bytes, *recipients: str, **more: object) -> str:
    handed = Handed(octets, recipients=recipients, **more)  # type: ignore[arg-type]
    return await Pickup(world.store, world.settings, world.clock)(handed)


async def test_what_cron_hands_over(world: ApiWorld) -> None:
    await hand(world, CRON, "root", from_header=True)
    (octets,) = await world.inbox(world.bob)  # once, though named twice
    head, _, body = octets.partition(b"\r\n\r\n")
    assert b"\r\nFrom: Cron Daemon <bob@a.test>\r\n" in head + b"\r\n" and head.count(b"From:") == 1
    assert b"\r\nTo: root\r\n" in head and b"\r\nDate: " in head and b"Message-ID: <" in head
    assert body == b"out\r\n.\r\nput\r\n"


async def test_a_sender_of_ours_keeps_his_name(world: ApiWorld) -> None:
    octets = b"From: Alice <alice@a.test>\nTo: bob@a.test,\n\tx@else.test\nBcc: y@else.test\nSubject: s\n\nb"
    trace = await hand(world, octets, from_header=True, sender="alice")
    (entry,) = await world.store.queue()
    assert (entry.trace, entry.reverse_path, entry.account) == (trace, "alice@a.test", world.alice)
    assert {r.address for r in entry.recipients} == {"x@else.test", "y@else.test"}
    (mail,) = await world.inbox(world.bob)
    assert b"From: Alice <alice@a.test>\r\n" in mail and b"Bcc" not in mail and mail.endswith(b"\r\nb\r\n")


async def test_authors_and_names(world: ApiWorld) -> None:
    await hand(world, b"just text\n", "bob", sender="alice@a.test", name="Back Up, daily")
    await hand(world, b"From: alice\n\nx", "bob@a.test", sender="<alice@a.test>")
    await hand(world, b"From: backup@localhost\n\nx", "bob")
    await hand(world, b"\nx", "bob", sender="<>")
    authors = [
        b'From: "Back Up, daily" <alice@a.test>',
        b"From: alice <alice@a.test>",
        b"From: backup <bob@a.test>",
        b"From: bob@a.test",
    ]
    mails = await world.inbox(world.bob)
    assert [author in mail for author, mail in zip(authors, mails, strict=True)] == [True] * 4
    assert mails[3].startswith(b"Return-Path: <>\r\n") and mails[0].endswith(b"\r\n\r\njust text\r\n")


@pytest.mark.parametrize(
    ("octets", "recipients", "sender", "error"),
    [
        (b"From: ceo@else.test\n\nx", ("bob",), "", NotAllowed),
        (b"From: bob@a.test\n\nx", ("bob",), "alice", NotAllowed),
        (b"Sender: bob@a.test\n\nx", ("bob",), "alice", NotAllowed),
        (b"Subject: x\n\nx", ("bob",), "ceo@else.test", NoSuchAccount),
        (b"Subject: x\n\nx", ("nobody",), "", NoSuchAccount),
        (b"Subject: x\n\nx", (), "", BadName),
        (b"Subject: x\n\nx", ("a b",), "", BadName),
        (b"Subject: x\n\nx", ("bob@a.test\r\nX: y",), "", BadName),
        (b"Subject: x\n\nx", ("bob",), "a b@c", BadName),
        (b"x" * 20_000, ("bob",), "", TooLarge),
    ],
)
async def test_what_is_refused(
    world: ApiWorld, octets: bytes, recipients: tuple[str, ...], sender: str, error: type[MailError]
) -> None:
    """Attack rows 6 and 7 hold for programs of this machine, too."""
    with pytest.raises(error):
        await hand(world, octets, *recipients, sender=sender)
    assert await world.inbox(world.bob) == [] and await world.store.queue() == ()


def test_line_ends_and_beginnings() -> None:
    assert as_mail(b"A: b\n\nx\r\ny\rz") == b"A: b\r\n\r\nx\r\ny\r\nz\r\n"
    assert as_mail(b"From alice Mon Nov 23\nA: b\n\nx\n") == b"A: b\r\n\r\nx\r\n"
    assert (
        as_mail(b"hello: no\n") == b"hello: no\r\n" and as_mail(b"hello there:\n") == b"\r\nhello there:\r\n"
    )
    assert as_mail(b"") == b"\r\n"
