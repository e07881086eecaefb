"""The event source: what is told, when, and to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.access.subscriptions import subscribe
from a3mailer.edge.http.exchange import BadRequest
from a3mailer.edge.http.jmap import events
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.events import wanted
from a3mailer.edge.http.jmap.news import MAX_TOLD, Hub, packed, unpacked
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.types import DataType
from a3mailer.mail.ids import INBOX
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemorySession
from tests.transcripts.jmap_world import JmapWorld

MAIL = b"Subject: a\r\n\r\nb\r\n"


async def messages(services: Services, account: Account) -> str:
    return str((await services.store.mailbox(account.id, INBOX)).uid_next)


async def mailboxes(services: Services, account: Account) -> str:
    return str(len(await services.store.mailboxes(account.id)))


TYPES = (
    DataType("Email", CORE, messages),
    DataType("Mailbox", CORE, mailboxes),
    DataType("No", "urn:no", messages),
)


class EventWorld(JmapWorld):
    """With two types."""

    def __init__(self) -> None:
        super().__init__()
        self.jmap = type(self.jmap)(
            self.jmap.services,
            self.jmap.dispatcher,
            Hub(
                self.jmap.services,
                self.store,
                TYPES,
                self.jmap.dispatcher.accounts,
                self.authenticator.current,
            ),
        )
        self.open_door()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EventWorld]:
    monkeypatch.setattr(events, "GAP", 0.0)
    made = EventWorld()
    await made.fill()
    yield made
    made.close()


def get(query: str, *fields: str, who: str = "alice") -> bytes:
    lines = [
        f"GET /jmap/events?{query} HTTP/1.1",
        "Host: a",
        f"Authorization: {JmapWorld.basic(who)}",
        *fields,
    ]
    return "\r\n".join((*lines, "", "")).encode()


def told(octets: bytes) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each event."""
    found = []
    for block in octets.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


