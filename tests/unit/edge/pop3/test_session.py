"""The POP3 door: deadlines, drains, changed credentials, failing stores, and what an attacker tries."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.access.maildrop import Maildrop
from a3mailer.edge.pop3.session import BAD_COMMANDS, BAD_COMMANDS_OF_USERS
from a3mailer.identity.tokens import issue
from a3mailer.mail.errors import DamagedContent, TryLater
from a3mailer.mail.ids import INBOX
from a3mailer.store.operations import BumpEpoch, ChangeAccount
from a3mailer.store.ports import Transaction
from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.wire.pop3 import limits
from tests.transcripts.pop3_world import Pop3World

LOGIN = b"USER alice@example.test\r\nPASS secret-a\r\n"


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[Pop3World]:
    world = Pop3World(tmp_path, {"messages": "plain mixed short"})
    await world.fill()
    yield world
    world.close()


@pytest.fixture
async def stage(world: Pop3World) -> AsyncIterator[Stage]:
    async with Stage(world.serve, world.connect) as stage:
        yield stage


async def stranger(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    return session


async def user(stage: Stage, number: int = 1) -> MemorySession:
    session = await stranger(stage, number)
    assert b"+OK maildrop has" in await session.feed(LOGIN)
    return session


def held(world: Pop3World) -> bool:
    """Whether alice's maildrop is in use."""
    if world.leases.take(world.accounts["alice"]):
        world.leases.release(world.accounts["alice"])
        return False
    return True


async def count(world: Pop3World) -> int:
    return (await world.store.mailbox(world.accounts["alice"], INBOX)).messages


# --- the end of a session --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gone", "expired", "draining"])
async def test_without_quit_nothing_is_deleted_and_the_maildrop_is_free(
    world: Pop3World, stage: Stage, how: str
) -> None:
    session = await user(stage)
    assert await session.feed(b"DELE 1\r\n") == b"+OK message 1 deleted\r\n"
    assert held(world)
    if how == "gone":
        session.connection.end()
    elif how == "expired":
        session.connection.expire()
    else:
        session.connection.draining = True
        assert session.connection.idle, "it is between two commands"
        session.connection.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert session.closed and not held(world)
    assert await count(world) == 3


async def test_a_stranger_has_his_time_and_a_user_ten_minutes(world: Pop3World, stage: Stage) -> None:
    now = asyncio.get_running_loop().time
    session = await stranger(stage)
    first = session.connection.deadline
    assert first - now() <= world.settings.pop3.login_seconds == 30
    await session.feed(b"CAPA\r\nUSER a\r\n")
    assert session.connection.deadline == first, "commands buy a stranger no time"
    other = await user(stage, 2)
    assert other.connection.deadline - now() > 600
    until = other.connection.deadline
    await other.feed(b"NO")
    assert other.connection.deadline == until, "a command that does not end buys no time"
    await other.feed(b"OP\r\n")
    assert other.connection.deadline > until


