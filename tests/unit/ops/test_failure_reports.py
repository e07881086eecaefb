"""Failure reports: off until switched on, of mails that failed, with no names in them, and few."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from a3mailer.config.tree import Reports, Settings
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.mail.message import index
from a3mailer.msgauth.feedback import Feedback, parse
from a3mailer.ops.reports import arf
from a3mailer.ops.reports.failures import MOST_WAITING, FailureReports, shown
from a3mailer.ops.reports.read import read
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.reports import ReportMail
from a3mailer.transfer.receive import Receive
from tests.unit.msgauth.signed import key, record, signed
from tests.unit.ops.test_dmarc_sending import FORGER, MAIL, OURS, dns, settings
from tests.unit.ops.test_dmarc_sending import Office as Sender

KEY = b"k" * 32
ASKS = b"v=DMARC1; p=reject; ruf=mailto:ruf@b.test"


class Office(Sender):
    """A server that tells of failures."""

    def __init__(self, folder: Path, resolver: FakeResolver, given: Settings) -> None:
        super().__init__(folder, resolver, given)
        self.failures = FailureReports(
            self.store, resolver, self.clock, lambda: self.settings, self.signing.signs, KEY
        )
        self.judge = Authenticate(resolver, given, self.clock, failed=self.failures.note)
        judges = Judges({"authenticate": self.judge})
        self.receive = Receive(self.store, self.directory, given, self.clock, judges)

    async def mails(self) -> list[bytes]:
        await self.failures.round()
        return [mail for _, mail in self.queued()]


def telling(**more: int) -> Settings:
    return structs.replace(settings("a.test"), reports=Reports(failure_send=True, **more))  # type: ignore[arg-type]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    resolver = dns()
    resolver.put("_dmarc.b.test", "TXT", ASKS)
    return Office(tmp_path, resolver, telling())


def feedback(mail: bytes) -> Feedback:
    found = parse(mail, index(mail))
    assert found is not None
    return found


async def test_a_mail_that_failed_is_told_of(office: Office) -> None:
    await office.send(MAIL, "alice@a.test", client=FORGER)
    ((enqueue, mail),) = [] if await office.mails() == [] else list(office.queued())
    assert (enqueue.account, enqueue.reverse_path) == (SYSTEM_ACCOUNT, "")
    assert [(r.address, r.notify) for r in enqueue.recipients] == [("ruf@b.test", ("NEVER",))]
    found = feedback(mail)
    assert (found.kind, found.auth_failure, found.delivery_result) == ("auth-failure", "dmarc", "delivered")
    assert (found.source_ip, found.reported_domains, found.incidents) == ("198.51.100.66", ("b.test",), 1)
    (results,) = found.results
    assert results.startswith("mail.a.test; iprev=")
    assert "dmarc=fail header.from=b.test policy.dmarc=reject" in results
    ((report),) = read(ReportMail("a.test", mail))
    assert (report.kind, report.domains[0], report.complaint) == ("arf", "b.test", None)
    assert arf.KIND.name == report.kind


async def test_what_was_aligned_and_failed_is_told(tmp_path: Path) -> None:
    """RFC 9991 section 4: Identity-Alignment, and of an aligned identifier its signature and SPF policy."""
    resolver = dns()
    resolver.put("_dmarc.b.test", "TXT", ASKS)
    office = Office(tmp_path, resolver, telling())
    broken = b"DKIM-Signature: v=1; a=rsa-sha256; d=b.test; s=epsilon; h=from; bh=YQ==; b=YQ==\r\n" + MAIL
    await office.send(broken, "alice@a.test", client=FORGER)
    (mail,) = await office.mails()
    found = feedback(mail)
    assert found.alignment == ("dkim", "spf")
    assert (found.dkim_domain, found.dkim_identity, found.dkim_selector) == ("b.test", "@b.test", "epsilon")
    assert b'\r\nSPF-DNS: txt : b.test : "v=spf1 ' in mail
    await office.send(MAIL, "alice@a.test", client=FORGER, sender="x@elsewhere.test")
    *_, mail = await office.mails()
    found = feedback(mail)
    assert (found.alignment, found.dkim_domain) == (("spf",), "")
    assert b"SPF-DNS" not in mail


async def test_a_public_suffix_hears_of_no_single_mail(office: Office) -> None:
    """RFC 9991 section 2."""
    office.resolver.put("_dmarc.b.test", "TXT", ASKS + b"; psd=y")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.mails() == []


async def test_no_name_and_no_content_is_told(office: Office) -> None:
    mail = (
        b"Received: from x by y for <alice@a.test>; x\r\nTo: Alice <alice@a.test>\r\nCc: bob@a.test\r\n"
        b"Message-ID: <1@b.test>\r\nX-Secret: alice\r\n" + MAIL
    )
    await office.send(mail, "alice@a.test", client=FORGER, sender="carol@b.test")
    (told,) = await office.mails()
    for word in (b"alice", b"bob", b"carol@", b"hello", b"Good morning", b"X-Secret"):
        assert word not in told, word
    assert b"Message-ID: <1@b.test>" in told
    assert b"From: Carol <" in told
    assert feedback(told).mail_from.endswith("@b.test")


@pytest.mark.parametrize(
    ("options", "told"),
    [("", True), ("; fo=0", True), ("; fo=1", True), ("; fo=s", True), ("; fo=d", False), ("; fo=d:s", True)],
)
async def test_what_the_domain_asks_for(office: Office, options: str, told: bool) -> None:
    office.resolver.put("_dmarc.b.test", "TXT", ASKS + options.encode())
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert bool(await office.mails()) is told


async def test_of_what_nothing_is_told(office: Office, tmp_path: Path) -> None:
    await office.send(MAIL, "alice@a.test", client=OURS)
    await office.send(MAIL, "alice@a.test", client=FORGER, sender="")
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; rua=mailto:r@b.test")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; ruf=mailto:r@c.test")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.mails() == [], "c.test has not agreed"
    office.resolver.put("_dmarc.b.test", "TXT", ASKS)
    office.settings = settings("a.test")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.mails() == [], "switched off"
    office.settings = structs.replace(telling(), server=settings("nokey.test").server)
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.mails() == [], "not signed"


async def test_a_place_elsewhere_that_agreed(office: Office) -> None:
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; ruf=mailto:r@c.test")
    office.resolver.put("b.test._report._dmarc.c.test", "TXT", b"v=DMARC1; ruf=mailto:other@c.test")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    await office.mails()
    assert [enqueue.recipients[0].address for enqueue, _ in office.queued()] == ["other@c.test"]


async def test_a_domain_gets_a_few_an_hour_and_the_rest_as_a_number(tmp_path: Path) -> None:
    resolver = dns()
    resolver.put("_dmarc.b.test", "TXT", ASKS)
    office = Office(tmp_path, resolver, telling(failure_rate=2))
    for _ in range(10):
        await office.send(MAIL, "alice@a.test", client=FORGER)
    assert [feedback(mail).incidents for mail in await office.mails()] == [1, 1]
    office.clock.advance(3600)
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert [feedback(mail).incidents for mail in await office.mails()] == [1, 1, 9]


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    resolver = dns()
    resolver.put("_dmarc.b.test", "TXT", ASKS)
    office = Office(tmp_path, resolver, telling(failure_rate=10_000))
    for _ in range(MOST_WAITING + 5):
        await office.send(MAIL, "alice@a.test", client=FORGER)
    assert len(await office.mails()) == MOST_WAITING


async def test_a_dns_that_fails_loses_a_report_and_nothing_else(office: Office) -> None:
    office.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=reject; ruf=mailto:r@c.test")
    office.resolver.fail("b.test._report._dmarc.c.test", "TXT")
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert await office.mails() == []
    office.resolver.put("_dmarc.b.test", "TXT", ASKS)
    await office.send(MAIL, "alice@a.test", client=FORGER)
    assert len(await office.mails()) == 1


async def test_it_works_beside_until_it_is_stopped(office: Office) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        work = tasks.create_task(office.failures.run(stop))
        await office.send(MAIL, "alice@a.test", client=FORGER)
        while not list(office.queued()):
            await asyncio.sleep(0)
        stop.set()
        await work


def test_a_header_of_any_size_and_kind() -> None:
    assert shown(b"", KEY) == b"\r\n"
    assert shown(b"no header at all", KEY) == b"\r\n"
    huge = shown(b"From: a@b.test\r\n" + b"Received: x\r\n" * 100_000 + b"\r\n", KEY)
    assert len(huge) < 64 * 1024


BROKEN = b"DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=epsilon; h=from; bh=YQ==; b=YQ==\r\n" + MAIL


@pytest.mark.parametrize(
    ("options", "mail", "sender", "what"),
    [
        (b"0", MAIL, "carol@b.test", ""),
        (b"1", MAIL, "carol@b.test", "signature dkim"),
        (b"1", BROKEN % b"b.test", "carol@b.test", "signature dkim"),
        (b"d", MAIL, "carol@b.test", ""),
        (b"d", BROKEN % b"b.test", "carol@b.test", "signature dkim"),
        (b"d", BROKEN % b"other.test", "carol@b.test", "signature dkim"),
        (b"s", BROKEN % b"b.test", "carol@b.test", ""),
    ],
)
async def test_where_dmarc_passes_the_domain_may_ask_for_what_failed(
    office: Office, options: bytes, mail: bytes, sender: str, what: str
) -> None:
    """RFC 7489 section 6.3: fo=1, d and s are about DKIM and SPF, whatever DMARC says."""
    office.resolver.put("_dmarc.b.test", "TXT", ASKS + b"; fo=" + options)
    office.resolver.put("epsilon._domainkey.b.test", "TXT", b"v=DKIM1; p=")
    office.resolver.put("epsilon._domainkey.other.test", "TXT", b"v=DKIM1; p=")
    await office.send(mail, "alice@a.test", client=OURS, sender=sender)
    told = [feedback(each) for each in await office.mails()]
    assert [" ".join((each.auth_failure, *each.alignment)) for each in told] == ([what] if what else [])
    for each in told:
        assert each.delivery_result == "delivered" and "dmarc=pass" in each.results[0]


async def test_spf_fails_where_dkim_proves_it(office: Office) -> None:
    one = key("ed", "b.test")
    office.resolver.put("ed._domainkey.b.test", "TXT", record(one))
    mail = signed(MAIL, one, now=int(office.clock.now()))
    for options, what in ((b"d", []), (b"s", ["spf"]), (b"1:d", ["spf"]), (b"0", [])):
        office.resolver.put("_dmarc.b.test", "TXT", ASKS + b"; fo=" + options)
        before = len(list(office.queued()))
        await office.send(mail, "alice@a.test", client=FORGER, sender="carol@b.test")
        told = (await office.mails())[before:]
        assert [feedback(each).auth_failure for each in told] == what, options
        assert all(feedback(each).alignment == ("spf",) and b"SPF-DNS" in each for each in told)


async def test_silence_of_the_dns_is_no_failure(office: Office) -> None:
    office.resolver.put("_dmarc.b.test", "TXT", ASKS + b"; fo=1:d:s")
    office.resolver.fail("epsilon._domainkey.b.test", "TXT")
    await office.send(BROKEN % b"b.test", "alice@a.test", client=OURS, sender="carol@b.test")
    assert await office.mails() == []
