"""What MAIL may ask for, kept by the queue: order, times, held mail (RFC 6710, RFC 2852, RFC 4865)."""

from datetime import UTC, datetime

import pytest

from a3mailer.config.checks import check
from a3mailer.config.fields import BadValue
from a3mailer.config.tree import Queue, Settings
from a3mailer.mail.envelope import Client, Recipient
from a3mailer.store.operations import Enqueue, QueueRecipient
from a3mailer.transfer.promise import is_trusted, offered
from a3mailer.transfer.queue.queue import change
from a3mailer.wire.dsn.report import Action
from a3mailer.wire.smtp.promises import NO_PROMISES
from tests.unit.transfer.office import Office
from tests.unit.transfer.queue.test_queue import live
from tests.unit.transfer.world import World, address

HOUR = 3600
MAIL = b"From: <alice@a.test>\r\nTo: <bob@a.test>\r\nSubject: later\r\n\r\nHello.\r\n"


def test_who_may_raise_a_priority() -> None:
    trusted = ("alice@a.test", "@b.test", "192.0.2.0/24", "2001:db8::/32")
    assert is_trusted(Client("203.0.113.1", 1, account=1, login="Alice@a.test"), trusted)
    assert is_trusted(Client("203.0.113.1", 1, account=2, login="x@b.test"), trusted)
    assert not is_trusted(Client("192.0.2.1", 1, account=3, login="x@c.test"), trusted), (
        "an account is itself"
    )
    assert not is_trusted(Client("203.0.113.1", 1, account=3, login="x@sub.b.test"), trusted)
    assert is_trusted(Client("192.0.2.1", 1), trusted)
    assert is_trusted(Client("2001:db8::1", 1), trusted)
    assert not is_trusted(Client("203.0.113.1", 1), trusted)
    assert not is_trusted(Client("", 0), trusted), "a Unix socket has no network"
    assert not is_trusted(Client("192.0.2.1", 1), ())


@pytest.mark.parametrize("value", ["@", "@b..test", "Alice@a.test", "192.0.2.0/33", "everybody"])
def test_a_list_of_trusted_ones_is_checked(value: str) -> None:
    with pytest.raises(BadValue):
        check("queue.priority_trusted", (value,))
    check("queue.priority_trusted", ("alice@a.test", "@a.test", "192.0.2.0/24", "::1"))


def test_only_submission_holds_mail_and_lmtp_promises_nothing() -> None:
    settings = Settings()
    assert offered("LMTP", settings, 0) is NO_PROMISES
    assert not offered("SMTP", settings, 0).hold_seconds
    made = offered("submission", settings, 90_000)
    assert (made.hold_seconds, made.hold_until) == (30 * 86400, 32 * 86400)
    assert not offered("submission", Settings(queue=Queue(hold_seconds=0)), 0).hold_seconds


# --- held mail -----------------------------------------------------------------------------------------


async def test_held_mail_is_queued_even_for_ourselves_and_delivered_when_it_is_time() -> None:
    world = World()
    until = int(world.clock.now()) + HOUR
    people = ("bob@a.test", "x@b.test", "sales@a.test")
    await world.send(
        MAIL, *people, sender="alice@a.test", client=world.submitter(), not_before=until, priority=2
    )
    (queued,) = [o for t in world.store.transactions for o in t.operations if isinstance(o, Enqueue)]
    assert [r.address for r in queued.recipients] == list(people)
    assert (queued.not_before, queued.priority) == (until, 2)
    assert not world.store.inbox(world.bob.id)


async def test_success_of_held_mail_is_told_when_it_is_there_and_not_before() -> None:
    world = World()
    until = int(world.clock.now()) + HOUR
    bob = Recipient(address("bob@a.test"), frozenset({"SUCCESS"}))
    await world.send(MAIL, bob, sender="alice@a.test", client=world.submitter(), not_before=until)
    (entry,) = [o for t in world.store.transactions for o in t.operations if isinstance(o, Enqueue)]
    assert (entry.reverse_path, entry.recipients[0].notify) == ("alice@a.test", ("SUCCESS",))


