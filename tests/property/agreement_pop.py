"""What a POP3 program does on INBOX, and what becomes true by it (RFC 1939)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from a3mailer.edge.pop3.door import Pop3Door
from a3mailer.edge.pop3.services import Services
from a3mailer.runtime.leases import Leases
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession
from tests.property.agreement import Client, Doing, Stage
from tests.property.agreement_acts import MAILS


async def door(stage: Stage) -> MemorySession:
    """A new connection, logged in."""
    if stage.pop3 is None:
        leases = Leases(stage.folder / "leases")
        stage.closes.append(leases.close)
        stage.pop3 = Pop3Door(
            Services(
                store=stage.store,
                views=stage.views,
                authenticator=stage.authenticator,
                settings=stage.settings,
                clock=stage.clock,
                leases=leases,
                logins=SharedTable(64, 600.0),
            )
        )
    connection = MemoryConnection(("127.0.0.1", 50000), ("127.0.0.1", 110))
    session = stage.open(connection, stage.pop3)
    assert (await session.greeting()).startswith(b"+OK")
    assert (await session.feed(b"USER alice@a.test\r\n")).startswith(b"+OK")
    assert (await session.feed(b"PASS secret-a\r\n")).startswith(b"+OK")
    return session


def lines(answer: bytes) -> list[bytes]:
    """Of a multi-line response (section 3)."""
    assert answer.startswith(b"+OK") and answer.endswith(b"\r\n.\r\n"), answer[:80]
    return answer.split(b"\r\n")[1:-2]


async def pop(stage: Stage, client: Client, chosen: frozenset[int], ends: bool) -> None:
    """All is listed and read; what is marked goes with QUIT, and stays when the connection is lost."""
    box = stage.boxes["INBOX"]
    session = await door(stage)
    letters = list(box.letters.values())
    sizes = [len(MAILS[one.content]) for one in letters]
    assert await session.feed(b"STAT\r\n") == b"+OK %d %d\r\n" % (len(letters), sum(sizes))
    assert lines(await session.feed(b"LIST\r\n")) == [b"%d %d" % pair for pair in enumerate(sizes, 1)]
    listed = [line.split(b" ") for line in lines(await session.feed(b"UIDL\r\n"))]
    assert [int(number) for number, _ in listed] == list(range(1, len(letters) + 1))
    assert len({name for _, name in listed}) == len(listed), "and shares it with none"
    for one, (_, name) in zip(letters, listed, strict=True):
        assert stage.uidls.setdefault((one.origin, one.twin), name) == name, (
            "a message keeps its UIDL, wherever it was"
        )
    assert len(set(stage.uidls.values())) == len(stage.uidls), "a UIDL names one message for ever"
    doomed = sorted({number % len(letters) for number in chosen}) if letters else []
    for at in doomed:
        read = lines(await session.feed(b"RETR %d\r\n" % (at + 1)))
        assert b"".join(re.sub(rb"^\.", b"", line) + b"\r\n" for line in read) == MAILS[letters[at].content]
        assert (await session.feed(b"DELE %d\r\n" % (at + 1))).startswith(b"+OK")
    if ends:
        assert (await session.feed(b"QUIT\r\n")).startswith(b"+OK")
        box.remove(letters[at].uid for at in doomed)
    else:
        session.connection.end()
        await session.feed(b"")


ACTS: Final[Mapping[str, Doing]] = {"pop": pop}
