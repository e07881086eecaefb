"""The ManageSieve door: deadlines, drains, changed credentials, and what an attacker tries (rows 32, 33)."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.edge.managesieve.session import BAD_COMMANDS, BAD_COMMANDS_OF_USERS
from a3mailer.mail.errors import TryLater
from a3mailer.store.operations import BumpEpoch
from a3mailer.store.ports import Transaction
from a3mailer.telemetry.events import LOG
from a3mailer.testing.memory_connection import MemorySession, Stage
from a3mailer.wire.managesieve import limits
from tests.transcripts.managesieve_world import ManageSieveWorld

LOGIN = b'AUTHENTICATE "PLAIN" "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQtYQ=="\r\n'


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ManageSieveWorld]:
    world = ManageSieveWorld(tmp_path, {})
    await world.fill()
    yield world
    world.close()


@pytest.fixture
async def stage(world: ManageSieveWorld) -> AsyncIterator[Stage]:
    async with Stage(world.serve, world.connect) as stage:
        yield stage


async def stranger(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    return session


async def user(stage: Stage, number: int = 1) -> MemorySession:
    session = await stranger(stage, number)
    assert await session.feed(LOGIN) == b'OK "logged in"\r\n'
    return session


async def test_a_stranger_has_his_time_and_a_user_half_an_hour(world: ManageSieveWorld, stage: Stage) -> None:
    now = asyncio.get_running_loop().time
    session = await stranger(stage)
    first = session.connection.deadline
    assert first - now() <= world.settings.managesieve.login_seconds == 30
    await session.feed(b"NOOP\r\nCAPABILITY\r\n")
    assert session.connection.deadline == first, "commands buy a stranger no time"
    other = await user(stage, 2)
    until = other.connection.deadline
    assert until - now() > 1800
    await other.feed(b"NO")
    assert other.connection.deadline == until, "a command that does not end buys no time"
    await other.feed(b"OP\r\nUNAUTHENTICATE\r\n")
    assert other.connection.deadline - now() <= 30


async def test_changed_credentials_end_a_session(world: ManageSieveWorld, stage: Stage) -> None:
    session = await user(stage)
    await world.store.commit(Transaction((BumpEpoch(world.accounts["alice"]),)))
    assert (await session.feed(b"LISTSCRIPTS\r\n")).startswith(b"BYE ")
    assert session.closed


async def test_a_store_in_trouble_is_tried_later(
    world: ManageSieveWorld, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)

    async def fails(*_: object) -> None:
        raise TryLater

    monkeypatch.setattr(world.store, "commit", fails)
    assert (await session.feed(b'PUTSCRIPT "a" "keep;"\r\n')).startswith(b"NO (TRYLATER) ")
    assert await session.feed(b"LISTSCRIPTS\r\n") == b'OK "scripts"\r\n'


async def test_strangers_get_no_memory(world: ManageSieveWorld, stage: Stage) -> None:
    floods = (
        b'NOOP "' + b"a" * limits.STRANGER,
        b"NOOP {8192+}\r\n",
        b"NOOP {4294967295+}\r\n",
        b"NOOP {99999999999999999999+}\r\n",
        b"NOOP {9+}\r\n" + b"a" * 9 + b" {9+}\r\n" + b"a" * 9 + b" {9+}\r\n",
        b"(" * 100_000,
        b'AUTHENTICATE "PLAIN"\r\n' + b'"' + b"A" * limits.RESPONSE,
    )
    for number, flood in enumerate(floods):
        session = await stranger(stage, number)
        assert (await session.feed(flood)).rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith(b"BYE ")
        assert session.closed


async def test_users_are_bounded_too(world: ManageSieveWorld, stage: Stage) -> None:
    session = await user(stage)
    size = world.scripts.largest + 1
    said = await session.feed(b'PUTSCRIPT "a" {%d+}\r\n' % size + b"#" * size + b"\r\nNOOP\r\n")
    assert said.startswith(b"NO (QUOTA/MAXSIZE) ") and said.endswith(b'OK "done"\r\n')
    assert (await session.feed(b'PUTSCRIPT "a" {%d+}\r\n' % (limits.SKIPPED + 1))).startswith(b"BYE ")
    session = await user(stage, 2)
    assert (await session.feed(b"x" * (limits.LINE + 1))).startswith(b"BYE ")


async def test_strangers_and_users_have_so_many_errors(world: ManageSieveWorld, stage: Stage) -> None:
    session = await stranger(stage)
    said = await session.feed(b"x\r\n" * 100)
    assert said.count(b"NO ") == BAD_COMMANDS and said.endswith(b'BYE "too many errors"\r\n')
    session = await user(stage, 2)
    said = await session.feed(b'GETSCRIPT "x"\r\n' * 500)
    assert said.count(b"NO (NONEXISTENT)") == 500
    said = await session.feed(b"x\r\n" * (BAD_COMMANDS_OF_USERS + 50))
    assert said.endswith(b'BYE "too many errors"\r\n') and session.closed


async def test_passwords_are_never_logged(
    world: ManageSieveWorld, stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    LOG.configure(level="debug")
    session = await stranger(stage)
    await session.feed(b'AUTHENTICATE "PLAIN" "AGFsaWNlQGV4YW1wbGUudGVzdABodW50ZXIy"\r\n')
    LOG.flush()
    said = capfd.readouterr()
    assert "hunter2" not in said.err + said.out and "aHVudGVy" not in said.err


async def test_a_script_is_nobody_elses(world: ManageSieveWorld, stage: Stage) -> None:
    session = await user(stage)
    await session.feed(b'PUTSCRIPT "secret" "keep;"\r\n')
    bob = await stranger(stage, 2)
    await bob.feed(b'AUTHENTICATE "PLAIN" "AGJvYkBleGFtcGxlLnRlc3QAc2VjcmV0LWE="\r\n')
    for command in (b"GETSCRIPT", b"DELETESCRIPT", b"SETACTIVE"):
        there = await bob.feed(command + b' "secret"\r\n')
        assert there == await bob.feed(command + b' "absent"\r\n')
