"""MYRIGHTS (RFC 4314 section 3.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.rights import ANY
from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import myrights_line
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class MyRights:
    name: ClassVar = b"MYRIGHTS"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # myrights = "MYRIGHTS" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> MyRights:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        yield await myrights_line(session, await session.mailbox(self.mailbox, ANY))
