"""Destinations that cannot be reached, loops to ourselves, and what sessions cost (rows 9 and 70)."""

import asyncio
from typing import Any

import msgspec
import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Server, Settings
from a3mailer.edge.dial import dial
from a3mailer.identity.directory import parse_stored
from a3mailer.runtime.resolver import Mx
from a3mailer.transfer.relay import relay as relay_module
from a3mailer.transfer.relay.destinations.mx import reach_of
from a3mailer.transfer.relay.relay import BACKOFF_SECONDS, SESSIONS_A_DESTINATION
from tests.unit.transfer.hostile import Peer
from tests.unit.transfer.office import Office


class Refusing:
    """Dialled and refuses; counts. ``hold`` makes dialling take until it is set."""

    def __init__(self, error: type[ConnectionError] = ConnectionRefusedError) -> None:
        self.dialled: list[str] = []
        self.hold: asyncio.Event | None = None
        self.at_once = 0
        self.most = 0
        self._error = error

    async def __call__(self, address: str, port: int, seconds: float) -> Any:
        self.dialled.append(address)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if self.hold is not None:
            await self.hold.wait()
        self.at_once -= 1
        raise self._error(f"{address}:{port}: refused")


async def test_an_unreachable_destination_is_left_alone_for_a_while_and_longer_each_time() -> None:
    dial = Refusing()
    office = Office(dial)
    office.resolver.mail_host("b.test", "192.0.2.1")
    for _ in range(20):
        await office.enqueue("x@b.test")
    await office.attempt()
    assert len(dial.dialled) == 1
    assert [o.state for o in office.outcomes] == ["waiting"] * 20
    assert {o.text for o in office.outcomes} == {"192.0.2.1:25: refused"}
    place = office.relay._places["b.test"]
    waits = []
    for _ in range(8):
        waits.append(place.closed_until - office.clock.monotonic())
        office.clock.advance(waits[-1])
        await office.enqueue("x@b.test")
        await office.attempt()
    assert waits[:4] == [BACKOFF_SECONDS * 2**n for n in range(4)]
    assert waits[-1] == relay_module.BACKOFF_MOST
    assert len(dial.dialled) == 9


async def test_another_destination_is_not_concerned() -> None:
    dial = Refusing()
    office = Office(dial)
    office.resolver.mail_host("b.test", "192.0.2.1")
    office.resolver.mail_host("c.test", "192.0.2.2")
    await office.enqueue("x@b.test", "x@c.test")
    await office.attempt()
    assert sorted(dial.dialled) == ["192.0.2.1", "192.0.2.2"]


async def test_one_destination_sees_few_sessions_at_once() -> None:
    dial = Refusing()
    dial.hold = asyncio.Event()
    office = Office(dial, QueueSettings(concurrency=20))
    office.resolver.mail_host("b.test", "192.0.2.1")
    for _ in range(12):
        await office.enqueue("x@b.test")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while dial.at_once < SESSIONS_A_DESTINATION:
            await asyncio.sleep(0.005)
        dial.hold.set()
        while len(office.settled) < 12:
            await asyncio.sleep(0.005)
        stop.set()
    assert dial.most == SESSIONS_A_DESTINATION
    assert len(dial.dialled) == SESSIONS_A_DESTINATION
    assert len(office.put_off) == 12 - SESSIONS_A_DESTINATION  # until it has answered
    assert office.relay._places["b.test"].failures == 1


async def test_destinations_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "PLACES", 5)
    office = Office(Refusing())
    for number in range(20):
        office.resolver.mail_host(f"d{number}.test", "192.0.2.1")
        await office.enqueue(f"x@d{number}.test")
    await office.attempt()
    assert len(office.relay._places) <= 6


