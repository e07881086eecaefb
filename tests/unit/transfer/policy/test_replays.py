"""One good signature sent to many: it is counted, told of, and refused only where an operator wants that."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec import structs

from a3mailer.config.tree import Msgauth, Settings
from a3mailer.mail.authresults import FAIL, PASS, parse
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import Refused
from a3mailer.msgauth.dkim import DkimResult
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, HOUR
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.replays import KEYS, MOST_SIGNATURES, Replays
from a3mailer.transfer.receive import Receive
from tests.unit.msgauth.signed import key, record, signed
from tests.unit.transfer.policy.test_authenticate import Office, results_of
from tests.unit.transfer.world import MAIL, SETTINGS

SIGNER = key("rsa1024", "b.test")
LIMITS = Msgauth(replay_count=20, replay_networks=3)


def signature(told: str = "abcdefgh", result: str = PASS) -> DkimResult:
    return DkimResult(result, "", "b.test", "s1", "@b.test", "rsa-sha256", told, 2048)


def counter(keys: int = KEYS) -> tuple[Replays, FakeClock]:
    clock = FakeClock()
    return Replays(SharedTable(keys, HALF_LIFE), clock), clock


def test_recipients_of_the_last_hour_are_counted_whoever_sends() -> None:
    replays, clock = counter()
    for number in range(20):
        assert not replays.seen((signature(),), f"192.0.2.{number}", 1, LIMITS)
    (found,) = replays.seen((signature(),), "192.0.2.99", 5, LIMITS)
    assert (found.recipients, found.networks) == (25, 1) and not found.is_spread(LIMITS)
    assert str(found) == "25 recipients from 1 networks"
    clock.advance(HOUR * 4)
    assert not replays.seen((signature(),), "192.0.2.99", 1, LIMITS)


def test_networks_are_counted_once_each_and_forgotten_with_time() -> None:
    replays, clock = counter()
    for number in range(60):
        clock.advance(60)
        found = replays.seen((signature(),), f"198.51.{number % 4}.7", 1, LIMITS)
    assert found[0].networks == 4 and found[0].is_spread(LIMITS)
    for _ in range(6 * 60):
        clock.advance(60)
        found = replays.seen((signature(),), "198.51.0.7", 1, LIMITS)
    assert found[0].networks == 1 and 55 <= found[0].recipients <= 65


def test_what_is_not_good_or_not_wanted_is_not_counted() -> None:
    replays, _ = counter()
    for _ in range(50):
        assert not replays.seen((signature(result=FAIL),), "192.0.2.1", 1, LIMITS)
        assert not replays.seen((signature(),), "192.0.2.1", 1, Msgauth(replay_count=0))
        assert not replays.seen((), "192.0.2.1", 1, LIMITS)
    assert not replays.seen((signature(),), "192.0.2.1", 1, LIMITS)
    many = tuple(signature(f"sig{number:05}") for number in range(50))
    assert len(replays.seen(many, "192.0.2.1", 100, LIMITS)) == MOST_SIGNATURES


def test_a_flood_of_other_signatures_does_not_push_out_who_comes_often() -> None:
    replays, _ = counter(keys=1024)
    for number in range(15):
        replays.seen((signature(),), f"198.51.{number}.7", 1, LIMITS)
    rng = random.Random(3)
    for _ in range(20_000):
        replays.seen((signature(f"{rng.random()}"),), "203.0.113.7", 1, LIMITS)
    (found,) = replays.seen((signature(),), "198.51.99.7", 10, LIMITS)
    assert found.recipients == 25


def office(**given: Any) -> tuple[Office, Replays]:
    """The office of mail authentication, with a signer of b.test and a counter."""
    settings: Settings = structs.replace(SETTINGS, msgauth=structs.replace(LIMITS, **given))
    made = Office(settings, policy=b"none")
    made.resolver.put(f"{SIGNER.selector}._domainkey.{SIGNER.domain}", "TXT", record(SIGNER))
    replays, _ = counter()
    made.judge = Authenticate(made.resolver, settings, made.clock, replays=replays)
    judges = Judges({"authenticate": made.judge})
    made.receive = Receive(made.store, made.directory, settings, made.clock, judges)
    return made, replays


async def sent(made: Office, times: int, networks: int) -> list[str]:
    """What becomes of the same signed mail: refused, or the count in its header."""
    mail = signed(MAIL, SIGNER, now=int(made.clock.now()))
    said = []
    for number in range(times):
        client = Client(f"198.51.{number % networks}.7", 40000, "mx.b.test")
        before = len(made.store.inbox(made.alice.id))
        (outcome,) = await made.send(mail, "alice@a.test", sender=f"x{number}@b.test", client=client)
        if isinstance(outcome, Refused):
            said.append(outcome.status)
            continue
        inbox = made.store.inbox(made.alice.id)
        if len(inbox) == before:
            said.append("junk")
            continue
        head = inbox[-1].partition(b"Authentication-Results:")[2].partition(b"\r\nReceived: ")[0]
        results = parse(head)
        assert results is not None
        (dkim,) = results.of("dkim")
        assert dkim.result == PASS
        said.append(dkim.value("policy", "replay") or "")
    return said


async def test_it_is_told_beside_the_signature_and_nothing_else_happens() -> None:
    made, _ = office()
    assert await sent(made, 23, 5) == [""] * 20 + ["21", "22", "23"]
    assert results_of(made.store.inbox(made.alice.id)[0]).of("dkim")[0].value("policy", "replay") is None


@pytest.mark.parametrize(("act", "said"), [("refuse", "5.7.1"), ("junk", "junk")])
async def test_only_what_comes_from_many_networks_is_held_back(act: str, said: str) -> None:
    made, _ = office(replay=act)
    assert await sent(made, 23, 2) == [""] * 20 + ["21", "22", "23"]
    made, _ = office(replay=act)
    assert await sent(made, 23, 5) == [""] * 20 + [said] * 3
