"""Reports come by mail: believed where the sender proved itself, kept once, with their mail."""

import gzip
from typing import Any

import pytest
from msgspec import structs

from a3mailer.config.tree import Queue, Reports, Settings
from a3mailer.mail.address import NULL_PATH
from a3mailer.mail.envelope import Client, Envelope
from a3mailer.ops.reports.read import read
from a3mailer.store.operations import PutReport
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Report
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.outcomes import Mail, Outcome, new_id, outcomes_of, put_mail, put_outcome
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.judge import Judged, Judges
from a3mailer.transfer.policy.reports import MAX_CONTENT, MAX_FOUND, ReportFound, ReportMails
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.suppression import suppressions
from tests.unit.msgauth.test_aggregate import WITHOUT_NAMESPACE
from tests.unit.msgauth.test_feedback import ABUSE
from tests.unit.ops.test_reports import mail_with
from tests.unit.transfer.world import MX, SETTINGS, World

ABOUT_US = WITHOUT_NAMESPACE.replace(b"Example.ORG", b"A.test").replace(b"example.org", b"a.test")
MAIL = b"From: <reports@b.test>\r\n" + mail_with(gzip.compress(ABOUT_US)).partition(b"\r\n")[2]


class Office(World):
    """b.test sends from 192.0.2.7 and says so."""

    def __init__(self, given: Settings = SETTINGS) -> None:
        super().__init__(given)
        resolver = FakeResolver()
        resolver.put("b.test", "TXT", b"v=spf1 ip4:192.0.2.7 -all")
        resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject")
        resolver.put("c.test", "TXT", b"v=spf1 ip4:192.0.2.7 -all")
        judges = Judges(
            {
                "authenticate": Authenticate(resolver, given, self.clock),
                "reports": ReportMails(read, self.store, self.directory, given, self.clock),
            }
        )
        self.receive = Receive(self.store, self.directory, given, self.clock, judges)

    async def reports(self) -> tuple[Report, ...]:
        return await self.store.reports()


@pytest.mark.parametrize(
    "to", ["dmarc-reports@a.test", "abuse@a.test", "Dmarc-Reports+x@a.test", "postmaster@a.test"]
)
async def test_a_report_is_kept_and_its_mail_delivered(to: str) -> None:
    office = Office()
    assert await office.send(MAIL, to, sender="reports@b.test") == (None,)
    (row,) = await office.reports()
    assert (row.kind, row.domain, row.source, row.identity) == ("dmarc", "a.test", "b.test", "17205544938312")
    assert row.received == int(office.clock.now())
    assert len(office.store.inbox(office.admin.id)) == 1


async def test_the_same_report_twice_is_one() -> None:
    office = Office()
    for _ in range(2):
        await office.send(MAIL, "dmarc-reports@a.test", sender="reports@b.test")
        office.clock.advance(1)
    assert len(await office.reports()) == 1


async def test_who_has_no_dmarc_record_proves_itself_by_spf() -> None:
    office = Office()
    mail = MAIL.replace(b"reports@b.test", b"reports@c.test")
    await office.send(mail, "dmarc-reports@a.test", sender="reports@c.test")
    (row,) = await office.reports()
    assert row.source == "c.test"


@pytest.mark.parametrize(
    ("octets", "to", "sender", "more"),
    [
        (MAIL, "dmarc-reports@a.test", "reports@b.test", {"client": Client("192.0.2.8", 1, "mx.b.test")}),
        (MAIL.replace(b"From: <reports@b.test>\r\n", b""), "dmarc-reports@a.test", "reports@b.test", {}),
        (MAIL, "alice@a.test", "reports@b.test", {}),
        (MAIL, "dmarc-reports@a.test", "reports@b.test", {"client": Client("192.0.2.7", 1, protocol="LMTP")}),
        (mail_with(gzip.compress(WITHOUT_NAMESPACE)), "dmarc-reports@a.test", "reports@b.test", {}),
        (b"From: <reports@b.test>\r\n\r\nhello\r\n", "dmarc-reports@a.test", "reports@b.test", {}),
    ],
    ids=["forged", "nobody", "a person", "lmtp", "about strangers", "no report"],
)
async def test_what_is_no_report_for_us(octets: bytes, to: str, sender: str, more: dict[str, Any]) -> None:
    office = Office()
    assert await office.send(octets, to, sender=sender, **more) == (None,)
    assert await office.reports() == ()


async def test_a_report_about_a_host_below_a_domain_of_ours() -> None:
    office = Office()
    mail = (
        b"From: <reports@b.test>\r\n"
        + mail_with(gzip.compress(ABOUT_US.replace(b"A.test", b"deep.below.a.test"))).partition(b"\r\n")[2]
    )
    await office.send(mail, "dmarc-reports@a.test", sender="reports@b.test")
    assert [row.domain for row in await office.reports()] == ["a.test"]