@pytest.mark.parametrize(
    ("records", "enhanced"),
    [
        ([Mx(0, ".")], "5.1.10"),
        ([Mx(10, "mail.a.test")], "5.4.6"),
        ([Mx(10, "us.b.test")], "5.4.6"),
        ([Mx(10, "nowhere.b.test")], "5.4.4"),
        (None, "5.1.2"),
    ],
)
async def test_row_9_a_domain_without_a_way_fails_at_once(records: list[Mx] | None, enhanced: str) -> None:
    dial = Refusing()
    office = Office(dial)
    office.resolver.put("us.b.test", "A", "192.0.2.250")  # where we listen
    if records:
        office.resolver.put("b.test", "MX", *records)
    await office.enqueue("x@b.test")
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("failed", enhanced)]
    assert not dial.dialled
    assert office.notices[0].recipients[0].status == enhanced


async def test_row_9_a_connection_that_ends_at_ourselves_is_a_loop() -> None:
    class Ours:
        local = ("192.0.2.77", 50000)
        closed = False

        def close(self) -> None:
            self.closed = True

    wire = Ours()

    async def dial(address: str, port: int, seconds: float) -> Any:
        return wire

    office = Office(dial)
    office.resolver.mail_host("b.test", "192.0.2.77")  # an address of this machine that nobody told us of
    await office.enqueue("x@b.test")
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("failed", "5.4.6")]
    assert wire.closed


INSIDE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "fe80::1", "fd00::1", "2002:7f00:1::", "64:ff9b::a00:1", "ff02::1",
]  # fmt: skip


def _open_to_the_world(dial: Refusing, *inside: str) -> Office:
    office = Office(dial)
    _change(office, inside=inside)
    return office


def _change(office: Office, **fields: tuple[str, ...]) -> None:
    queue = msgspec.structs.replace(office.settings.queue, **fields)
    office.settings = msgspec.structs.replace(office.settings, queue=queue)
    office.relay = office.make_relay()
    office.desk = office.make_desk("worker-1")


@pytest.mark.parametrize(
    "evil",
    [
        "a\r\nRCPT TO:<eve@x.test>\r\nb@b.test",
        "a\nb@b.test",
        "a\0b@b.test",
        "x@b.test>\r\nRSET",
        "a\u2028b@b.test",
    ],
)
async def test_row_1_no_address_says_a_command_of_its_own(evil: str) -> None:
    """However it came into the queue (an alias of an administrator's, a broken filter): it alone fails."""
    peer = Peer(offers=(b"PIPELINING", b"8BITMIME", b"SMTPUTF8"))
    port = await peer.start("127.0.0.1")
    async with peer:
        office = Office(dial, QueueSettings(smtp_port=port))
        office.resolver.mail_host("b.test", "127.0.0.1")
        office.resolver.mail_host(parse_stored(evil).domain, "127.0.0.1")
        await office.enqueue(evil)
        await office.enqueue("good@b.test", evil)
        await office.enqueue("good@b.test", sender=evil)
        while await office.attempt():
            pass
        await office.relay.close()
    ends = [(o.state, o.enhanced) for o in office.outcomes if o.state in ("relayed", "failed")]
    assert ends.count(("relayed", "2.0.0")) == 1
    assert all(state == "relayed" or enhanced in ("5.1.3", "5.1.2") for state, enhanced in ends), ends
    verbs = [line.split(b":")[0].split(b" ")[0] for line in bytes(peer.clear).split(b"\r\n")]
    assert b"eve@x.test" not in peer.clear
    assert verbs.count(b"RCPT") == 1 and verbs.count(b"RSET") == 0


async def test_a_mail_to_an_ipv6_address_is_dialled() -> None:
    """The store keeps domains in lower case, the tag of a literal with them."""
    dial = Refusing()
    office = _open_to_the_world(dial)
    await office.enqueue("x@[IPv6:2606:4700::1111]", "x@[9.9.9.9]")
    await office.attempt()
    assert sorted(dial.dialled) == ["2606:4700::1111", "9.9.9.9"]


