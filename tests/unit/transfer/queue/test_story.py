"""Where a mail is, as a person is told."""

from dataclasses import replace

from a3mailer.config.tree import Queue
from a3mailer.mail.ids import QueueId, TenantId
from a3mailer.store.operations import QueueRecipient
from a3mailer.store.rows import Finished
from a3mailer.transfer.queue.story import moment, of_entry, of_finished
from a3mailer.transfer.schedule import URGENT, Schedule
from tests.unit.transfer.office import Office

NOW = 1_795_000_000
SCHEDULE = Schedule.of(Queue())
ROW = Finished(
    1, NOW + 60, QueueId(7), TenantId(1), "abc", "1@a.test", "alice@a.test", NOW, "bob@b.test", 2, "relayed",
    250, "2.0.0", "queued", "mx.b.test",
)  # fmt: skip


async def test_a_mail_that_waits() -> None:
    office = Office()
    office.resolver.mail_host("b.test", "192.0.2.1")
    began = int(office.clock.now())
    await office.enqueue("bob@b.test", QueueRecipient("carol@b.test"), message_id="1@a.test")
    (entry,) = office.store.entries
    head = f"accepted {moment(began)} from <alice@a.test>, Message-ID <1@a.test>, trace t"
    end = f"gives up {moment(began + 5 * 86400)}"
    assert of_entry(entry, SCHEDULE, began) == (
        head,
        f"  to <bob@b.test>: not tried yet; next try at once; {end}",
        f"  to <carol@b.test>: not tried yet; next try at once; {end}",
    )
    await office.attempt()
    (entry,) = office.store.entries
    next_try = moment(entry.recipients[0].next_attempt)
    refused = "192.0.2.1:25: connection refused"
    assert of_entry(entry, SCHEDULE, began)[1] == (
        f"  to <bob@b.test>: tried once; {refused}; next try {next_try}; {end}"
    )
    said = replace(entry.recipients[0], attempts=3, code=450, enhanced="4.2.1", text="busy", host="mx.b.test")
    entry = replace(entry, recipients=(said,), lease_owner="w", lease_until=began + 30)
    assert of_entry(entry, SCHEDULE, began)[1] == (
        f"  to <bob@b.test>: tried 3 times; mx.b.test said: 450 4.2.1 busy; it is being tried now; {end}"
    )
    entry = replace(entry, held=True, lease_until=0)
    assert of_entry(entry, SCHEDULE, began)[1:] == (
        "an operator holds it: nothing is tried until it is released",
        f"  to <bob@b.test>: tried 3 times; mx.b.test said: 450 4.2.1 busy; no next try; {end}",
    )
    urgent = replace(said, next_attempt=URGENT)
    assert (
        "; next try at once; " in of_entry(replace(entry, held=False, recipients=(urgent,)), SCHEDULE, 0)[1]
    )


async def test_a_mail_with_promises() -> None:
    office = Office()
    began = int(office.clock.now())
    await office.enqueue("bob@b.test", sender="", not_before=began + 60, deliver_by=began + 120, by_mode="R")
    (entry,) = office.store.entries
    told = of_entry(entry, SCHEDULE, began)
    assert told == (
        f"accepted {moment(began)} of this server's own, a notice, trace t",
        f"it is held until {moment(began + 60)}, as its sender asked",
        f"if it is not there by {moment(began + 120)}, it comes back, as its sender asked",
        f"  to <bob@b.test>: not tried yet; next try {moment(began + 60)}; gives up {moment(began + 120)}",
    )
    entry = replace(entry, by_mode="NT")
    assert of_entry(entry, SCHEDULE, began + 61)[1].endswith(", its sender is told, as its sender asked")


def test_what_has_left_is_told_mail_by_mail() -> None:
    refused = replace(ROW, state="failed", code=550, enhanced="5.1.1", text="no")
    rows = (
        replace(ROW, number=3, queue=QueueId(9), created=NOW + 5, state="delivered", host="", trace=""),
        replace(refused, number=2, address="c@b.test", attempts=1),
        ROW,
        replace(ROW, number=4, address="d@b.test", state="expired", code=0, enhanced="4.4.1", text="refused"),
        replace(ROW, number=5, address="e@b.test", state="removed", code=0, text="", host="", attempts=0),
    )  # fmt: skip
    at = moment(NOW + 60)
    assert of_finished(rows) == (
        f"accepted {moment(NOW)} from <alice@a.test>, Message-ID <1@a.test>, trace abc",
        f"  to <bob@b.test>: taken by mx.b.test {at} after 2 tries; mx.b.test said: 250 2.0.0 queued",
        f"  to <c@b.test>: refused for good {at} after 1 try; mx.b.test said: 550 5.1.1 no",
        f"  to <d@b.test>: given up, for it had waited too long {at} after 2 tries; refused",
        f"  to <e@b.test>: given up by an administrator {at} after 0 tries",
        f"accepted {moment(NOW + 5)} from <alice@a.test>, Message-ID <1@a.test>, trace -",
        f"  to <bob@b.test>: put into the mailbox here {at} after 2 tries",
    )
    assert of_finished(()) == ()
    assert moment(NOW) == "Wed 2026-11-18 11:06 UTC"
