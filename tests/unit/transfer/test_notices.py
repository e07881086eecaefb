"""What a sender is told of more than one recipient: once of a delay, and of an alias what the alias did."""

from pathlib import Path

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.mail.ids import QueueId
from a3mailer.store import operations as op
from a3mailer.store.operations import QueueRecipient
from a3mailer.store.ports import Transaction
from a3mailer.testing.peer import ScriptedPeer
from a3mailer.wire.dsn.report import Action
from tests.unit.transfer.office import Office
from tests.unit.transfer.queue.test_queue import live


@pytest.mark.parametrize(
    ("wish", "handed_on", "told"),
    [
        ((), (), []),
        (("FAILURE",), ("FAILURE",), []),
        (("FAILURE", "SUCCESS"), ("FAILURE",), [Action.EXPANDED]),
        (("SUCCESS",), ("NEVER",), [Action.EXPANDED]),
    ],
)
async def test_an_alias_of_several_addresses_tells_of_itself_and_they_do_not(
    wish: tuple[str, ...], handed_on: tuple[str, ...], told: list[Action]
) -> None:
    """RFC 3461 section 5.2.7.3 (c)."""
    office = Office()
    office.store.put_alias("team@a.test", "bob@a.test", "x@b.test", "y@c.test", kind="group")
    await office.enqueue(QueueRecipient("team@a.test", wish, "rfc822;Team@a.test"))
    await office.attempt()
    (entry,) = [e for e in office.store.entries if e.reverse_path]
    people = {(r.address, r.notify, r.original) for r in entry.recipients}
    assert people == {(a, handed_on, "rfc822;Team@a.test") for a in ("x@b.test", "y@c.test")}
    assert [r.action for n in office.notices for r in n.recipients] == told
    assert all(n.recipients[0].final == "team@a.test" for n in office.notices)


async def test_who_traces_a_mail_hears_of_an_alias_of_several_addresses() -> None:
    """RFC 2852: by-trace, whatever NOTIFY says of successes."""
    office = Office()
    office.store.put_alias("team@a.test", "x@b.test", "y@c.test", kind="group")
    by = int(office.clock.now()) + 3600
    await office.enqueue(QueueRecipient("team@a.test", ("FAILURE",)), deliver_by=by, by_mode="NT")
    await office.attempt()
    assert [r.action for n in office.notices for r in n.recipients] == [Action.EXPANDED]
    (entry,) = [e for e in office.store.entries if e.reverse_path]
    assert (entry.by_mode, entry.deliver_by) == ("NT", by), "the trace goes on"


async def test_a_mail_that_several_do_not_take_has_one_delay_notice() -> None:
    """Ways that fail at different times included: who still waits is told of together, once."""
    office = Office()
    for domain in ("b.test", "c.test", "d.test"):
        office.resolver.mail_host(domain, "192.0.2.1")
    people = ("x@b.test", QueueRecipient("y@c.test", ("FAILURE",)), "z@d.test")
    await office.enqueue(*people, QueueRecipient("n@d.test", ("DELAY",)))
    await live(office)
    delayed, *others = office.notices
    assert [r.final for r in delayed.recipients] == ["x@b.test", "z@d.test", "n@d.test"]
    assert {(r.action, r.status, r.retry_until > 0) for r in delayed.recipients} == {
        (Action.DELAYED, "4.4.1", True)
    }
    assert {r.action for n in others for r in n.recipients} == {Action.FAILED}
    assert sorted(r.final for n in others for r in n.recipients) == ["x@b.test", "y@c.test", "z@d.test"]


async def test_who_is_not_tried_when_the_others_are_late_is_told_of_with_them() -> None:
    office = Office(queue=QueueSettings(delay_notice_seconds=300, retry=(300,)))
    for domain in ("b.test", "c.test"):
        office.resolver.mail_host(domain, "192.0.2.1")
    queue = QueueId(await office.enqueue("x@b.test", "y@c.test"))
    await office.attempt()
    now = int(office.clock.now())
    (entry,) = office.store.entries
    await office.store.commit(Transaction((op.ClaimQueue("other", now + 400, now + 500),)))
    rest = op.RecipientOutcome(1, "waiting", 451, "4.7.1", "greylisted", "mx.c.test", now + 4000)
    await office.store.commit(Transaction((op.SettleQueue(queue, "other", (rest,), now + 400),)))
    office.clock.advance(400)
    await office.attempt()
    (told,) = office.notices
    assert [(r.final, r.status, r.diagnostic[:9], r.last_attempt > 0) for r in told.recipients] == [
        ("x@b.test", "4.4.1", "4.4.1 192", True), ("y@c.test", "4.7.1", "451 4.7.1", False)
    ]  # fmt: skip
    (entry,) = [e for e in office.store.entries if e.id == queue]
    assert [(r.attempts, r.delay_notified, r.host) for r in entry.recipients] == [
        (2, True, ""), (2, True, "mx.c.test")
    ]  # fmt: skip
    assert entry.lease_until == 0


async def test_what_counts_as_4yz_is_told_as_4yz(tmp_path: Path) -> None:
    """552 to RCPT is too many recipients (RFC 5321 4.5.3.1.10): the mail waits, and so says its status."""
    path = tmp_path / "full.transcript"
    steps = ["S: 220 x", "C: EHLO <...>", "S: 250 x", "C: MAIL <...>", "S: 250 ok", "C: RCPT <...>",
             "S: 552 5.2.2 full", "C: RSET", "S: 250 ok", "C: QUIT", "S: 221 bye"]  # fmt: skip
    path.write_text("".join(f"{n}{step}\n" for n in (1, 2) for step in steps))
    settings = QueueSettings(delay_notice_seconds=300, retry=(300,))
    office = Office(ScriptedPeer(path), settings)
    office.resolver.mail_host("b.test", "192.0.2.1")
    await office.enqueue("x@b.test")
    await office.attempt()
    office.clock.advance(3700)
    await office.attempt()
    (told,) = office.notices
    assert [(r.action, r.status, r.diagnostic) for r in told.recipients] == [
        (Action.DELAYED, "4.2.2", "552 5.2.2 full")
    ]
