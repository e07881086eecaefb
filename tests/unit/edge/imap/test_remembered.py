"""Orders and threads that are remembered are those that would be made now."""

import pathlib
import random

import pytest

from a3mailer.access import view
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.store.operations import Expunge, StoreFlags
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.imap_world import ImapWorld

COMMANDS = (
    b"SORT (REVERSE DATE) UTF-8 ALL",
    b"SORT (REVERSE DATE) UTF-8 UNSEEN",
    b"UID SORT (SUBJECT DATE) UTF-8 ALL",
    b"UID SORT (SUBJECT DATE) UTF-8 MODSEQ 1",
    b"SORT RETURN (ALL COUNT) (SUBJECT DATE) UTF-8 ALL",
    b"UID SORT RETURN (PARTIAL 1:2) (SUBJECT DATE) UTF-8 ALL",
    b"THREAD REFERENCES UTF-8 ALL",
    b"UID THREAD REFERENCES UTF-8 ALL",
    b"UID THREAD ORDEREDSUBJECT UTF-8 ALL",
    b"THREAD REFERENCES UTF-8 UNSEEN",
)


def mail(number: int) -> bytes:
    follows = b"References: <%d@x>\r\n" % (number // 3) if number % 3 else b""
    head = b"Subject: about %d\r\nDate: Mon, %d Nov 2026 10:00:00 +0000\r\n" % (
        number % 4,
        1 + number * 7 % 28,
    )
    return head + b"Message-ID: <%d@x>\r\n%b\r\nx\r\n" % (number, follows)


async def enter(stage: Stage, number: int) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    await session.feed(b"a0 LOGIN alice@example.test secret-a\r\na0 SELECT INBOX\r\n")
    return session


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_remembered_is_what_would_be_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(view, "ANSWERED", 1)
    draw = random.Random(seed)
    world = ImapWorld(tmp_path)
    await world.fill()
    for number in range(6):
        await world.deliver(mail(number))
    alice, recalled = world.accounts["alice"], 0
    async with Stage(world.serve, world.connect) as stage:
        sessions = [await enter(stage, number) for number in (1, 2)]
        mailbox = next(iter(world.views._open.values()))
        for number in range(6, 40):
            uids = tuple([Uid(draw.randrange(1, number)) for _ in range(2)])
            match draw.randrange(4):
                case 0:
                    await world.deliver(mail(number))
                case 1:
                    await world.store.commit(Transaction((Expunge(alice, INBOX, uids[:1]),)))
                case 2:
                    await world.store.commit(
                        Transaction((StoreFlags(alice, INBOX, uids, "+", SEEN | DELETED),))
                    )
                case _:
                    await draw.choice(sessions).feed(b"a1 NOOP\r\n")
            session, command = draw.choice(sessions), draw.choice(COMMANDS)
            await session.feed(b"a2 %b\r\n" % command)
            known = len(mailbox.answers)
            told = await session.feed(b"a3 %b\r\n" % command)
            recalled += known > 0
            mailbox.answers.clear()
            assert await session.feed(b"a3 %b\r\n" % command) == told, (command, number)
    world.close()
    assert recalled > 5
