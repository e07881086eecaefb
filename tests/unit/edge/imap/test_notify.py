"""NOTIFY beside its transcripts: parking, limits, the end, and what it costs those without it."""

import asyncio
import pathlib
import socket
from collections.abc import AsyncIterator

import pytest

from a3mailer.access import notify
from a3mailer.edge.imap import notifying
from a3mailer.edge.imap.session import Session
from a3mailer.edge.park import ParkingLot
from a3mailer.mail.changes import ANNOTATIONS, EVERYTHING, Change
from a3mailer.mail.ids import INBOX, AccountId, MailboxId, ModSeq
from a3mailer.mail.rights import of_account
from a3mailer.store.operations import ChangeGrant, CreateMailbox, DeleteMailbox, Operation
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from tests.transcripts.imap_world import TRACE, ImapWorld

LOGIN = b"a0 LOGIN alice@example.test secret-a\r\n"
MAIL = b"Subject: x\r\n\r\nx\r\n"


class Parkable(MemoryConnection):
    """As a connection with a descriptor."""

    @property
    def parkable(self) -> bool:
        return not self._input


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ImapWorld]:
    world = ImapWorld(tmp_path, {"messages": "short"})
    await world.fill()
    yield world
    world.close()


@pytest.fixture
async def stage(world: ImapWorld) -> AsyncIterator[Stage]:
    async with Stage(world.serve, world.connect) as stage:
        yield stage


@pytest.fixture
def alice(world: ImapWorld) -> AccountId:
    return world.accounts["alice"]