async def test_an_address_of_choice() -> None:
    given = structs.replace(SETTINGS, reports=Reports(addresses=("Alice@a.test",)))
    office = Office(given)
    await office.send(MAIL, "alice@a.test", sender="reports@b.test")
    assert len(await office.reports()) == 1


async def test_a_complaint_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "a3mailer.transfer.policy.reports.emit", lambda name, **fields: told.append((name, fields))
    )
    office = Office()
    mail = ABUSE.replace(b"\n", b"\r\n").replace(b"example.net", b"a.test").replace(b"Example.NET", b"A.test")
    mail = mail.replace(b"From: <abusedesk@example.com>", b"From: <abusedesk@b.test>", 1)
    await office.send(mail, "abuse@a.test", sender="abusedesk@b.test")
    (row,) = await office.reports()
    assert (row.kind, row.domain) == ("arf", "a.test")
    ((name, fields),) = told
    assert (name, fields["kind"], fields["domain"], fields["source"]) == (
        "report.complaint",
        "abuse",
        "a.test",
        "b.test",
    )


async def test_a_mail_with_many_reports_is_bounded() -> None:
    office = Office()
    part = b"--x\r\nContent-Type: text/xml\r\n\r\n%b\r\n"
    parts = [part % ABOUT_US.replace(b"17205544938312", b"%d" % n) for n in range(30)]
    head = b"From: <reports@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    await office.send(head + b"".join(parts) + b"--x--\r\n", "abuse@a.test", sender="reports@b.test")
    assert len(await office.reports()) == MAX_FOUND


async def test_a_complaint_reaches_whoever_sent_the_mail_through_the_api() -> None:
    office = Office()
    number = new_id()
    sent = Mail(int(office.clock.now()), f"{number}@mail.a.test", "alice@a.test")
    await office.store.commit(
        Transaction(
            (
                put_mail(office.alice.id, number, sent),
                put_outcome(office.alice.id, number, "user@example.com", Outcome("delivered", 1), 1 << 40),
            )
        )
    )
    mail = ABUSE.replace(b"\n", b"\r\n").replace(b"somespammer@example.net", b"Alice@a.test")
    mail = mail.replace(b"8787KJKJ3K4J3K4J3K4J3.mail@example.net", f"<{number}@mail.a.test>".encode())
    mail = mail.replace(b"From: <abusedesk@example.com>", b"From: <abusedesk@b.test>", 1)
    await office.send(mail, "abuse@a.test", sender="abusedesk@b.test")
    known = await outcomes_of(office.store, office.alice.id, number)
    assert known["user@example.com"].state == "complained"
    assert [row.domain for row in await office.reports()] == ["a.test"]


@pytest.mark.parametrize(
    ("reader", "message", "after", "listed"),
    [
        ("user@b.test", "unknown@a.test", 3, True),
        ("user@mail.b.test", "unknown@a.test", 3, True),
        ("user@b.test", "unknown@a.test", 0, False),
        ("user@c.test", "unknown@a.test", 3, False),
        ("user@c.test", "", 3, True),
    ],
    ids=["his provider", "below it", "switched off", "a stranger", "who knows the mail"],
)
async def test_nothing_is_sent_to_who_complained(reader: str, message: str, after: int, listed: bool) -> None:
    office = Office(structs.replace(SETTINGS, queue=Queue(suppress_after=after)))
    number = new_id()
    sent = Mail(int(office.clock.now()), f"{number}@mail.a.test", "alice@a.test")
    put = put_outcome(office.alice.id, number, reader, Outcome("delivered", 1), 1 << 40)
    await office.store.commit(Transaction((put_mail(office.alice.id, number, sent), put)))
    mail = ABUSE.replace(b"\n", b"\r\n").replace(b"somespammer@example.net", b"alice@a.test")
    mail = mail.replace(b"user@example.com", reader.encode())
    mail = mail.replace(b"8787KJKJ3K4J3K4J3K4J3.mail@example.net", (message or sent.message_id).encode())
    mail = mail.replace(b"From: <abusedesk@example.com>", b"From: <abusedesk@b.test>", 1)
    await office.send(mail, "abuse@a.test", sender="abusedesk@b.test")
    found = [(row.address, row.what.reason, row.what.active) async for row in suppressions(office.store)]
    assert found == ([(reader, "complaint", True)] if listed else [])


async def test_what_is_too_large_to_be_kept_is_not() -> None:
    office = Office()
    huge = ReportFound("dmarc", ("a.test",), "1", 1, 2, '"' + "x" * MAX_CONTENT + '"')
    small = ReportFound("dmarc", ("a.test",), "2", 1, 2, "{}")
    judge = ReportMails(lambda mail: (huge, small), office.store, office.directory, SETTINGS, office.clock)
    arrival = Arrival(MX, Envelope(NULL_PATH), (), b"", "")
    judged = await judge.judge(Judged(arrival, author="b.test"), 10.0)
    kept = [each.identity for each in judged.arrival.beside if isinstance(each, PutReport)]
    assert kept == ["2"]
