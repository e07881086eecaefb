"""LIST (RFC 9051 section 6.3.9) with RFC 5258, RFC 5819 (STATUS) and RFC 6154 (SPECIAL-USE)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import list_lines
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.listing import ListRequest, parse_list
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class List:
    name: ClassVar = b"LIST"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    request: ListRequest

    @classmethod
    def parse(cls, p: Parser) -> List:
        request = parse_list(p)
        p.end()
        return cls(request)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if self.request.patterns == ("",) and not self.request.extended:
            yield b'* LIST (\\Noselect) "/" ""\r\n'
            return
        async for octets in list_lines(session, self.request, b"LIST"):
            yield octets