async def begin(session: MemorySession, query: str, *fields: str, who: str = "alice") -> bytes:
    head, _, rest = (await session.feed(get(query, *fields, who=who))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"Content-Type: text/event-stream" in head, head
    assert (
        b"Content-Length" not in head and b"Connection: close" in head and b"Cache-Control: no-store" in head
    )
    return rest


async def test_changes_are_told_once_and_only_to_whom_they_concern(world: EventWorld) -> None:
    async with world.stage() as stage:
        alice, bob = stage.open(1), stage.open(2)
        assert await begin(alice, "types=*&closeafter=no&ping=0") == b""
        assert await begin(bob, "types=*&closeafter=no&ping=0", who="bob") == b""
        await world.deliver(MAIL)
        ((event, id, data),) = told(await alice.feed(b""))
        assert event == "state" and id
        assert data == {"@type": "StateChange", "changed": {"A1": {"Email": "2"}}}
        await world.store.commit(Transaction((op.CreateMailbox(world.accounts["alice"], "New"),)))
        ((_, _, data),) = told(await alice.feed(b""))
        assert data["changed"] == {"A1": {"Mailbox": "7"}}
        flags = op.StoreFlags(world.accounts["alice"], INBOX, (1,), "+", 1)
        await world.store.commit(Transaction((flags,)))
        assert await alice.feed(b"") == b"" == await bob.feed(b"")


async def test_only_the_types_that_are_asked_for(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        assert await begin(session, "types=Mailbox,Unknown&closeafter=no&ping=0") == b""
        await world.deliver(MAIL)
        assert await session.feed(b"") == b""
        await world.store.commit(Transaction((op.CreateMailbox(world.accounts["alice"], "New"),)))
        assert [data["changed"] for _, _, data in told(await session.feed(b""))] == [{"A1": {"Mailbox": "7"}}]


async def test_the_response_ends_after_a_state_where_asked(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        await begin(session, "types=*&closeafter=state&ping=0")
        await world.deliver(MAIL)
        assert len(told(await session.feed(b""))) == 1 and session.closed


async def test_who_comes_back_hears_what_was_missed(world: EventWorld) -> None:
    async with world.stage() as stage:
        first = stage.open(1)
        await begin(first, "types=*&closeafter=no&ping=0")
        await world.deliver(MAIL)
        ((_, id, _),) = told(await first.feed(b""))
        assert unpacked(id) == {"A1": {"Email": "2", "Mailbox": "6"}}
        again = await begin(stage.open(2), "types=*&closeafter=no&ping=0", f"Last-Event-ID: {id}")
        assert again == b""
        await world.deliver(MAIL)
        ((_, _, data),) = told(
            await begin(stage.open(3), "types=*&closeafter=no&ping=0", f"Last-Event-ID: {id}")
        )
        assert data["changed"] == {"A1": {"Email": "3"}}
        for number, other in enumerate(("e30x!", packed({f"A{n}": {"Email": "1"} for n in range(1000)}))):
            assert len(other) <= MAX_TOLD
            fields = "types=*&closeafter=no&ping=0", f"Last-Event-ID: {other}"
            ((_, _, data),) = told(await begin(stage.open(4 + number), *fields))
            assert data["changed"] == {"A1": {"Email": "3", "Mailbox": "6"}}, "who knows nothing hears all"


async def test_pings_come_when_nothing_else_does(world: EventWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MIN_PING", 0)
    monkeypatch.setattr(events, "MAX_PING", 0.05)
    async with world.stage() as stage:
        session = stage.open(1)
        await begin(session, "types=*&closeafter=no&ping=300")
        said = b""
        async with asyncio.timeout(20):
            while said.count(b"\n\n") < 2:
                await asyncio.sleep(0.02)
                said += await session.feed(b"")
        assert told(said)[:2] == [("ping", "", {"interval": 0})] * 2


async def test_it_ends_with_the_credentials(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        await begin(session, "types=*&closeafter=no&ping=0")
        await world.store.commit(Transaction((op.BumpEpoch(world.accounts["alice"]),)))
        await world.deliver(MAIL)
        assert await session.feed(b"") == b"" and session.closed


async def test_a_client_that_talks_on_is_left(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        await begin(session, "types=*&closeafter=no&ping=0")
        assert await session.feed(b"x" * 1000) == b"" and not session.closed
        await session.feed(b"x" * events.MAX_NOISE)
        assert session.closed


def test_what_may_be_asked() -> None:
    good = {"types": "Email,Mailbox", "closeafter": "no", "ping": "0"}
    assert wanted(good) == (frozenset(("Email", "Mailbox")), False, 0)
    assert wanted({**good, "types": "*", "closeafter": "state", "ping": "1"}) == (None, True, 30)
    assert wanted({**good, "ping": "99999"})[2] == 3600 and wanted({**good, "ping": "300"})[2] == 300
    for wrong in (
        {"types": ""}, {"types": "a,,b"}, {"types": ",".join(map(str, range(200)))}, {"closeafter": "yes"},
        {"ping": "-1"}, {"ping": ""}, {"ping": "9" * 30},
    ):  # fmt: skip
        with pytest.raises(BadRequest):
            wanted({**good, **wrong})


def test_what_was_told_goes_there_and_back() -> None:
    states = {"A1": {"Email": "x" * 20, "Mailbox": "é"}}
    assert unpacked(packed(states)) == states and packed(states).isascii()
    for wrong in ("", "!", "e30", "WzFd", "x" * 5000, "é", "eyJhIjoxfQ"):
        assert unpacked(wrong) in (None, {}), wrong


async def test_what_is_lent_is_news_too(world: EventWorld) -> None:
    async with world.stage() as stage:
        bob = stage.open(1)
        assert await begin(bob, "types=*&closeafter=no&ping=0", who="bob") == b""
        to = of_account(world.accounts["bob"])
        await world.store.commit(
            Transaction((op.ChangeGrant(world.accounts["alice"], INBOX, to, "=", "lr"),))
        )
        await world.deliver(MAIL)
        assert await bob.feed(b"") == b"", "not of what he has not subscribed to (RFC 9670 section 1.4)"
        named = subscribe(world.accounts["bob"], "Other Users/alice/INBOX")
        await world.store.commit(Transaction((named,)))
        ((_, _, data),) = told(await bob.feed(b""))
        assert set(data["changed"]) == {"A1"}, "it is heard that there is another account"
        await world.deliver(MAIL)
        ((_, _, data),) = told(await bob.feed(b""))
        assert data["changed"] == {"A1": {"Email": "3"}}
        await world.store.commit(Transaction((op.ChangeGrant(world.accounts["alice"], INBOX, to, "=", ""),)))
        await world.deliver(MAIL)
        assert await bob.feed(b"") == b""