async def test_a_login_that_has_to_wait_is_not_the_clients_time(
    world: Pop3World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stranger(stage)
    first = session.connection.deadline
    await session.feed(b"USER alice@example.test\r\nPASS wrong\r\n")
    assert first < session.connection.deadline < first + 10


async def test_changed_credentials_end_a_session(world: Pop3World, stage: Stage) -> None:
    session = await user(stage)
    await world.store.commit(Transaction((BumpEpoch(world.accounts["alice"]),)))
    assert await session.feed(b"RETR 1\r\n") == b"-ERR [AUTH] these credentials are no longer valid\r\n"
    assert session.closed and not held(world)


async def test_somebody_elses_change_ends_nothing(world: Pop3World, stage: Stage) -> None:
    session = await user(stage)
    await world.store.commit(Transaction((ChangeAccount(world.accounts["bob"], enabled=False),)))
    assert await session.feed(b"NOOP\r\n") == b"+OK done\r\n"


# --- a store in trouble ----------------------------------------------------------------------------------


async def test_a_quit_that_fails_says_so_and_lets_go(
    world: Pop3World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)

    async def fails(self: Maildrop, tenant: int) -> int:
        raise TryLater

    monkeypatch.setattr(Maildrop, "update", fails)
    said = await session.feed(b"DELE 1\r\nQUIT\r\n")
    assert said.endswith(b"-ERR [SYS/TEMP] some deleted messages were not removed\r\n")
    assert session.closed and not held(world) and await count(world) == 3


async def test_a_login_that_fails_lets_go(
    world: Pop3World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise TryLater

    session = await stranger(stage)
    with monkeypatch.context() as patched:
        patched.setattr(type(world.views), "open", fails)
        assert (await session.feed(LOGIN)).endswith(b"-ERR [SYS/TEMP] try later\r\n")
    assert not held(world)
    assert b"+OK maildrop" in await session.feed(LOGIN)


async def test_a_damaged_message_is_refused_alone(
    world: Pop3World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)
    contents = world.store.contents

    async def damaged(account: int, mailbox: int, uids: list[int]) -> dict[int, bytes | None]:
        found = await contents(account, mailbox, uids)
        return {uid: None if uid == 2 else octets for uid, octets in found.items()}

    monkeypatch.setattr(world.store, "contents", damaged)
    said = await session.feed(b"RETR 1\r\nRETR 2\r\nRETR 3\r\n")
    assert said.count(b"+OK") == 2 and b"-ERR [SYS/PERM] the message is damaged\r\n+OK 47" in said


async def test_a_large_message_that_breaks_off_ends_the_connection(
    world: Pop3World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a3mailer.access.maildrop.WHOLE", 100)
    monkeypatch.setattr("a3mailer.access.maildrop.PIECE", 100)
    session = await stranger(stage)
    await session.feed(b"UTF8\r\n" + LOGIN)
    octets = world.store.octets

    async def breaks(account: int, blob: bytes, start: int = 0, end: int | None = None) -> bytes:
        if start:
            raise DamagedContent
        return await octets(account, blob, start, end)

    monkeypatch.setattr(world.store, "octets", breaks)
    said = await session.feed(b"RETR 1\r\n")
    assert said.startswith(b"+OK 247 octets\r\n") and not said.endswith(b"\r\n.\r\n")
    assert session.closed and not held(world)


# --- attackers -------------------------------------------------------------------------------------------


async def test_a_flood_before_login_takes_no_room(world: Pop3World, stage: Stage) -> None:
    session = await stranger(stage)
    assert await session.feed(b"USER " + b"a" * limits.COMMAND_LINE) == b"-ERR line too long\r\n"
    assert session.closed
    session = await stranger(stage, 2)
    await session.feed(b"AUTH PLAIN\r\n")
    assert await session.feed(b"A" * limits.RESPONSE_LINE) == b"-ERR line too long\r\n"
    assert session.closed


async def test_strangers_and_users_have_so_many_errors(world: Pop3World, stage: Stage) -> None:
    session = await stranger(stage)
    said = await session.feed(b"x\r\n" * 1000)
    assert said == b"-ERR unknown command\r\n" * BAD_COMMANDS + b"-ERR too many errors\r\n"
    assert session.closed
    session = await user(stage, 2)
    assert (await session.feed(b"RETR 9\r\n" * 1000)).count(b"-ERR no such message\r\n") == 1000
    said = await session.feed(b"x\r\n" * (BAD_COMMANDS_OF_USERS + 50))
    assert said.endswith(b"-ERR too many errors\r\n") and session.closed


async def test_who_exists_is_not_told(world: Pop3World, stage: Stage) -> None:
    session = await stranger(stage)
    told = {
        await session.feed(b"USER %b\r\nPASS wrong\r\n" % name)
        for name in (b"alice@example.test", b"nobody@example.test", b"x@elsewhere.test")
    }
    assert told == {b"+OK who is it?\r\n-ERR [AUTH] wrong name or password\r\n"}


async def test_passwords_are_never_logged(
    world: Pop3World, stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    LOG.configure(level="debug")
    session = await stranger(stage)
    await session.feed(b"USER alice@example.test\r\nPASS hunter2-wrong\r\nPASS hunter2-order\r\n")
    await session.feed(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABodW50ZXIy\r\n")
    LOG.flush()
    said = capfd.readouterr()
    assert "hunter2" not in said.err + said.out and "aHVudGVy" not in said.err


async def test_pipelined_reading_is_sent_as_it_is_taken(world: Pop3World, stage: Stage) -> None:
    session = await user(stage)
    said = await session.feed(b"RETR 1\r\n" * 2000 + b"QUIT\r\n")
    assert said.count(b"+OK 247 octets\r\n") == 2000 and said.endswith(b"+OK bye\r\n")


async def test_a_token_reads_what_its_scopes_say(world: Pop3World, stage: Stage) -> None:
    for scopes, answers in (
        (("smtp",), (b"-ERR [AUTH] not permitted\r\n",)),
        (("mailbox",), (b"-ERR [SYS/PERM] not permitted\r\n", b"-ERR [SYS/PERM] not permitted\r\n")),
        (("mailbox", "message.read"), (b"+OK", b"-ERR [SYS/PERM] not permitted\r\n")),
        (("mailbox", "message"), (b"+OK", b"+OK message 1 deleted\r\n")),
    ):
        token, put = issue(world.accounts["alice"], "x", scopes, now=int(world.clock.now()))
        await world.store.commit(Transaction((put,)))
        session = await stranger(stage, len(scopes))
        said = await session.feed(b"USER alice@example.test\r\nPASS %b\r\n" % token.reveal().encode())
        if scopes == ("smtp",):
            assert said.endswith(answers[0])
        else:
            assert (await session.feed(b"RETR 1\r\n")).startswith(answers[0])
            assert (await session.feed(b"DELE 1\r\n")).startswith(answers[1])
        session.connection.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