async def test_a_held_mail_waits_and_its_life_begins_with_its_release() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    release = int(office.clock.now()) + 10 * 86400
    await office.enqueue("x@b.test", not_before=release)
    assert await office.attempt() == 0
    office.clock.advance(10 * 86400)
    assert await office.attempt() == 1
    assert not office.notices, "neither late nor over"
    assert [o.state for o in office.outcomes] == ["waiting"]
    await live(office)
    assert office.clock.now() >= release + 5 * 86400
    assert [r.recipients[0].action for r in office.notices] == [Action.DELAYED, Action.FAILED]
    until = datetime.fromtimestamp(release, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    told = office.store.inbox(office.alice.id)
    assert all(b"\r\nFuture-Release-Request: until;%b\r\n" % until in octets for octets in told), "RFC 4865"


async def test_what_a_disabled_account_has_left_for_later_waits_for_an_operator() -> None:
    """Whoever breaks into an account sends nothing with it after it was switched off."""
    office = Office()
    release = int(office.clock.now()) + HOUR
    queue = await office.enqueue("bob@a.test", "x@b.test", not_before=release)
    await office.enqueue("bob@a.test")
    office.store.change(office.alice.id, enabled=False)
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 1, (
        "what had been accepted to be sent at once goes its way"
    )
    office.clock.advance(HOUR)
    assert await office.attempt() == 1
    (entry,) = office.store.entries
    assert (entry.id, entry.held) == (queue, True)
    assert {(r.state, r.attempts) for r in entry.recipients} == {("waiting", 0)}
    assert "switched off" in entry.recipients[0].text
    now = int(office.clock.now())
    await change(office.store, entry.id, "retry", subject="operator", now=now)
    await office.attempt()
    assert len(office.store.inbox(office.bob.id)) == 2, "an operator may let it go"


# --- a time to deliver by ------------------------------------------------------------------------------


async def test_what_is_to_be_returned_comes_back_at_its_time_and_is_not_tried_then() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    by = int(office.clock.now()) + HOUR
    await office.enqueue("x@b.test", deliver_by=by, by_mode="R")
    await live(office)
    assert by <= office.clock.now() <= by + 1
    (report,) = office.notices
    assert [(r.action, r.status) for r in report.recipients] == [(Action.FAILED, "5.4.7")]
    assert "connection refused" in report.recipients[0].diagnostic
    assert office.outcomes[-2].state == "expired"


async def test_a_mailbox_of_ours_gets_nothing_that_was_to_be_returned() -> None:
    office = Office()
    await office.enqueue("bob@a.test", deliver_by=int(office.clock.now()) - 1, by_mode="R")
    await office.attempt()
    assert not office.store.inbox(office.bob.id)
    assert [r.recipients[0].status for r in office.notices] == ["5.4.7"]


async def test_who_named_a_time_is_told_then_once_and_the_mail_goes_on() -> None:
    office = Office(queue=Queue(delay_notice_seconds=600))
    office.resolver.mail_host("b.test", "192.0.2.1")
    by = int(office.clock.now()) + 2 * HOUR
    await office.enqueue(QueueRecipient("x@b.test", ("FAILURE",)), deliver_by=by, by_mode="N")
    while not office.notices:
        waiting = [r.next_attempt for e in office.store.entries for r in e.recipients]
        office.clock.advance(max(1.0, min(waiting) - office.clock.now()))
        await office.attempt()
    assert by <= office.clock.now() <= by + 1
    (told,) = office.notices[0].recipients
    assert (told.action, told.status) == (Action.DELAYED, "4.4.7")
    assert told.diagnostic.startswith("4.4.1 192.0.2.1:25: connection refused")
    await live(office)
    assert [r.recipients[0].action for r in office.notices] == [Action.DELAYED, Action.FAILED]


async def test_a_time_that_had_passed_when_the_mail_came_was_told_of_already() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test", deliver_by=int(office.clock.now()) - 5, by_mode="N")
    await live(office)
    assert [r.recipients[0].action for r in office.notices] == [Action.FAILED]


async def test_notices_have_the_priority_of_their_mail() -> None:
    office = Office()
    await office.enqueue("nobody@a.test", priority=7)
    await office.attempt()
    (notice,) = office.store.entries
    assert notice.priority == 7


# --- what comes back with a notification ---------------------------------------------------------------


async def test_the_whole_mail_comes_back_with_a_failure_only_and_only_where_asked() -> None:
    """RFC 3461 section 4.3: RET is about failures; with any other notification comes the header."""
    for recipient, ret, whole in (
        (QueueRecipient("nobody@a.test"), "FULL", True),
        (QueueRecipient("nobody@a.test"), "HDRS", False),
        (QueueRecipient("nobody@a.test"), "", False),
        (QueueRecipient("bob@a.test", ("SUCCESS",)), "FULL", False),
    ):
        office = Office()
        await office.enqueue(recipient, return_content=ret)
        await office.attempt()
        (entry,) = office.store.entries
        notice = await office.store.octets(entry.account, entry.blob)
        assert (b"message/rfc822" in notice) is whole, (recipient, ret)
        assert (b"text/rfc822-headers" in notice) is not whole


async def test_notices_speak_the_language_that_is_set() -> None:
    office = Office(queue=Queue(language="zh"))
    await office.enqueue("nobody@a.test")
    await office.attempt()
    (entry,) = office.store.entries
    notice = await office.store.octets(entry.account, entry.blob)
    assert "该邮箱不存在。".encode() in notice
    assert office.notices[0].recipients[0].status == "5.1.1"
