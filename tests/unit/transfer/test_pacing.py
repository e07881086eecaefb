"""A destination that asks for less: one pace a provider, mails put off and not tried, nobody else waits."""

import asyncio
import random
from typing import Any

import pytest

from a3mailer.mail.answers import Answer
from a3mailer.mail.ids import QueueId
from a3mailer.runtime.resolver import Mx
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.operations import RecipientOutcome
from a3mailer.transfer.queue.queue import change
from a3mailer.transfer.relay.pace import HALF_LIFE, Paces
from a3mailer.transfer.relay.relay import SESSIONS_A_DESTINATION
from a3mailer.transfer.schedule import PAUSES
from tests.unit.transfer.office import Office

TAKEN = "250 2.0.0 taken"
TOO_FAST = "450 4.7.28 unusual rate of mail"


class Peer:
    """A server with one answer for every RCPT; counts whom it was asked for, by address dialled."""

    def __init__(self, answer: str = TAKEN) -> None:
        self.answer = answer
        self.dialled: list[str] = []
        self.refused = set[str]()

    async def __call__(self, address: str, port: int, seconds: float) -> Any:
        self.dialled.append(address)
        if address in self.refused:
            raise ConnectionRefusedError(f"{address}:{port}: refused")
        return _Wire(self)


class _Wire:
    """Answers each line at once, as the peer says now."""

    tls = ""
    tls_ticket = None
    local = ("192.0.2.250", 50000)

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._out = b"220 mx.test\r\n"
        self._in_content = False
        self.closed = False

    async def read(self) -> bytes:
        if self._out or not self.closed:
            out, self._out = self._out, b""
            return out
        return b""

    def write(self, octets: bytes | memoryview) -> None:
        for line in bytes(octets).split(b"\r\n")[:-1]:
            self._out += self._reply(line)

    def _reply(self, line: bytes) -> bytes:
        if self._in_content:
            if line != b".":
                return b""
            self._in_content = False
            return b"250 2.0.0 taken\r\n"
        verb = line[:4].upper()
        if verb == b"RCPT":
            return self._peer.answer.encode() + b"\r\n"
        if verb == b"DATA":
            refused = not self._peer.answer.startswith("2")
            self._in_content = not refused
            return b"503 5.5.1 nobody to send it to\r\n" if refused else b"354 go on\r\n"
        return b"250 OK\r\n"

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def flushed(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.closed = True


def domains_at(office: Office, host: str, *domains: str) -> None:
    """Domains whose only MX is ``host`` at 192.0.2.1."""
    for domain in domains:
        office.resolver.put(domain, "MX", Mx(10, host))
    office.resolver.put(host, "A", "192.0.2.1")


def states(outcomes: list[RecipientOutcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


async def test_who_asks_for_less_gets_less_over_all_domains_of_a_provider() -> None:
    peer = Peer(TOO_FAST)
    office = Office(peer)
    domains_at(office, "aspmx.l.google.com", "b.test", "c.test")
    domains_at(office, "mx.d.test", "d.test")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert states(office.outcomes) == ["waiting"]
    assert office.relay._paces.gap("google") == 1.0
    peer.answer = TAKEN
    for domain in ("b.test", "c.test", "d.test"):
        await office.enqueue(f"y@{domain}")
    await office.attempt()
    assert len(office.outcomes) + len(office.put_off) == 4
    assert {o.text for o in office.put_off} <= {"google asked for fewer mails at once"}
    assert "relayed" in states(office.outcomes)  # d.test is another's
    put_off = [e for e in office.store.entries if not e.recipients[0].attempts]
    for entry in put_off:
        assert not entry.lease_owner
        assert entry.recipients[0].next_attempt > office.clock.now()
    office.clock.advance(60)
    await office.attempt()
    assert states(office.outcomes).count("relayed") == 3


async def test_a_server_that_says_so_and_hangs_up_is_heard(rng: random.Random) -> None:
    peer = Peer("421 4.7.28 unusual rate of mail")
    office = Office(peer)
    domains_at(office, "aspmx.l.google.com", "b.test")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert states(office.outcomes) == ["waiting"]
    assert office.relay._paces.gap("google") == 1.0


async def test_the_pace_is_gone_when_mails_are_taken_again() -> None:
    peer = Peer(TOO_FAST)
    office = Office(peer)
    domains_at(office, "aspmx.l.google.com", "b.test")
    await office.enqueue("x@b.test")
    await office.attempt()
    peer.answer = TAKEN
    for _ in range(40):
        office.clock.advance(2)
        await office.enqueue("y@b.test")
        await office.attempt()
    assert states(office.outcomes).count("relayed") >= 30
    assert not office.relay._paces.gap("google")


async def test_a_retry_by_hand_goes_out_of_turn() -> None:
    peer = Peer(TOO_FAST)
    office = Office(peer)
    domains_at(office, "aspmx.l.google.com", "b.test")
    for _ in range(8):
        office.relay._paces.slower("google")
        office.clock.advance(10)
    queue = await office.enqueue("y@b.test")
    await office.attempt()
    assert len(office.put_off) == 1
    assert not peer.dialled
    peer.answer = TAKEN
    await change(office.store, QueueId(queue), "retry", subject="operator", now=int(office.clock.now()))
    await office.attempt()
    assert states(office.outcomes) == ["relayed"]


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        ("450 4.2.0 greylisted", PAUSES[Answer.GREYLISTED]),
        ("452 4.2.2 over quota", PAUSES[Answer.FULL]),
        ("421 4.7.1 your address has a bad reputation", PAUSES[Answer.BLOCKED]),
        ("451 4.3.0 busy", 0),
    ],
)
async def test_what_the_answer_is_about_says_when_to_ask_again(answer: str, pause: int) -> None:
    office = Office(Peer(answer))
    domains_at(office, "mx.b.test", "b.test")
    await office.enqueue("x@b.test")
    await office.attempt()
    (outcome,) = office.outcomes
    wait = outcome.next_attempt - office.clock.now()
    assert outcome.state == "waiting"
    assert wait == pause if pause else 270 <= wait <= 330
    assert not office.relay._paces.gap("mx.b.test")


async def test_a_host_that_does_not_answer_is_passed_over_for_all_domains() -> None:
    peer = Peer()
    peer.refused.add("192.0.2.1")
    office = Office(peer)
    for domain in ("b.test", "c.test"):
        office.resolver.put(domain, "MX", Mx(10, "dead.test"), Mx(20, "alive.test"))
    office.resolver.put("dead.test", "A", "192.0.2.1")
    office.resolver.put("alive.test", "A", "192.0.2.2")
    await office.enqueue("x@b.test")
    await office.attempt()
    await office.enqueue("x@c.test")
    await office.attempt()
    assert states(office.outcomes) == ["relayed", "relayed"]
    assert peer.dialled[:2] == ["192.0.2.1", "192.0.2.2"]
    assert peer.dialled.count("192.0.2.1") == 1
    office.clock.advance(31)
    await office.enqueue("x@c.test")
    await office.attempt()
    assert peer.dialled.count("192.0.2.1") == 2


async def test_where_all_hosts_are_left_alone_the_domain_waits_as_long_as_the_first_of_them() -> None:
    peer = Peer()
    peer.refused.add("192.0.2.1")
    office = Office(peer)
    domains_at(office, "dead.test", "b.test", "c.test")
    await office.enqueue("x@b.test")
    await office.attempt()
    office.clock.advance(10)
    await office.enqueue("x@c.test")
    await office.attempt()
    assert peer.dialled == ["192.0.2.1"]
    assert "left alone" in office.outcomes[-1].text
    place = office.relay._places["c.test"]
    assert place.closed_until - office.clock.monotonic() == pytest.approx(20)
    assert not place.failures
    peer.refused.clear()
    office.clock.advance(20)
    await office.enqueue("y@c.test")
    await office.attempt()
    assert office.outcomes[-1].state == "relayed"


async def test_workers_know_what_one_of_them_was_told(rng: random.Random) -> None:
    table = SharedTable(4096, HALF_LIFE)
    first, second = Office(Peer(TOO_FAST)), Office(Peer())
    for office in (first, second):
        domains_at(office, "aspmx.l.google.com", "b.test")
        office.relay._paces = Paces(table, office.clock, rng)
    await first.enqueue("x@b.test")
    await first.attempt()
    for _ in range(SESSIONS_A_DESTINATION):
        await second.enqueue("x@b.test")
    await second.attempt()
    assert second.put_off
