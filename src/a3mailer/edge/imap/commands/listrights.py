"""LISTRIGHTS (RFC 4314 section 3.4): no right is tied to another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import astring, is_person, parse_identifier, with_old
from a3mailer.mail.rights import ALL_RIGHTS, of_account
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class ListRights:
    name: ClassVar = b"LISTRIGHTS"
    action: ClassVar = "mailbox.share"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    identifier: str

    # listrights = "LISTRIGHTS" SP mailbox SP identifier
    # listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)
    @classmethod
    def parse(cls, p: Parser) -> ListRights:
        p.space()
        mailbox = p.mailbox()
        p.space()
        identifier = parse_identifier(p)
        p.end()
        return cls(mailbox, identifier)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.mailbox, "mailbox.share")
        identifier = await session.services.rights.identifier(session.principal, self.identifier)
        letters = with_old(ALL_RIGHTS)
        possible = b'"" ' + " ".join(letters).encode()
        if identifier == of_account(row.account) and await is_person(session, row.account):
            possible = letters.encode()
        name = mailbox_name(row.name, utf8=session.utf8)
        yield b"* LISTRIGHTS %b %b %b\r\n" % (name, astring(self.identifier), possible)