@pytest.mark.parametrize("address", INSIDE)
async def test_row_50_a_strangers_mx_leads_to_nothing_inside(address: str) -> None:
    dial = Refusing()
    office = _open_to_the_world(dial)
    office.resolver.put("b.test", "MX", Mx(10, "mx.b.test"))
    office.resolver.put("mx.b.test", "AAAA" if ":" in address else "A", address)
    literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    await office.enqueue("x@b.test")
    await office.enqueue(f"x@{literal}")
    await office.attempt()
    assert not dial.dialled
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("waiting", "4.4.4")] * 2
    assert (
        office.outcomes[0].text
        == f"mx.b.test is at {address}, which is inside: queue.inside does not name it"
    )


async def test_row_50_what_is_public_beside_it_is_tried_and_every_answer_is_looked_at() -> None:
    """Also of a name whose answers change (rebinding): what is dialled is the address that was checked."""
    dial = Refusing()
    office = _open_to_the_world(dial)
    office.resolver.put("b.test", "MX", Mx(10, "mx.b.test"))
    office.resolver.put("mx.b.test", "A", "127.0.0.1", "9.9.9.9")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert dial.dialled == ["9.9.9.9"]
    office.resolver.put("mx.b.test", "A", "10.0.0.1")
    office.clock.advance(3600)
    await office.attempt()
    assert dial.dialled == ["9.9.9.9"]
    assert office.outcomes[-1].enhanced == "4.4.4"


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_row_50_a_number_is_no_host(name: str) -> None:
    """Only what the DNS says is dialled: nothing else makes an address out of a name."""
    dial = Refusing()
    office = _open_to_the_world(dial)
    office.resolver.put("b.test", "MX", Mx(10, name))
    await office.enqueue("x@b.test")
    await office.attempt()
    assert not dial.dialled


async def test_row_50_the_operator_says_what_is_inside_and_his_own_server_may_be() -> None:
    dial = Refusing()
    office = _open_to_the_world(dial, "10.0.0.0/8")
    office.resolver.mail_host("b.test", "10.1.2.3")
    office.resolver.mail_host("c.test", "192.168.1.1")
    await office.enqueue("x@b.test", "x@c.test")
    await office.attempt()
    assert dial.dialled == ["10.1.2.3"]
    settings = office.settings
    rules = ("to=c.test via=192.168.1.1:25",)
    office.settings = msgspec.structs.replace(
        settings, queue=msgspec.structs.replace(settings.queue, rules=rules)
    )
    office.relay = office.make_relay()
    office.desk = office.make_desk("worker-1")
    await office.enqueue("x@c.test")
    await office.attempt()
    assert dial.dialled == ["10.1.2.3", "192.168.1.1"]


async def test_row_50_a_server_that_only_this_machine_reaches_may_reach_it() -> None:
    """Rigs: everybody is on loopback."""
    assert reach_of(Settings(server=Server(listen=("127.0.0.1", "::1"))))("127.0.0.1")
    assert not reach_of(Settings(server=Server(listen=("127.0.0.1", "192.0.2.1"))))("127.0.0.1")


async def test_when_a_better_host_is_down_our_own_turn_is_a_reason_to_wait() -> None:
    dial = Refusing()
    office = Office(dial)
    office.resolver.put("b.test", "MX", Mx(10, "best.b.test"), Mx(20, "us.b.test"))
    office.resolver.put("best.b.test", "A", "192.0.2.1")
    office.resolver.put("us.b.test", "A", "192.0.2.250")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("waiting", "4.4.1")]
    assert dial.dialled == ["192.0.2.1"]


async def test_a_dns_that_does_not_answer_is_a_reason_to_wait() -> None:
    office = Office(Refusing())
    office.resolver.fail("b.test", "MX")
    await office.enqueue("x@b.test")
    await office.attempt()
    assert [(o.state, o.enhanced) for o in office.outcomes] == [("waiting", "4.4.3")]


def test_a_smart_host_that_is_none_is_found_at_the_start() -> None:
    with pytest.raises(ValueError, match="host"):
        Office(queue=QueueSettings(relay=":25"))
