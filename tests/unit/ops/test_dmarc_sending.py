"""Our DMARC reports to others: what is counted, what they hold, when they go, to whom, and that once."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from a3mailer.config.tree import Msgauth, Reports, Server, Settings
from a3mailer.mail.authresults import AuthResults
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.mail.message import headers, index
from a3mailer.msgauth.aggregate import Aggregate, DkimAuth, Published, Reason, SpfAuth, parse
from a3mailer.msgauth.arc import Chain
from a3mailer.msgauth.dkim import DkimResult
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.dmarc_record import parse as parse_record
from a3mailer.msgauth.evaluate import Evaluation
from a3mailer.msgauth.packed import unpack
from a3mailer.ops.reports import dmarc, dmarc_report
from a3mailer.ops.reports.daily import DAY, LEAST_SECONDS, SPREAD_SECONDS
from a3mailer.ops.reports.destinations import MOST_PLACES
from a3mailer.ops.reports.dmarc_sending import (
    GIVE_UP_SECONDS,
    DmarcReports,
)
from a3mailer.ops.reports.read import read
from a3mailer.store.operations import AddTallies, Enqueue, Tally
from a3mailer.store.ports import Transaction
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.dmarc_outcomes import (
    KIND,
    MAX_SIGNATURES,
    DmarcOutcome,
    DmarcOutcomes,
    outcome_of,
)
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.reports import ReportMails
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.signing import Signing
from a3mailer.transfer.tallies import Tallies
from tests.unit.msgauth.signed import key, record
from tests.unit.transfer.test_signing import put
from tests.unit.transfer.world import World

SOON = float(LEAST_SECONDS + SPREAD_SECONDS)
FORGER = Client("198.51.100.66", 40000, "forger.test")
OURS = Client("192.0.2.1", 40000, "mail.b.test")
"""A host of b.test."""
MAIL = b"From: Carol <carol@b.test>\r\nSubject: hello\r\n\r\nGood morning.\r\n"


def settings(
    domain: str, *, send: bool = True, dmarc: str = "tag", trusted: tuple[str, ...] = ()
) -> Settings:
    return Settings(
        server=Server(hostname=f"mail.{domain}", domain=domain),
        reports=Reports(dmarc_send=send),
        msgauth=Msgauth(dmarc=dmarc),
    )


class Office(World):
    """A server of a domain, in a DNS it shares with others; it begins at midnight."""

    def __init__(self, folder: Path, resolver: FakeResolver, given: Settings) -> None:
        super().__init__(given)
        domain = given.server.domain
        self.clock.advance(DAY - self.clock.now() % DAY)
        self.today = int(self.clock.now())
        self.store.put_domain(domain)
        self.resolver = resolver
        self.tallies = Tallies(self.store, self.clock)
        self.judge = Authenticate(resolver, given, self.clock, DmarcOutcomes(self.tallies, given))
        judges = Judges(
            {
                "authenticate": self.judge,
                "reports": ReportMails(read, self.store, self.directory, given, self.clock),
            }
        )
        self.receive = Receive(self.store, self.directory, given, self.clock, judges)
        put(folder, domain, "rsa2048")
        self.signing = Signing(folder, given)
        self.restart()

    def restart(self) -> None:
        self.reports = DmarcReports(
            self.store, self.resolver, self.clock, lambda: self.settings, self.signing.signs
        )

    def signed(self, mail: bytes) -> bytes:
        return self.signing.sign(mail, int(self.clock.now()))

    async def counted(self) -> dict[DmarcOutcome, int]:
        await self.tallies.flush()
        found = await self.store.tallies(KIND, self.today, "b.test")
        return {msgspec.json.decode(tally.key, type=DmarcOutcome): tally.count for tally in found}

    async def look(self, seconds: float = DAY + SOON) -> list[tuple[Enqueue, bytes]]:
        """The mails that a look after so long has queued."""
        await self.tallies.flush()
        before = len(list(self.queued()))
        self.clock.advance(seconds)
        await self.reports.round(asyncio.Event())
        return list(self.queued())[before:]

    def queued(self) -> Iterator[tuple[Enqueue, bytes]]:
        for transaction in self.store.transactions:
            for operation in transaction.operations:
                if isinstance(operation, Enqueue):
                    yield operation, bytes(transaction.contents[operation.content].octets)


def dns() -> FakeResolver:
    """b.test sends from 192.0.2.1 and wants reports."""
    resolver = FakeResolver()
    resolver.put("b.test", "TXT", b"v=spf1 ip4:192.0.2.1 -all")
    resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; rua=mailto:dmarc-reports@b.test")
    return resolver


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, dns(), settings("a.test"))


def report_of(mail: bytes) -> Aggregate:
    (part,) = [part for part in index(mail).parts if part.media == b"application/gzip"]
    return parse(unpack(base64.b64decode(mail[part.body : part.end])))


# --- counting --------------------------------------------------------------------------------------


async def test_what_is_counted(office: Office) -> None:
    for _ in range(3):
        await office.send(MAIL, "alice@a.test", client=OURS)
    await office.send(MAIL, "alice@a.test", client=FORGER)
    good, bad = sorted((await office.counted()).items(), key=lambda item: item[0].disposition, reverse=True)
    assert good == (
        DmarcOutcome(
            "192.0.2.1",
            "b.test",
            "pass",
            spf=True,
            envelope_from="b.test",
            spf_domain="b.test",
            spf_result="pass",
        ),
        3,
    )
    assert bad == (
        DmarcOutcome(
            "198.51.100.66", "b.test", "none", envelope_from="b.test", spf_domain="b.test", spf_result="fail",
            reason="local_policy",
        ),
        1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "policy", "disposition", "reason"),
    [
        ("tag", "none", "none", ""),
        ("tag", "reject", "none", "local_policy"),
        ("junk", "quarantine", "quarantine", ""),
        ("junk", "reject", "quarantine", "local_policy"),
        ("enforce", "quarantine", "quarantine", ""),
        ("enforce", "reject", "reject", ""),
        ("junk", "quarantine; t=y", "none", "policy_test_mode"),
        ("enforce", "reject; t=y", "quarantine", "policy_test_mode"),
        ("tag", "reject; t=y", "none", "local_policy"),
        ("junk", "none; t=y", "none", ""),
    ],
)
async def test_what_was_done_is_told_as_it_was(
    tmp_path: Path, choice: str, policy: str, disposition: str, reason: str
) -> None:
    office = Office(tmp_path, dns(), settings("a.test", dmarc=choice))
    office.resolver.put("_dmarc.b.test", "TXT", f"v=DMARC1; p={policy}; rua=mailto:r@b.test".encode())
    (outcome,) = await office.send(MAIL, "alice@a.test", client=FORGER)
    assert isinstance(outcome, Refused) is (disposition == "reject")
    (counted,) = await office.counted()
    assert (counted.disposition, counted.reason) == (disposition, reason)


async def test_signatures_are_told_and_whether_they_are_aligned(tmp_path: Path) -> None:
    office = Office(tmp_path, dns(), settings("a.test"))
    put(tmp_path, "b.test", "ed")
    office.resolver.put("ed._domainkey.b.test", "TXT", record(key("ed")))
    signed = Signing(tmp_path, settings("b.test")).sign(MAIL, int(office.clock.now()))
    await office.send(signed, "alice@a.test", client=FORGER, sender="list@c.test")
    (counted,) = await office.counted()
    assert (counted.disposition, counted.dkim, counted.spf) == ("pass", True, False)
    assert counted.signatures == (("b.test", "ed", "pass"),)
    assert (counted.envelope_from, counted.spf_domain, counted.spf_result) == ("c.test", "c.test", "none")


async def test_of_many_signatures_the_aligned_are_told_first() -> None:
    """RFC 9990 section 3.1.3: who passed in strict alignment, then relaxed, then any, then who failed."""
    named = [("z.test", "pass"), ("mail.b.test", "fail"), ("x.b.test", "pass"), ("b.test", "pass")]
    named += [(f"a{n}.test", "fail") for n in range(10)]
    dmarc = DmarcResult("pass", "b.test", organizational="b.test", record=parse_record(b"v=DMARC1; p=none"))
    found = Evaluation(
        AuthResults("mx", ()), dmarc, Chain("none"), dkim=tuple(DkimResult(r, "", d, "s") for d, r in named)
    )
    told = outcome_of("192.0.2.1", "", found, "none").signatures
    assert [domain for domain, _, _ in told[:3]] == ["b.test", "x.b.test", "z.test"]
    assert len(told) == MAX_SIGNATURES
    assert {result for _, _, result in told[3:]} == {"fail"}


async def test_of_whom_nothing_is_counted(tmp_path: Path) -> None:
    office = Office(tmp_path, dns(), settings("a.test", send=False))
    await office.send(MAIL, "alice@a.test", client=OURS)
    assert await office.counted() == {}
    office = Office(tmp_path, dns(), settings("a.test"))
    for text in (b"v=DMARC1; p=reject", b"v=DMARC1; p=reject; rua=nonsense"):
        office.resolver.put("_dmarc.b.test", "TXT", text)
        await office.send(MAIL, "alice@a.test", client=OURS)
    office.resolver.fail("_dmarc.b.test", "TXT")
    await office.send(MAIL, "alice@a.test", client=OURS)
    await office.tallies.flush()
    assert await office.store.tallied(KIND, 1 << 40) == ()


async def test_counting_may_be_switched_on(tmp_path: Path) -> None:
    office = Office(tmp_path, dns(), settings("a.test", send=False))
    office.judge.reconfigure(settings("a.test"))
    await office.send(MAIL, "alice@a.test", client=OURS)
    assert sum((await office.counted()).values()) == 1


# --- sending ---------------------------------------------------------------------------------------


async def test_the_report_holds_what_was_counted_and_goes_once(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.look(DAY + LEAST_SECONDS - 60) == []
    ((enqueue, mail),) = await office.look(SOON)
    report = report_of(mail)
    assert (report.organization, report.email) == ("a.test", "dmarc-reports@a.test")
    assert (report.begins, report.ends) == (office.today, office.today + DAY - 1)
    assert report.published == Published("b.test", "reject", failure_options="0")
    assert [(row.source_ip, row.count, row.disposition, row.spf) for row in report.rows] == [
        ("192.0.2.1", 1, "pass", "pass"),
        ("198.51.100.66", 1, "none", "fail"),
    ]
    assert report.rows[1].reasons == (Reason("local_policy"),)
    assert report.rows[1].spf_auth == (SpfAuth("b.test", "mfrom", "fail"),)
    assert (enqueue.account, enqueue.reverse_path) == (SYSTEM_ACCOUNT, "")
    assert [(r.address, r.notify) for r in enqueue.recipients] == [("dmarc-reports@b.test", ("NEVER",))]
    assert await office.store.tallied(KIND, 1 << 40) == ()
    office.restart()
    assert await office.look(DAY) == []


async def test_the_mail_has_the_form_of_the_rfc(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    ((_, mail),) = await office.look()
    end = mail.index(b"\r\n\r\n") + 2
    unique = report_of(mail).report_id
    subject = headers.first(mail, 0, end, b"subject")
    assert subject == f"Report Domain: b.test Submitter: a.test Report-ID: <{unique}>".encode()
    assert headers.first(mail, 0, end, b"from") == b"<dmarc-reports@a.test>"
    assert headers.first(mail, 0, end, b"to") == b"<dmarc-reports@b.test>"
    assert (
        f'filename="a.test!b.test!{office.today}!{office.today + DAY - 1}!{unique}.xml.gz"' in mail.decode()
    )
    assert b"1 passed, 0 failed." in mail
    (part,) = [part for part in index(mail).parts if part.media == b"application/gzip"]
    text = gzip.decompress(base64.b64decode(mail[part.body : part.end])).decode()
    assert "<discovery_method>treewalk</discovery_method>" in text
    assert text.count("<scope>mfrom</scope>") == text.count("<spf>\n") == 1
    assert mail.count(b"\n") == mail.count(b"\r\n")


async def test_not_all_domains_hear_at_once(office: Office) -> None:
    same = msgspec.json.encode(DmarcOutcome("192.0.2.1", "x.test", "pass")).decode()
    for number in range(20):
        name = f"d{number}.test"
        office.resolver.put(f"_dmarc.{name}", "TXT", f"v=DMARC1; p=none; rua=mailto:r@{name}".encode())
        await office.store.commit(Transaction((AddTallies(KIND, (Tally(office.today, name, same, 1),)),)))
    went = [len(await office.look(DAY if not step else 600.0)) for step in range(1 + int(SOON / 600) + 1)]
    assert sum(went) == 20
    assert sum(1 for each in went if each) > 5


@pytest.mark.parametrize(
    ("rua", "there", "gets"),
    [
        ("mailto:r@b.test", {}, ["r@b.test"]),
        ("mailto:r@sub.b.test", {}, ["r@sub.b.test"]),
        ("mailto:r@c.test", {}, []),
        ("mailto:r@c.test", {"b.test._report._dmarc.c.test": b"v=DMARC1"}, ["r@c.test"]),
        ("mailto:r@c.test", {"b.test._report._dmarc.c.test": b"v=spf1"}, []),
        ("mailto:r@c.test", {"b.test._report._dmarc.c.test": b"v=DMARC1; rua=mailto:o@c.test"}, ["o@c.test"]),
        ("mailto:r@c.test", {"b.test._report._dmarc.c.test": b"v=DMARC1; rua=mailto:o@d.test"}, []),
        (f"mailto:r@{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 60}.test,mailto:r@b.test", {}, ["r@b.test"]),
        ("https://b.test/r,mailto:r@b.test", {}, ["r@b.test"]),
        ("mailto:r@b.test!1k,mailto:s@b.test!10m", {}, ["s@b.test"]),
        (",".join(f"mailto:r{n}@b.test" for n in range(9)), {}, [f"r{n}@b.test" for n in range(MOST_PLACES)]),
    ],
)
async def test_who_gets_it(office: Office, rua: str, there: dict[str, bytes], gets: list[str]) -> None:
    """A place elsewhere has to want it; one that takes only so many octets gets none that is larger."""
    office.resolver.put("_dmarc.b.test", "TXT", f"v=DMARC1; p=none; rua={rua}".encode())
    for name, text in there.items():
        office.resolver.put(name, "TXT", text)
    for number in range(200):
        client = Client(f"198.51.100.{number}", 1, f"host{number * 7919}.example")
        await office.send(MAIL, "alice@a.test", client=client, sender=f"x@{number * 7919}.example")
    mails = await office.look()
    assert [enqueue.recipients[0].address for enqueue, _ in mails] == gets
    assert await office.store.tallied(KIND, 1 << 40) == ()


async def test_whoever_wants_none_any_more_gets_none(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject")
    assert await office.look() == []
    assert await office.store.tallied(KIND, 1 << 40) == ()


async def test_a_dns_that_is_silent_is_asked_again_for_some_days(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    office.resolver.fail("_dmarc.b.test", "TXT")
    assert await office.look() == []
    assert len(await office.store.tallied(KIND, 1 << 40)) == 1
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; rua=mailto:r@b.test")
    assert len(await office.look(600)) == 1
    await office.send(MAIL, "alice@a.test", client=OURS)
    office.resolver.fail("_dmarc.b.test", "TXT")
    assert await office.look(2 * DAY + SOON + GIVE_UP_SECONDS) == []
    assert await office.store.tallied(KIND, 1 << 40) == ()


async def test_without_a_key_or_when_switched_off_nothing_goes(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    office.settings = settings("nokey.test")
    assert await office.look() == []
    await office.send(MAIL, "alice@a.test", client=OURS)
    office.settings = settings("a.test", send=False)
    assert await office.look() == []
    assert await office.store.tallied(KIND, 1 << 40) == ()


def test_the_rarest_rows_of_a_huge_report_are_left_out() -> None:
    def tallies(number: int) -> Iterator[Tally]:
        for n in range(number):
            outcome = DmarcOutcome(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "b.test", "none")
            yield Tally(0, "b.test", msgspec.json.encode(outcome).decode(), 2 if n else 9)
        yield Tally(0, "b.test", '{"of": "a version to come"}', 5)

    rows, left_out = dmarc_report.rows_of(tallies(dmarc_report.MOST_ROWS + 10))
    assert (len(rows), rows[0].count, left_out) == (dmarc_report.MOST_ROWS, 9, 20)


async def test_what_we_see_of_our_own_domain_is_kept_without_a_mail(tmp_path: Path) -> None:
    resolver = dns()
    rua = b"rua=mailto:dmarc-reports@a.test,mailto:elsewhere@b.test"
    resolver.put("_dmarc.a.test", "TXT", b"v=DMARC1; p=reject; " + rua)
    resolver.put("a.test._report._dmarc.b.test", "TXT", b"v=DMARC1")
    office = Office(tmp_path, resolver, settings("a.test"))
    await office.send(MAIL.replace(b"b.test", b"a.test"), "alice@a.test", client=FORGER)
    assert [enqueue.recipients[0].address for enqueue, _ in await office.look()] == ["elsewhere@b.test"]
    (row,) = await office.store.reports("dmarc", "a.test")
    assert (row.source, row.begins) == ("a.test", office.today)
    kept = msgspec.json.decode(row.content, type=dmarc.Kept)
    assert [(source.ip, source.count, source.passed) for source in kept.sources] == [
        ("198.51.100.66", 1, False)
    ]


# --- two servers -----------------------------------------------------------------------------------


async def test_one_reports_and_the_other_shows_it(tmp_path: Path) -> None:
    """b.test sends with and without its signature, a.test counts and reports, b.test reads the advice."""
    resolver = dns()
    resolver.put("a.test", "TXT", b"v=spf1 ip4:203.0.113.5 -all")
    resolver.put("_dmarc.a.test", "TXT", b"v=DMARC1; p=reject")
    for domain in ("a.test", "b.test"):
        resolver.put(f"rsa2048._domainkey.{domain}", "TXT", record(key("rsa2048")))
    here = Office(tmp_path / "a", resolver, settings("a.test"))
    there = Office(tmp_path / "b", resolver, settings("b.test"))
    forgotten = Client("192.0.2.7", 40000, "printer.b.test")
    for number in range(5):
        signed = there.signed(MAIL.replace(b"hello", b"%d" % number))
        await here.send(signed, "alice@a.test", client=OURS)
        await here.send(MAIL, "alice@a.test", client=forgotten)
    ((enqueue, mail),) = await here.look()
    there.clock.advance(DAY + SOON)
    way = Client("203.0.113.9", 40000, "mail.a.test")  # not in SPF: the signature alone proves it
    sent = await there.send(here.signed(mail), enqueue.recipients[0].address, sender="", client=way)
    assert sent == (None,)
    (row,) = await there.store.reports()
    assert (row.kind, row.domain, row.source) == ("dmarc", "b.test", "a.test")
    kept = msgspec.json.decode(row.content, type=dmarc.Kept)
    assert (kept.mails, kept.passed) == (10, 5)
    assert {source.dkim for source in kept.sources} == {"pass", "none"}
    summary = dmarc.KIND.summary()
    summary.add(row)
    (entry,) = summary.domains()
    assert entry["advice"] == [
        "192.0.2.7 sends as b.test with SPF fail and DKIM none: 5 mails in 1 day; "
        "if it is yours, add it to SPF or sign there."
    ]
    assert report_of(mail).rows[0].dkim_auth == (DkimAuth("b.test", "rsa2048", "pass"),)