async def user(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    assert b"logged in" in await session.feed(LOGIN)
    return session


async def do(world: ImapWorld, *operations: Operation) -> None:
    await world.store.commit(Transaction(operations))
    await asyncio.sleep(0)  # watchers hear of it at the loop's next turn


async def parked(world: ImapWorld, said: bytes) -> Session:
    """A session that has said this and idles."""
    connection = Parkable(("192.0.2.1", 40000), ("127.0.0.1", 143))
    connection.put(LOGIN + said + b"z IDLE\r\n")
    session = await world.door.serve(connection, TRACE)
    assert isinstance(session, Session)
    assert b"BAD" not in connection.taken()
    return session


async def test_who_does_not_watch_pays_nothing(stage: Stage, world: ImapWorld) -> None:
    session = await user(stage)
    await session.feed(b"a1 SELECT INBOX\r\na2 IDLE\r\n")
    assert world.views._followers == {}
    await session.feed(b"DONE\r\na3 NOTIFY SET (personal (MailboxName))\r\n")
    assert world.views._followers
    await session.feed(b"a4 NOTIFY NONE\r\n")
    assert world.views._followers == {}


@pytest.mark.parametrize("end", [b"x LOGOUT\r\n", b"x UNAUTHENTICATE\r\n"])
async def test_the_end_of_a_session_is_the_end_of_its_watch(
    stage: Stage, world: ImapWorld, end: bytes
) -> None:
    session = await user(stage)
    await session.feed(b"a1 NOTIFY SET (subscribed (MessageNew MessageExpunge))\r\n")
    assert world.views._followers
    await session.feed(end)
    assert world.views._followers == {}


async def test_a_parked_session_is_woken_by_what_it_watches_alone(world: ImapWorld, alice: AccountId) -> None:
    said = b"a NOTIFY SET (mailboxes Sent (MessageNew MessageExpunge))\r\n"
    session = await parked(world, said)
    sent = (await world.store.mailbox_named(alice, "Sent")).id
    drafts = (await world.store.mailbox_named(alice, "Drafts")).id
    assert session.topics == ((alice, 0), (alice, sent))
    woken: list[str] = []

    def wake(_session: Session, reason: str) -> None:
        woken.append(reason)

    lot = ParkingLot[Session](wake, lambda one: one.topics, lambda one: 1e18)
    with socket.socket() as sock:
        lot.park(sock.fileno(), session)
        for topic in ((alice, drafts), (alice, INBOX), (alice, ANNOTATIONS), (AccountId(77), sent)):
            lot.wake(topic)
        assert not woken
        lot.wake((alice, sent))
        assert woken == ["change"]
    lot.close()
    session.quiet()


async def test_a_parked_session_tells_what_came_while_it_slept(world: ImapWorld, alice: AccountId) -> None:
    session = await parked(world, b"a NOTIFY SET (inboxes (MessageNew MessageExpunge MailboxName))\r\n")
    await world.deliver(MAIL)
    await do(world, CreateMailbox(alice, "New"))
    made = await world.store.mailbox_named(alice, "New")
    assert await world.door.resume(session, "change") is session
    assert isinstance(session.connection, MemoryConnection)
    assert (
        session.connection.taken()
        == (
            b'* LIST (\\HasNoChildren) "/" New\r\n'
            b"* STATUS INBOX (MESSAGES 2 UIDNEXT 3)\r\n"
            b"* STATUS New (MESSAGES 0 UIDNEXT 1 UIDVALIDITY %d)\r\n"
        )
        % made.uid_validity
    )
    session.quiet()


async def test_lost_hints_are_made_up_for(stage: Stage, world: ImapWorld, alice: AccountId) -> None:
    session = await user(stage)
    await session.feed(b"a1 NOTIFY SET (personal (MessageNew MessageExpunge))\r\n")
    world.views._forget()  # nobody hears anything
    await world.deliver(MAIL)
    assert await session.feed(b"a2 NOOP\r\n") == b"a2 OK NOOP completed\r\n"
    world.views._heard(EVERYTHING)
    assert await session.feed(b"") == b"* STATUS INBOX (MESSAGES 2 UIDNEXT 3)\r\n"
    world.views._heard(Change(alice, INBOX, ModSeq(1)))  # late: nothing is told twice
    world.views._heard(Change(alice, MailboxId(0), ModSeq(1)))
    assert await session.feed(b"") == b""


async def test_news_come_in_the_middle_of_a_command_that_is_arriving(stage: Stage, world: ImapWorld) -> None:
    session = await user(stage)
    await session.feed(b"a1 NOTIFY SET (personal (MessageNew MessageExpunge))\r\na2 NO")
    await world.deliver(MAIL)
    assert await session.feed(b"") == b"* STATUS INBOX (MESSAGES 2 UIDNEXT 3)\r\n"
    assert await session.feed(b"OP\r\n") == b"a2 OK NOOP completed\r\n"


async def test_too_many_mailboxes_are_refused(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MAX_MAILBOXES", 3)
    session = await user(stage)
    answer = await session.feed(b"a1 NOTIFY SET (personal (MessageNew MessageExpunge))\r\n")
    assert answer == b"a1 NO [NOTIFICATIONOVERFLOW] those are too many mailboxes\r\n"
    assert world.views._followers == {}
    assert (await session.feed(b"a2 ENABLE METADATA\r\n")).startswith(b"a2 NO [LIMIT]")


OVERFLOW = b"* OK [NOTIFICATIONOVERFLOW] too much happens: nothing is told any more\r\n"


async def test_too_much_at_once_ends_it(
    stage: Stage, world: ImapWorld, alice: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "MAX_AT_ONCE", 2)
    session = await user(stage)
    await session.feed(b"a1 SELECT INBOX\r\n")
    await session.feed(b"a2 NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))\r\n")
    await do(world, *(CreateMailbox(alice, f"box {number}") for number in range(3)))
    assert await session.feed(b"") == OVERFLOW
    assert world.views._followers == {}
    await world.deliver(MAIL)
    await do(world, CreateMailbox(alice, "one more"))
    assert await session.feed(b"a3 NOOP\r\n") == b"a3 OK NOOP completed\r\n"


async def test_mailboxes_that_grow_too_many_end_it(
    stage: Stage, world: ImapWorld, alice: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)
    await session.feed(b"a1 NOTIFY SET (personal (MailboxName))\r\n")
    monkeypatch.setattr(notify, "MAX_MAILBOXES", 3)
    await do(world, CreateMailbox(alice, "box"))
    assert await session.feed(b"") == OVERFLOW


async def test_a_delivery_and_an_own_append_at_once_are_told(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    """What others did is not lost behind what the client did itself."""
    session = await user(stage)
    await session.feed(b"a1 NOTIFY SET (personal (MessageNew MessageExpunge FlagChange))\r\n")
    world.views._forget()
    await world.deliver(MAIL)
    await session.feed(b"a2 APPEND INBOX {3+}\r\na\r\n\r\n")
    world.views._heard(Change(alice, INBOX, ModSeq(99)))
    assert b"* STATUS INBOX (MESSAGES 3 UIDNEXT 4" in await session.feed(b"")


async def test_a_mailbox_of_that_name_again_has_another_uidvalidity(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    session = await user(stage)
    sent = await world.store.mailbox_named(alice, "Sent")
    await session.feed(b"a1 NOTIFY SET (mailboxes Sent (MessageNew MessageExpunge FlagChange))\r\n")
    await do(world, DeleteMailbox(alice, sent.id), CreateMailbox(alice, "Sent"))
    told = await session.feed(b"")
    assert told.startswith(b"* STATUS Sent (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ")
    assert b"UIDVALIDITY %d" % sent.uid_validity not in told


async def test_parked_sessions_that_watch_others_hear_of_rights(world: ImapWorld, alice: AccountId) -> None:
    bob = world.accounts["bob"]
    connection = Parkable(("192.0.2.1", 40001), ("127.0.0.1", 143))
    connection.put(LOGIN.replace(b"alice", b"bob"))
    connection.put(b'a NOTIFY SET (subtree "Other Users" (MailboxName))\r\nz IDLE\r\n')
    session = await world.door.serve(connection, TRACE)
    assert isinstance(session, Session)
    assert session.notifier is not None
    assert session.notifier.follows_rights
    connection.taken()
    await do(world, ChangeGrant(alice, INBOX, of_account(bob), "=", "lr"))
    await world.door.resume(session, "change")
    assert b'"/" "Other Users/alice/INBOX"\r\n' in connection.taken()
    session.quiet()
