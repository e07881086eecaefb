"""Attack row 37 at the IMAP door: every command that names a mailbox, with every right, and other tenants.

Who may not know of a mailbox is told exactly what is told of one that is not there."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.mail.ids import INBOX, TenantId
from a3mailer.mail.rights import ALL_RIGHTS, ANYONE, of_account
from a3mailer.store.operations import (
    AccountCreated,
    ChangeGrant,
    CreateAccount,
    PutCredential,
    PutDomain,
    PutTenant,
)
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.imap_world import STORED, ImapWorld

NEEDED = {
    'SELECT "{}"': "r",
    'EXAMINE "{}"': "r",
    'STATUS "{}" (MESSAGES)': "r",
    'GETQUOTAROOT "{}"': "r",
    'SUBSCRIBE "{}"': "l",
    'GETACL "{}"': "a",
    'SETACL "{}" bob +l': "a",
    'DELETEACL "{}" anyone': "a",
    'LISTRIGHTS "{}" bob': "a",
    'MYRIGHTS "{}"': "lrikxa",
    'CREATE "{}/child"': "k",
    'RENAME "{}" mine': "x",
    'DELETE "{}"': "x",
    'COPY 1 "{}"': "i",
    'MOVE 1 "{}"': "i",
    'APPEND "{}" {3+}\r\nA: ': "i",
    'UNSUBSCRIBE "{}"': "l",
}
"""The rights of which one lets a command find the mailbox."""
CLOSED = b"* OK [CLOSED] the mailbox selected before is closed\r\n"
ABSENT = ("NONEXISTENT", "TRYCREATE")


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ImapWorld]:
    world = ImapWorld(tmp_path, {"messages": "short"})
    await world.fill()
    await world.deliver(b"Subject: x\r\n\r\nx\r\n", account="bob")
    await world.store.commit(
        Transaction((PutTenant(TenantId(2), "second"), PutDomain(TenantId(2), "other.test")))
    )
    (made,) = await world.store.commit(Transaction((CreateAccount(TenantId(2), "eve@other.test"),)))
    assert isinstance(made, AccountCreated)
    world.accounts["eve"] = made.account
    await world.store.commit(Transaction((PutCredential(made.account, "main", "password", STORED),)))
    yield world
    world.close()


async def logged_in(stage: Stage, number: int, address: str) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    assert b" OK " in await session.feed(f"a0 LOGIN {address} secret-a\r\na0 SELECT INBOX\r\n".encode())
    return session


async def ask(session: MemorySession, command: str, name: str) -> str:
    """The whole answer, without the name."""
    line = command.replace("{}", name)
    said = await session.feed(f"a1 {line}\r\n".encode())
    return said.replace(CLOSED, b"").decode().replace(name, "NAME")


@pytest.mark.parametrize("right", ["", *ALL_RIGHTS])
async def test_what_one_may_not_know_of_is_not_there(world: ImapWorld, right: str) -> None:
    bob = of_account(world.accounts["bob"])
    change = ChangeGrant(world.accounts["alice"], INBOX, bob, "=", right)
    await world.store.commit(
        Transaction((change, ChangeGrant(world.accounts["eve"], INBOX, ANYONE, "=", ALL_RIGHTS)))
    )
    async with Stage(world.serve, world.connect) as stage:
        for number, (command, needed) in enumerate(NEEDED.items()):
            session = await logged_in(stage, 2 * number, "bob@example.test")
            absent = await ask(session, command, "Other Users/alice/Absent")
            assert any(code in absent for code in ABSENT), command
            for name in (
                "Other Users/nobody/INBOX",
                "Other Users/eve@other.test/INBOX",
                "Shared/alice/INBOX",
            ):
                assert await ask(session, command, name) == absent, (command, name)
            told = await ask(session, command, "Other Users/alice/INBOX")
            if right not in ("l", "r") and (not right or right not in needed):
                assert told == absent, (command, right)
            elif right and right in needed:
                assert not any(code in told for code in (*ABSENT, "NOPERM")), (command, right, told)
            else:
                assert "a1 NO [NOPERM]" in told, (command, right, told)
            await world.store.commit(Transaction((change,)))
            world.rights.forget()


async def test_other_tenants_see_nothing_of_each_other(world: ImapWorld) -> None:
    for owner in world.accounts.values():
        await world.store.commit(Transaction((ChangeGrant(owner, INBOX, ANYONE, "=", ALL_RIGHTS),)))
    world.rights.forget()
    async with Stage(world.serve, world.connect) as stage:
        eve = await logged_in(stage, 1, "eve@other.test")
        for pattern in ("*", "Other*", "Other Users/%/%"):
            assert b"Other" not in await eve.feed(f'a1 LIST "" {pattern}\r\n'.encode())
        for command in NEEDED:
            absent = await ask(eve, command, "Other Users/alice@example.test/Absent")
            assert await ask(eve, command, "Other Users/alice@example.test/INBOX") == absent
            assert await ask(eve, command, "Other Users/alice/INBOX") == absent
        assert b"NONEXISTENT" in await eve.feed(b"a1 SETACL INBOX alice@example.test lr\r\n")
        bob = await logged_in(stage, 2, "bob@example.test")
        listed = await bob.feed(b'a1 LIST "" "Other Users/*"\r\n')
        assert listed.count(b"* LIST") == 1
        assert b"Other Users/alice/INBOX" in listed
