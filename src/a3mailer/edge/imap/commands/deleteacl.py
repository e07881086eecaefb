"""DELETEACL (RFC 4314 section 3.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import parse_identifier
from a3mailer.store.operations import ChangeGrant
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    name: ClassVar = b"DELETEACL"
    action: ClassVar = "mailbox.share"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    identifier: str

    # deleteacl = "DELETEACL" SP mailbox SP identifier
    @classmethod
    def parse(cls, p: Parser) -> DeleteAcl:
        p.space()
        mailbox = p.mailbox()
        p.space()
        identifier = parse_identifier(p)
        p.end()
        return cls(mailbox, identifier)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.mailbox, "mailbox.share")
        identifier = await session.services.rights.identifier(session.principal, self.identifier)
        change = ChangeGrant(row.account, row.id, identifier, "=", "")
        await session.commit(*await session.services.sharing.announced(session.principal, change))
        session.services.rights.forget()
        yield DONE
