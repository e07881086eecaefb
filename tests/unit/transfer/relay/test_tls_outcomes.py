"""What is counted of the TLS of sessions out (RFC 8460 section 4.3), with real hosts that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from a3mailer.config.tree import Reports, Settings
from a3mailer.mail.tls import Association, TlsLevel, TlsPlan
from a3mailer.runtime.resolver import Tlsa
from a3mailer.telemetry.metrics import SHARED
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.relay.sts import Found
from a3mailer.transfer.relay.tls_outcomes import Ends, TlsOutcome, TlsOutcomes
from a3mailer.transfer.relay.tls_policy import MAY, NEVER, Demand, DomainDemand
from a3mailer.transfer.tallies import Tallies
from a3mailer.wire.smtp.remote import RemoteReply, ours
from tests.unit.transfer import test_dane_relay as dane
from tests.unit.transfer.store import WatchedStore
from tests.unit.transfer.test_mta_sts import BAD, HOST, MailHost, World, bad_hosts
from tests.unit.transfer.test_mta_sts import authority as authority
from tests.unit.transfer.test_mta_sts import world as world
from tests.web import Authority

ENDS = Ends("mx.b.test", "192.0.2.1", "192.0.2.2")
WORDS = {
    "no STARTTLS": "starttls-not-supported",
    "refused": "starttls-not-supported",
    "other name": "certificate-host-mismatch",
    "expired": "certificate-expired",
    "not trusted": "certificate-not-trusted",
}


def policy(world: World) -> dict[str, Any]:
    lines = ("version: STSv1", f"mode: {world.mode}", f"mx: {world.mx}", "max_age: 86400")
    return {"policy_type": "sts", "policy_string": lines, "mx_host": (world.mx,)}


@pytest.mark.parametrize("mode", ["enforce", "testing"])
@pytest.mark.parametrize("how", BAD)
async def test_a_session_that_fails_counts_once_under_its_policy(
    world: World, tmp_path: Path, how: str, mode: str
) -> None:
    world.mode = mode
    await world.send(bad_hosts(world.authority, Authority(tmp_path, "stranger"))[how])
    ((outcome, count),) = world.counted().items()
    assert count == 1
    assert outcome.reason
    assert msgspec.structs.replace(outcome, reason="") == TlsOutcome(
        **policy(world), result=WORDS[how], host=HOST, sender="127.0.0.1", receiver="127.0.0.1"
    )


async def test_sessions_that_go_well_count_together_and_mails_do_not(world: World) -> None:
    async with world.office(MailHost(world.authority.server(HOST))) as office:
        for _ in range(3):
            await office.enqueue("x@b.test")
            await office.attempt()
        assert world.counted() == {TlsOutcome(**policy(world)): 1}
        await office.relay.close()
        await office.enqueue("x@b.test")
        await office.attempt()
    assert world.counted() == {TlsOutcome(**policy(world)): 2}


@pytest.mark.parametrize("mode", ["enforce", "testing"])
async def test_a_host_that_the_policy_does_not_name(world: World, mode: str) -> None:
    world.mode, world.mx = mode, "mx.elsewhere.test"
    await world.send(MailHost(world.authority.server(HOST)))
    found = world.counted()
    (failure,) = [outcome for outcome in found if outcome.result]
    assert msgspec.structs.replace(failure, reason="") == TlsOutcome(
        **policy(world), result="validation-failure", host=HOST
    )
    assert "not name" in failure.reason
    rest = {TlsOutcome("no-policy-found"): 1} if mode == "testing" else {}
    assert found == {failure: 1} | rest


async def test_a_policy_that_cannot_be_fetched(world: World) -> None:
    world.web_names = ("other.test",)
    await world.send(MailHost(world.authority.server("any.test")))
    found = world.counted()
    (failure,) = [outcome for outcome in found if outcome.result]
    assert (failure.policy_type, failure.result, failure.host) == ("sts", "sts-webpki-invalid", "")
    assert "could not be had" in failure.reason
    assert found == {failure: 1, TlsOutcome("no-policy-found"): 1}


async def test_what_cannot_be_reached_is_no_failure_of_tls(world: World) -> None:
    async with world.office(MailHost(None)) as office:

        async def nobody(address: str, port: int, seconds: float) -> Any:
            raise ConnectionRefusedError(f"{address}:{port}: refused")

        office.relay._dial = nobody
        await office.enqueue("x@b.test")
        await office.attempt()
        assert [o.state for o in office.outcomes] == ["waiting"]
    assert world.counted() == {}


@pytest.mark.parametrize("wish", ["optional", "required"])
async def test_a_mail_with_a_wish_of_its_own_tells_nothing(world: World, wish: str) -> None:
    async with world.office(MailHost(world.authority.server("other.test"))) as office:
        await office.enqueue("x@b.test", tls=wish)
        await office.attempt()
        assert [o.state for o in office.outcomes] == ["relayed" if wish == "optional" else "failed"]
    assert world.counted() == {}


async def test_a_report_does_not_wait_because_others_do(world: World) -> None:
    """Else mail that TLS keeps back would keep back what tells of it (RFC 8460 section 3)."""
    host = MailHost(world.authority.server("other.test"))
    async with world.office(host) as office:
        for wish in ("", "", "optional"):
            await office.enqueue("x@b.test", tls=wish)
            await office.attempt()
        assert [o.state for o in office.outcomes] == ["waiting", "waiting", "relayed"]
        assert [o.text for o in office.outcomes[:1]] == [o.text for o in office.outcomes[1:2]]
        assert host.sessions == 3, "one that failed; one that failed again, and one to whoever answers"
        await office.relay.close()

        async def nobody(address: str, port: int, seconds: float) -> Any:
            raise ConnectionRefusedError(f"{address}:{port}: refused")

        dialled = office.relay._dial
        office.relay._dial = nobody
        for wish in ("", "optional"):
            office.clock.advance(3600.0)
            await office.enqueue("x@b.test", tls=wish)
            await office.attempt()
        office.relay._dial = dialled
        await office.enqueue("x@b.test", tls="optional")
        await office.attempt()
        assert office.outcomes[-1].state == "waiting", "a host that is not there is left alone all the same"


class Counted:
    """Outcomes told without a relay."""

    def __init__(self, *, on: bool = True) -> None:
        self.tallies = Tallies(WatchedStore(FakeClock()), FakeClock())
        self.outcomes = TlsOutcomes(self.tallies, Settings(reports=Reports(tls_send=on)))

    def found(self) -> list[tuple[str, TlsOutcome, int]]:
        return [
            (domain, msgspec.json.decode(key, type=TlsOutcome), count)
            for (_, _, domain, key), count in self.tallies._counts.items()
        ]


B = DomainDemand("b.test")
RECORD = Association(3, 1, 1, b"x" * 32)
DANE = TlsPlan(TlsLevel.DANE, associations=(RECORD,), policy_type="tlsa", policy_strings=(str(RECORD),))


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ((dane.ee(dane.RIGHT),), ""),
        ((dane.ee(dane.MIDDLE),), "certificate-not-trusted"),
        ((Tlsa(1, 1, 1, b"x" * 32),), "tlsa-invalid"),
    ],
)
async def test_a_host_with_tlsa_records(tmp_path: Path, records: tuple[Tlsa, ...], result: str) -> None:
    counted = Counted()
    host = MailHost(dane.Shows(tmp_path, dane.RIGHT, dane.MIDDLE).context)
    async with dane.World(records).office(host) as office:
        office.relay._outcomes = counted.outcomes
        await office.enqueue("x@b.test")
        await office.attempt()
    ((domain, outcome, count),) = counted.found()
    assert (domain, outcome.policy_type, outcome.result, count) == ("b.test", "tlsa", result, 1)
    record = records[0]
    assert outcome.policy_string == (f"{record.usage} 1 1 {record.data.hex().upper()}",)
    assert outcome.host == (HOST if result else "")


def test_in_clear_because_they_offer_nothing_else() -> None:
    counted = Counted()
    counted.outcomes.opened(B, MAY, ENDS, "")
    outcome = TlsOutcome("no-policy-found", (), (), "starttls-not-supported", *ENDS.__struct_fields__)
    outcome = msgspec.structs.replace(outcome, host=ENDS.host, sender=ENDS.sender, receiver=ENDS.receiver)
    assert counted.found() == [("b.test", outcome, 1)]


def test_in_clear_because_the_operator_says_so_is_nothing_to_tell() -> None:
    counted = Counted()
    counted.outcomes.opened(B, NEVER, ENDS, "")
    assert counted.found() == []


def test_dane() -> None:
    counted = Counted()
    counted.outcomes.opened(B, DANE, ENDS, "TLSv1.3")
    counted.outcomes.failed(B, DANE, ENDS, "certificate-not-trusted", ours("4.7.5", "fits none"))
    counted.outcomes.opened(
        B, TlsPlan(TlsLevel.MUST, policy_type="tlsa", reason="none usable"), ENDS, "TLSv1.3"
    )
    refusal = ours("4.7.5", "no usable TLSA records")
    counted.outcomes.refused(B, "mx.b.test", Demand((), refusal, "dane-required"))
    counted.outcomes.refused(B, "mx.b.test", Demand((), ours("4.4.3", "no answer"), "dnssec-invalid"))
    assert [(o.policy_type, o.policy_string, o.result, n) for _, o, n in counted.found()] == [
        ("tlsa", (str(RECORD),), "", 1),
        ("tlsa", (str(RECORD),), "certificate-not-trusted", 1),
        ("tlsa", (), "tlsa-invalid", 1),
        ("tlsa", (), "dane-required", 1),
        ("tlsa", (), "dnssec-invalid", 1),
    ]


def test_a_host_that_is_asked_for_nothing_special_is_not_refused() -> None:
    counted = Counted()
    counted.outcomes.refused(B, "mx.b.test", Demand((MAY,)))
    assert counted.found() == []


def test_a_refusal_for_want_of_a_policy_names_what_went_wrong() -> None:
    counted = Counted()
    unfetched = DomainDemand("b.test", "sts", Found(None, "sts-policy-fetch-error", "status 500"))
    counted.outcomes.refused(unfetched, "mx.b.test", Demand((), ours("4.7.5", "no policy")))
    assert counted.found() == [
        ("b.test", TlsOutcome("sts", result="sts-policy-fetch-error", reason="status 500"), 1)
    ]


@pytest.mark.parametrize("why", ["smart host", "off"])
def test_what_is_in_nobodys_report_is_in_the_metrics(why: str) -> None:
    counted = Counted(on=why != "off")
    demand = B if why == "off" else None
    names = ("no-policy-found ok", "no-policy-found failed")
    before = [SHARED.total("a3_relay_tls_total", name) for name in names]
    counted.outcomes.opened(demand, MAY, ENDS, "TLSv1.3")
    counted.outcomes.failed(demand, MAY, ENDS, "", ours("4.7.5", "cut"))
    assert counted.found() == []
    assert [SHARED.total("a3_relay_tls_total", name) for name in names] == [n + 1 for n in before]


def test_reasons_and_policies_are_bounded() -> None:
    counted = Counted()
    plan = TlsPlan(TlsLevel.STS, policy_type="sts", policy_strings=("x",) * 1000, mx_hosts=("y",) * 1000)
    counted.outcomes.failed(B, plan, ENDS, "", ours("4.7.5", "z" * 10_000))
    ((_, outcome, _),) = counted.found()
    assert outcome.result == "validation-failure"
    assert len(msgspec.json.encode(outcome)) < 2000


def test_what_a_server_says_makes_no_row_each_time() -> None:
    counted = Counted()
    for number in range(50):
        reply = RemoteReply(454, "4.7.0", f"TLS is not available, session {number}")
        counted.outcomes.failed(B, MAY, ENDS, "starttls-not-supported", reply)
    ((_, outcome, count),) = counted.found()
    assert (outcome.reason, count) == ("454 4.7.0", 50)
