"""What is demanded of whom: the operator's rules, MTA-STS policies and how long they hold (RFC 8461)."""

from pathlib import Path

import pytest

from a3mailer.config.checks import check
from a3mailer.config.fields import BadValue
from a3mailer.mail.tls import TlsLevel
from a3mailer.msgauth.mta_sts import MAX_POLICY, StsPolicy
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.relay import sts as module
from a3mailer.transfer.relay.sts import RETRY_SECONDS, Found, StsPolicies
from a3mailer.transfer.relay.tls_policy import DomainDemand, TlsPolicy, parse_rules, rule_of

ENFORCE = StsPolicy("enforce", ("mx.b.test",), 1000)
TEXT = b"version: STSv1\nmode: enforce\nmx: mx.b.test\nmax_age: 1000\n"


class FakeWeb:
    """Answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.answer: HttpAnswer | HttpFailure = HttpAnswer(200, "text/plain", TEXT)
        self.asked: list[str] = []

    async def get(self, url: str, *, most: int, seconds: float) -> HttpAnswer:
        assert most == MAX_POLICY
        self.asked.append(url)
        if isinstance(self.answer, HttpFailure):
            raise self.answer
        return self.answer


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cache"
        self.web = FakeWeb()
        self.resolver = FakeResolver()
        self.clock = FakeClock()
        self.restart()
        self.record("1")

    def restart(self) -> None:
        self.policies = StsPolicies(self.resolver, self.web, self.clock, self.folder)

    def record(self, identity: str) -> None:
        self.resolver.put("_mta-sts.b.test", "TXT", f"v=STSv1; id={identity};".encode())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_policy_is_fetched_once_and_survives_a_restart(world: World) -> None:
    assert await world.policies.find("B.test") == Found(ENFORCE)
    assert await world.policies.find("b.test") == Found(ENFORCE)
    assert world.web.asked == ["https://mta-sts.b.test/.well-known/mta-sts.txt"]
    world.restart()
    world.web.answer = HttpFailure("connect", "gone")
    assert await world.policies.find("b.test") == Found(ENFORCE)
    assert len(world.web.asked) == 1


async def test_without_a_record_nothing_is_fetched(world: World) -> None:
    assert await world.policies.find("other.test") == Found()
    assert not world.web.asked


@pytest.mark.parametrize("how", ["no record", "no dns", "no web"])
async def test_row_5_a_policy_that_holds_is_not_taken_away(world: World, how: str) -> None:
    await world.policies.find("b.test")
    world.clock.advance(900)
    world.web.answer = HttpFailure("connect", "gone")
    if how == "no record":
        world.resolver.put("_mta-sts.b.test", "TXT")
    elif how == "no dns":
        world.resolver.fail("_mta-sts.b.test", "TXT")
    else:
        world.record("2")
    world.restart()
    assert (await world.policies.find("b.test")).policy == ENFORCE
    world.clock.advance(101)
    assert (await world.policies.find("b.test")).policy is None


async def test_it_is_fetched_anew_ahead_of_its_end_and_when_its_id_changes(world: World) -> None:
    await world.policies.find("b.test")
    world.clock.advance(499)
    await world.policies.find("b.test")
    assert len(world.web.asked) == 1
    world.clock.advance(2)
    await world.policies.find("b.test")
    assert len(world.web.asked) == 2
    world.record("2")
    world.web.answer = HttpAnswer(200, "text/plain", TEXT.replace(b"enforce", b"none"))
    assert (await world.policies.find("b.test")).policy is None
    await world.policies.find("b.test")
    assert len(world.web.asked) == 3


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (HttpFailure("tls", "expired"), "sts-webpki-invalid"),
        (HttpFailure("timeout", "slow"), "sts-policy-fetch-error"),
        (HttpFailure("size", "huge"), "sts-policy-fetch-error"),
        (HttpAnswer(302, "text/plain", TEXT), "sts-policy-fetch-error"),
        (HttpAnswer(404, "text/html", b""), "sts-policy-fetch-error"),
        (HttpAnswer(200, "text/html", TEXT), "sts-policy-invalid"),
        (HttpAnswer(200, "text/plain", b"hello"), "sts-policy-invalid"),
    ],
)
async def test_a_policy_that_cannot_be_had_is_none_and_is_not_asked_for_at_once_again(
    world: World, answer: HttpAnswer | HttpFailure, failure: str
) -> None:
    world.web.answer = answer
    for _ in range(3):
        found = await world.policies.find("b.test")
        assert (found.policy, found.failure) == (None, failure)
        assert "b.test" in found.reason
    assert len(world.web.asked) == 1
    world.web.answer = HttpAnswer(200, "text/plain", TEXT)
    world.clock.advance(RETRY_SECONDS)
    assert await world.policies.find("b.test") == Found(ENFORCE)


async def test_a_damaged_or_foreign_file_is_no_policy(world: World) -> None:
    await world.policies.find("b.test")
    (file,) = world.folder.iterdir()
    for octets in (b"", b"{", b"\xff", b"[]", file.read_bytes().replace(b"b.test", b"c.test")):
        file.write_bytes(octets)
        world.restart()
        world.resolver.put("_mta-sts.b.test", "TXT")
        assert await world.policies.find("b.test") == Found()


async def test_what_is_remembered_and_kept_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 3)
    monkeypatch.setattr(module, "ON_DISK", 5)
    for number in range(10):
        world.resolver.put(f"_mta-sts.d{number}.test", "TXT", b"v=STSv1; id=1")
        assert (await world.policies.find(f"d{number}.test")).policy == ENFORCE
    assert len(world.policies._entries) == 3
    assert len(list(world.folder.iterdir())) == 5


RULES = parse_rules(("a.test=must", ".b.test=never", "x.b.test=may", "*=sts"))


@pytest.mark.parametrize(
    ("domain", "level"),
    [("A.test", "must"), ("b.test", "sts"), ("y.b.test", "never"), ("z.y.b.test", "never"),
     ("x.b.test", "may"), ("c.test", "sts"), ("[192.0.2.1]", "sts")],
)  # fmt: skip
def test_the_nearest_rule_holds(domain: str, level: str) -> None:
    assert rule_of(RULES, domain) == level
    assert rule_of({}, domain) == ""


@pytest.mark.parametrize("text", ["a.test", "a.test=", "a.test=tls", "=may", "a b=may", "*.b.test=may"])
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        check("queue.tls_policy", (text,))
    check("queue.tls_policy", ("*=sts", ".b.test=must", "b.test=never"))


TESTING = StsPolicy("testing", ("mx.b.test",), 1000)


@pytest.mark.parametrize(
    ("level", "policy", "host", "levels"),
    [
        ("", None, "mx.b.test", ["may", "never"]),
        ("never", ENFORCE, "mx.b.test", ["never"]),
        ("may", ENFORCE, "evil.test", ["may", "never"]),
        ("must", ENFORCE, "evil.test", ["must"]),
        ("", ENFORCE, "mx.b.test", ["sts"]),
        ("", ENFORCE, "evil.test", []),
        ("", TESTING, "mx.b.test", ["sts", "may", "never"]),
        ("", TESTING, "evil.test", ["may", "never"]),
        ("sts", TESTING, "mx.b.test", ["sts"]),
        ("sts", TESTING, "evil.test", []),
        ("sts", None, "mx.b.test", []),
    ],
)
def test_what_is_demanded_of_a_host(
    level: str, policy: StsPolicy | None, host: str, levels: list[str]
) -> None:
    demand = DomainDemand("b.test", level, Found(policy)).of(host)
    assert [plan.level.value for plan in demand.plans] == levels
    assert (demand.refusal is not None) == (not levels)
    if demand.refusal is not None:
        assert demand.refusal.enhanced == "4.7.5"  # it waits; it does not fail
    for plan in demand.plans:
        assert plan.level is not TlsLevel.STS or plan.names == (host,)


async def test_a_smart_host_and_an_address_have_rules_but_no_policy(world: World) -> None:
    policy = TlsPolicy(parse_rules(("relay.test=must",)), world.policies, world.resolver)
    world.resolver.put("_mta-sts.relay.test", "TXT", b"v=STSv1; id=1")
    assert (await policy.demand("relay.test", smart_host=True)).level == "must"
    assert await policy.demand("b.test", smart_host=True) == DomainDemand("b.test")
    assert await policy.demand("[192.0.2.1]") == DomainDemand("[192.0.2.1]")
    assert not world.web.asked
