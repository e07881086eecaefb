"""Our TLS reports to others: what they hold, when they go, to whom, and that each goes once (RFC 8460)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import msgspec
import pytest

from a3mailer.config.tree import Reports, Server, Settings
from a3mailer.mail.errors import TryLater
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.mail.message import headers, index
from a3mailer.msgauth.packed import unpack
from a3mailer.msgauth.tlsrpt import Failure, Policy, PolicyResult, Summary, TlsReport, decode
from a3mailer.ops.reports import tls_report
from a3mailer.ops.reports.daily import DAY, LEAST_SECONDS, SPREAD_SECONDS
from a3mailer.ops.reports.posting import Sender
from a3mailer.ops.reports.tls_report import make, results
from a3mailer.ops.reports.tls_sending import (
    DONE,
    GIVE_UP_SECONDS,
    POST_AGAIN,
    TlsReports,
)
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.store.operations import AddTallies, Enqueue, Tally
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.relay.tls_outcomes import KIND, TlsOutcome
from tests.unit.transfer.store import WatchedStore

STS = {
    "policy_type": "sts",
    "policy_string": ("version: STSv1", "mode: enforce", "mx: mx.b.test", "max_age: 86400"),
    "mx_host": ("mx.b.test",),
}
GOOD = TlsOutcome(**STS)
BAD = TlsOutcome(**STS, result="certificate-expired", host="mx.b.test", sender="192.0.2.1",
                 receiver="192.0.2.2", reason="TLS: expired")  # fmt: skip
RECORD = "_smtp._tls.b.test"
URL = "https://b.test/tlsrpt"


class FakeWeb:
    """Answers what it is told to; ``posted`` holds (URL, report)."""

    def __init__(self) -> None:
        self.answer: int | HttpFailure = 201
        self.posted: list[tuple[str, TlsReport]] = []

    async def post(self, url: str, body: bytes, media: str, *, most: int, seconds: float) -> HttpAnswer:
        assert media == "application/tlsrpt+gzip"
        self.posted.append((url, decode(unpack(body))))
        if isinstance(self.answer, HttpFailure):
            raise self.answer
        return HttpAnswer(self.answer, "", b"")


class World:
    """Yesterday's counts of b.test, and a clock that stands at midnight."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.advance(DAY - self.clock.now() % DAY)
        self.store = WatchedStore(self.clock)
        self.resolver = FakeResolver()
        self.web = FakeWeb()
        self.settings = Settings(
            server=Server(hostname="mail.a.test", domain="a.test"), reports=Reports(tls_send=True)
        )
        self.yesterday = int(self.clock.now()) - DAY
        self.signed = {"a.test"}
        self.restart()

    def restart(self) -> None:
        self.reports = TlsReports(
            self.store, self.resolver, self.web, self.clock, lambda: self.settings, self.signed.__contains__
        )

    async def tally(self, *outcomes: tuple[TlsOutcome, int], domain: str = "b.test") -> None:
        rows = [
            Tally(self.yesterday, domain, msgspec.json.encode(outcome).decode(), count)
            for outcome, count in outcomes
        ]
        await self.store.commit(Transaction((AddTallies(KIND, tuple(rows)),)))

    def ask_for(self, rua: str, domain: str = "b.test") -> None:
        self.resolver.put(f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua={rua}".encode())

    async def look(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        await self.reports.round(asyncio.Event())

    async def left(self) -> tuple[tuple[int, str], ...]:
        return (*await self.store.tallied(KIND, 1 << 40), *await self.store.tallied(DONE, 1 << 40))

    def queued(self) -> Iterator[tuple[Enqueue, bytes]]:
        for transaction in self.store.transactions:
            for operation in transaction.operations:
                if isinstance(operation, Enqueue):
                    yield operation, bytes(transaction.contents[operation.content].octets)


@pytest.fixture
async def world() -> World:
    world = World()
    await world.tally((GOOD, 40), (BAD, 2))
    return world


SOON = float(LEAST_SECONDS + SPREAD_SECONDS)


def attachment(mail: bytes) -> TlsReport:
    (part,) = [part for part in index(mail).parts if part.media == b"application/tlsrpt+gzip"]
    return decode(unpack(base64.b64decode(mail[part.body : part.end])))


async def test_the_report_holds_what_was_counted(world: World) -> None:
    world.ask_for("mailto:tls@b.test")
    await world.look(SOON)
    ((enqueue, mail),) = world.queued()
    assert attachment(mail).policies == (
        PolicyResult(
            Policy("sts", "b.test", STS["policy_string"], ("mx.b.test",)),  # type: ignore[arg-type]
            Summary(40, 2),
            (
                Failure(
                    "certificate-expired",
                    2,
                    "192.0.2.1",
                    "mx.b.test",
                    receiving_ip="192.0.2.2",
                    failure_reason_code="TLS: expired",
                ),
            ),
        ),
    )
    assert (enqueue.account, enqueue.reverse_path, enqueue.tls) == (SYSTEM_ACCOUNT, "", "optional")
    assert [(r.address, r.notify) for r in enqueue.recipients] == [("tls@b.test", ("NEVER",))]
    assert await world.left() == ()


async def test_the_mail_has_the_form_of_the_rfc(world: World) -> None:
    world.ask_for("mailto:tls@b.test")
    await world.look(SOON)
    ((_, mail),) = world.queued()
    report = attachment(mail)
    end = mail.index(b"\r\n\r\n") + 2

    def field(name: str) -> str:
        value = headers.first(mail, 0, end, name.lower().encode())
        assert value is not None
        return headers.unfold(value).strip().decode()

    assert field("From") == "<postmaster@a.test>"
    assert field("To") == "<tls@b.test>"
    assert field("Subject") == f"Report Domain: b.test Submitter: a.test Report-ID: <{report.report_id}>"
    assert field("TLS-Report-Domain") == "b.test"
    assert field("TLS-Report-Submitter") == "a.test"
    assert field("TLS-Required") == "No"
    assert field("Content-Type").startswith('multipart/report; report-type="tlsrpt"; boundary=')
    assert [part.media for part in index(mail).parts] == [
        b"multipart/report",
        b"text/plain",
        b"application/tlsrpt+gzip",
    ]
    unique = report.report_id.partition("@")[0]
    assert f'filename="a.test!b.test!{world.yesterday}!{world.yesterday + DAY - 1}!{unique}.json.gz"' in (
        mail.decode("ascii")
    )
    assert b"40 sessions went well, 2 did not." in mail
    assert mail.count(b"\n") == mail.count(b"\r\n")
    assert (report.organization_name, report.contact_info) == ("a.test", "postmaster@a.test")
    assert int(report.date_range.start_datetime.timestamp()) == world.yesterday
    assert int(report.date_range.end_datetime.timestamp()) == world.yesterday + DAY - 1


async def test_a_report_goes_after_its_day_at_a_time_of_its_own(world: World) -> None:
    went: dict[str, float] = {}
    for number in range(30):
        await world.tally((GOOD, 1), domain=f"{number}.test")
        world.ask_for("mailto:tls@x.test", domain=f"{number}.test")
    start = world.clock.now()
    while world.clock.now() < start + SOON:
        await world.look(300.0)
        for operation, mail in world.queued():
            went.setdefault(attachment(mail).policies[0].policy.policy_domain, world.clock.now() - start)
            assert operation.recipients[0].address == "tls@x.test"
    assert len(went) == 30
    assert min(went.values()) >= LEAST_SECONDS
    assert len(set(went.values())) > 10, "not all at once"
    world.restart()
    await world.look()
    assert len(list(world.queued())) == 30


async def test_the_day_that_is_not_over_is_not_told(world: World) -> None:
    world.yesterday += DAY
    await world.tally((GOOD, 5))
    world.ask_for("mailto:tls@b.test")
    await world.look(SOON)
    ((_, mail),) = world.queued()
    assert attachment(mail).policies[0].summary == Summary(40, 2)
    assert await world.left() == ((world.yesterday, "b.test"),)


@pytest.mark.parametrize("record", ["", "v=TLSRPTv1", "v=TLSRPTv1; rua=ftp://b.test/"])
async def test_who_asks_for_nothing_is_told_nothing(world: World, record: str) -> None:
    world.resolver.put(RECORD, "TXT", *([record.encode()] if record else []))
    await world.look(SOON)
    assert list(world.queued()) == []
    assert world.web.posted == []
    assert await world.left() == ()


async def test_switched_off_nothing_is_asked_or_sent_and_all_is_forgotten(world: World) -> None:
    world.settings = msgspec.structs.replace(world.settings, reports=Reports())
    world.ask_for("mailto:tls@b.test")
    await world.look()
    assert world.resolver.asked == []
    assert list(world.queued()) == []
    assert await world.left() == ()


def test_nothing_is_sent_by_default() -> None:
    assert Settings().reports.tls_send is False


async def test_a_dns_that_does_not_answer_is_asked_again(world: World) -> None:
    world.resolver.fail(RECORD, "TXT")
    await world.look(SOON)
    assert list(world.queued()) == []
    world.ask_for("mailto:tls@b.test")
    await world.look(300.0)
    assert len(list(world.queued())) == 1


async def test_what_could_not_be_sent_for_a_day_is_forgotten(world: World) -> None:
    world.resolver.fail(RECORD, "TXT")
    await world.look(SOON)
    assert await world.left() == ((world.yesterday, "b.test"),)
    await world.look(float(GIVE_UP_SECONDS))
    assert await world.left() == ()


async def test_by_post(world: World) -> None:
    world.ask_for(URL)
    await world.look(SOON)
    ((url, report),) = world.web.posted
    assert url == URL
    assert report.policies[0].summary == Summary(40, 2)
    assert list(world.queued()) == []
    assert await world.left() == ()


@pytest.mark.parametrize("answer", [500, 302, HttpFailure("connect", "refused")])
async def test_a_post_that_fails_is_tried_again_and_the_mail_is_sent_once(
    world: World, answer: int | HttpFailure
) -> None:
    world.ask_for(f"{URL},mailto:tls@b.test")
    world.web.answer = answer
    await world.look(SOON)
    assert len(list(world.queued())) == 1
    await world.look(300.0)
    assert len(world.web.posted) == 1, "not at every look"
    await world.look(POST_AGAIN)
    world.restart()
    await world.look(300.0)
    assert len(world.web.posted) == 3
    world.web.answer = 201
    await world.look(POST_AGAIN)
    assert len(world.web.posted) == 4
    assert len({report.report_id for _, report in world.web.posted}) == 1
    assert len(list(world.queued())) == 1
    assert await world.left() == ()


async def test_a_post_that_fails_for_a_day_is_given_up(world: World) -> None:
    world.ask_for(URL)
    world.web.answer = 500
    for _ in range(60):
        await world.look(1800.0)
    assert 2 < len(world.web.posted) <= GIVE_UP_SECONDS / POST_AGAIN + 1
    assert await world.left() == ()


async def test_what_cannot_be_signed_is_not_mailed(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.signed.clear()
    world.ask_for(f"mailto:tls@b.test,{URL}")
    await world.look(SOON)
    assert list(world.queued()) == []
    assert len(world.web.posted) == 1
    assert await world.left() == ()
    assert '"event":"reports.tls.unsigned"' in capfd.readouterr().err


async def test_a_store_in_trouble_sends_nothing_twice(world: World) -> None:
    world.ask_for("mailto:tls@b.test")
    world.store.fail.append(TryLater("busy"))
    await world.look(SOON)
    assert list(world.queued()) == []
    await world.look(300.0)
    await world.look(300.0)
    assert len(list(world.queued())) == 1


async def test_the_work_looks_at_once_and_ends_at_the_stop(world: World) -> None:
    world.ask_for("mailto:tls@b.test")
    world.clock.advance(SOON)
    stop = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(world.reports.run(stop))
        while not list(world.queued()):
            await asyncio.sleep(0.01)
        stop.set()
    assert await world.left() == ()


def test_policies_that_changed_in_a_day_stand_apart_and_foreign_counts_do_not_count() -> None:
    other = msgspec.structs.replace(GOOD, policy_string=("mode: testing",))
    plain = TlsOutcome("no-policy-found")
    rows = [
        Tally(0, "b.test", msgspec.json.encode(outcome).decode(), count)
        for outcome, count in ((GOOD, 1), (other, 2), (plain, 4), (BAD, 8))
    ]
    found = results("b.test", [*rows, Tally(0, "b.test", '{"version": 9}', 16)])
    assert [(r.policy.policy_type, r.summary) for r in found] == [
        ("no-policy-found", Summary(4, 0)),
        ("sts", Summary(2, 0)),
        ("sts", Summary(1, 8)),
    ]


def test_a_report_is_bounded_and_the_failures_seen_most_often_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls_report, "MOST_DETAILS", 3)
    monkeypatch.setattr(tls_report, "MOST_POLICIES", 1)
    rows = [
        Tally(0, "b.test", msgspec.json.encode(msgspec.structs.replace(BAD, receiver=f"{n}")).decode(), n)
        for n in range(1, 11)
    ]
    other = Tally(0, "b.test", msgspec.json.encode(TlsOutcome("tlsa")).decode(), 1)
    (found,) = results("b.test", rows)
    assert found.summary == Summary(0, 55)
    assert [failure.failed_session_count for failure in found.failure_details] == [10, 9, 8]
    assert len(results("b.test", [*rows, other])) == 1


def test_the_same_counts_make_the_same_octets() -> None:
    rows = [Tally(DAY, "b.test", msgspec.json.encode(GOOD).decode(), 3)]
    sender = Sender("a.test", "postmaster@a.test")
    assert make(DAY, "b.test", rows, sender) == make(DAY, "b.test", rows, sender)
    assert make(DAY, "b.test", rows, sender).name != make(2 * DAY, "b.test", rows, sender).name
