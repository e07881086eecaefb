"""From memory: what was queued just now goes on under the lease it came with, and nothing is lost by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from a3mailer.mail.errors import StoreFull
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId
from a3mailer.mail.message import index
from a3mailer.store.operations import (
    ChangeQueue,
    Claimed,
    ClaimQueue,
    Enqueue,
    Enqueued,
    Operation,
    QueueRecipient,
    Result,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.transfer.queue import handing as handing_module
from a3mailer.transfer.queue.attempt import LEASE_SECONDS
from a3mailer.transfer.queue.handing import LARGEST, Handing, entry_of
from a3mailer.transfer.queue.queue import Queue
from a3mailer.transfer.receive import Receive
from tests.unit.transfer.office import CONTENT, Office
from tests.unit.transfer.queue.test_queue import playing


class Unread:
    """A store of which no mail is read back."""

    def __init__(self, office: Office) -> None:
        async def octets(*_: object) -> bytes:
            raise AssertionError("read back")

        office.store.octets = octets  # type: ignore[method-assign,assignment]


def transaction(office: Office, *addresses: str, content: bytes = CONTENT, **fields: Any) -> Transaction:
    people = tuple(QueueRecipient(address) for address in addresses)
    account = AccountId(office.alice.id)
    enqueue = Enqueue(account, DEFAULT_TENANT, 0, "alice@a.test", people, trace="t", **fields)
    return Transaction((enqueue,), (Content(content, index(content)),))


@asynccontextmanager
async def working(office: Office) -> AsyncIterator[Handing]:
    """A queue at work that found nothing to do."""
    handing = Handing(office.store, office.clock, "worker-1")
    queue = Queue(
        office.store, office.policy, office.resolver, office.dial, object(), office.settings, office.clock,
        "worker-1", handing=handing,
    )  # fmt: skip
    queue._desk = office.desk
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(stop))
        while not queue._has_room():
            await asyncio.sleep(0.001)
        try:
            yield handing
        finally:
            stop.set()


def claimed(office: Office) -> list[int]:
    """Entries that were leased by asking for them, as far as we can know: who asked while there were any."""
    return [len(t.operations) for t in office.store.transactions if isinstance(t.operations[0], ClaimQueue)]


async def test_a_mail_goes_on_without_being_asked_for_or_read(tmp_path: Path) -> None:
    office = Office(playing(tmp_path, "250 2.0.0 taken"))
    office.resolver.mail_host("b.test", "192.0.2.1")
    Unread(office)
    async with working(office) as handing:
        asked = len(claimed(office))
        await handing.commit(transaction(office, "carol@b.test"))
        (entry,) = office.store.entries
        assert entry.lease_owner == "worker-1"
        while office.store.entries:
            await asyncio.sleep(0.001)
        assert len(claimed(office)) == asked
        assert (handing._mails, handing._octets) == (0, 0)
    assert [o.state for o in office.outcomes] == ["relayed"]


async def test_one_that_is_returned_is_returned_from_memory(tmp_path: Path) -> None:
    office = Office(playing(tmp_path, "550 5.7.1 no"))
    office.resolver.mail_host("b.test", "192.0.2.1")
    Unread(office)
    async with working(office) as handing:
        await handing.commit(transaction(office, "carol@b.test"))
        while not office.notices:
            await asyncio.sleep(0.001)
    (report,) = office.notices
    assert report.recipients[0].status == "5.7.1"


async def test_the_entry_in_memory_is_the_one_in_the_store() -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    given = []
    handing.open(lambda entry, octets: given.append((entry, octets)), lambda: True)
    await handing.commit(
        transaction(
            office, "carol@b.test", "dave@c.test", priority=3, envelope_id="x", hops=2, tls="required"
        )
    )
    ((entry, octets),) = given
    (stored,) = office.store.entries
    assert octets == CONTENT
    assert stored == entry_of(
        Enqueue(
            stored.account, stored.tenant, 0, stored.reverse_path,
            (QueueRecipient("carol@b.test"), QueueRecipient("dave@c.test")), "t", envelope_id="x", hops=2,
            priority=3, tls="required", lease_owner="worker-1", lease_until=stored.lease_until,
        ),
        Enqueued(stored.id, stored.created, "worker-1"),
        len(CONTENT),
        stored.blob,
    )  # fmt: skip
    assert [entry.id, entry.created, entry.recipients] == [stored.id, stored.created, stored.recipients]


def is_leased(office: Office) -> list[bool]:
    return [bool(entry.lease_owner) for entry in office.store.entries]


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"not_before": 2_000_000_000}, CONTENT),
        ({"priority": -1}, CONTENT),
        ({}, CONTENT + b"x" * LARGEST),
    ],
    ids=["for later", "less urgent than others", "large"],
)
async def test_some_wait_for_the_queue(fields: dict[str, Any], content: bytes) -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: pytest.fail("given"), lambda: True)
    await handing.commit(transaction(office, "carol@b.test", content=content, **fields))
    assert is_leased(office) == [False]


async def test_only_so_much_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_module, "MAILS", 2)
    monkeypatch.setattr(handing_module, "OCTETS", 5 * len(CONTENT))
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: None, lambda: True)
    for _ in range(3):
        await handing.commit(transaction(office, "carol@b.test"))
    assert is_leased(office) == [True, True, False], "mails"
    handing.left(len(CONTENT))
    handing.left(len(CONTENT))
    await handing.commit(transaction(office, "carol@b.test", content=CONTENT * 4))
    await handing.commit(transaction(office, "carol@b.test", content=CONTENT * 2))
    await handing.commit(transaction(office, "carol@b.test"))
    assert is_leased(office)[3:] == [True, False, True], "octets"


async def test_a_commit_that_fails_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: pytest.fail("given"), lambda: True)
    office.store.fail.append(StoreFull())
    with pytest.raises(StoreFull):
        await handing.commit(transaction(office, "carol@b.test"))
    assert (handing._mails, handing._octets) == (0, 0)


async def test_nobody_overtakes_a_queue_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a3mailer.transfer.queue.queue.IN_HAND", 2)
    leave = asyncio.Event()

    async def slow(address: str, port: int, seconds: float) -> Any:
        await leave.wait()
        raise ConnectionRefusedError("refused")

    office = Office(slow)
    office.resolver.mail_host("slow.test", "192.0.2.1")
    async with working(office) as handing:
        for _ in range(2):
            await handing.commit(transaction(office, "x@slow.test"))
        assert is_leased(office) == [True, True]
        await handing.commit(transaction(office, "x@slow.test"))
        assert is_leased(office) == [True, True, False]
        leave.set()


async def test_one_that_a_stopping_queue_does_not_take_is_let_go() -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: pytest.fail("given"), lambda: True)
    commit = office.store.commit

    async def meanwhile(transaction: Transaction) -> tuple[Result, ...]:
        results = await commit(transaction)
        handing.close()
        return results

    office.store.commit = meanwhile  # type: ignore[method-assign]
    await handing.commit(transaction(office, "carol@b.test"))
    assert is_leased(office) == [False]
    now = int(office.clock.now())
    (got,) = await commit(Transaction((ClaimQueue("worker-2", now, now + 60),)))
    assert isinstance(got, Claimed) and len(got.queues) == 1


async def test_a_lease_that_is_nearly_over_is_let_go() -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: pytest.fail("given"), lambda: True)
    commit = office.store.commit

    async def slowly(transaction: Transaction) -> tuple[Result, ...]:
        results = await commit(transaction)
        if isinstance(transaction.operations[0], Enqueue):
            office.clock.advance(LEASE_SECONDS / 2 + 1)
        return results

    office.store.commit = slowly  # type: ignore[method-assign]
    await handing.commit(transaction(office, "carol@b.test"))
    assert is_leased(office) == [False]


@pytest.mark.parametrize("results", [(), (Enqueued,)], ids=["unknown", "known"])
async def test_the_answer_to_a_retry_hands_nothing_on(results: tuple[type, ...]) -> None:
    """The entry of a mail that a dead worker had taken has been with others since (ADR 0010)."""
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    handing.open(lambda entry, octets: pytest.fail("given"), lambda: True)

    async def answered(transaction: Transaction) -> tuple[Result, ...]:
        return tuple(kind(7) for kind in results)

    office.store.commit = answered  # type: ignore[method-assign]
    await handing.commit(transaction(office, "carol@b.test"))
    assert (handing._mails, handing._octets) == (0, 0)


async def test_what_stands_beside_the_mail_is_done_too() -> None:
    office = Office()
    held = await office.enqueue("x@b.test", not_before=2_000_000_000)
    handing = Handing(office.store, office.clock, "worker-1")
    given = []
    handing.open(lambda entry, octets: given.append(entry.id), lambda: True)
    queued = transaction(office, "carol@b.test")
    beside: Operation = ChangeQueue(held, "hold", int(office.clock.now()))  # type: ignore[arg-type]
    await handing.commit(Transaction((beside, *queued.operations), queued.contents))
    first, second = office.store.entries
    assert first.held and given == [second.id]


async def test_a_mail_that_came_through_the_door_goes_on_as_it_was_stored() -> None:
    office = Office()
    handing = Handing(office.store, office.clock, "worker-1")
    given: list[bytes] = []
    handing.open(lambda entry, octets: given.append(octets), lambda: True)
    receive = Receive(office.store, office.directory, office.settings, office.clock, handing=handing)
    office.receive = receive
    mail = b"From: <alice@a.test>\r\nMessage-ID: <1@a.test>\r\n\r\nHello.\r\n"
    outcomes = await office.send(mail, "carol@b.test", sender="alice@a.test", client=office.submitter())
    (entry,) = office.store.entries
    assert (outcomes, entry.lease_owner) == ((None,), "worker-1")
    assert given == [office.store.content(entry)]
