"""STATUS (RFC 9051 section 6.3.11) with SIZE (RFC 8438), HIGHESTMODSEQ, MAILBOXID: from stored counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import status_line
from a3mailer.edge.imap.response import DONE, Completed
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.listing import parse_status_items
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Status:
    name: ClassVar = b"STATUS"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    items: tuple[bytes, ...]

    # status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
    @classmethod
    def parse(cls, p: Parser) -> Status:
        p.space()
        mailbox = p.mailbox()
        p.space()
        items = parse_status_items(p)
        p.end()
        return cls(mailbox, items)

    async def run(self, session: Session) -> Completed:
        row = await session.mailbox(self.mailbox)
        session.write(await status_line(session, row, self.items))
        return DONE
