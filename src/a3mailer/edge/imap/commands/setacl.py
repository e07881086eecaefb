"""SETACL (RFC 4314 section 3.1). The owner keeps all rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import parse_identifier, parse_mod_rights
from a3mailer.mail.errors import NotAllowed
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class SetAcl:
    name: ClassVar = b"SETACL"
    action: ClassVar = "mailbox.share"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    identifier: str
    mode: str
    rights: str

    # setacl = "SETACL" SP mailbox SP identifier SP mod-rights
    @classmethod
    def parse(cls, p: Parser) -> SetAcl:
        p.space()
        mailbox = p.mailbox()
        p.space()
        identifier = parse_identifier(p)
        p.space()
        mode, rights = parse_mod_rights(p)
        p.end()
        return cls(mailbox, identifier, mode, rights)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.mailbox, "mailbox.share")
        identifier = await session.services.rights.identifier(session.principal, self.identifier)
        try:
            change = await session.services.rights.granting(row, identifier, self.mode, self.rights)
        except NotAllowed as error:
            yield Failed(b"CANNOT", str(error).encode())
            return
        if change is not None:
            await session.commit(*await session.services.sharing.announced(session.principal, change))
            session.services.rights.forget()
        yield DONE
