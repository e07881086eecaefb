"""SETACL (RFC 4314 section 3.1). The owner keeps all rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import is_person, parse_identifier, parse_mod_rights
from a3mailer.mail.rights import ALL_RIGHTS, NEGATIVE, changed, of_account
from a3mailer.store.operations import ChangeGrant
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
        if identifier.removeprefix(NEGATIVE) == of_account(row.account) and await is_person(
            session, row.account
        ):
            stays = identifier.startswith(NEGATIVE) == (self.rights == "")
            if stays and (self.rights == "" or changed(ALL_RIGHTS, self.mode, self.rights) == ALL_RIGHTS):
                yield DONE
            else:
                yield Failed(b"CANNOT", b"the owner of a mailbox has all rights")
            return
        await session.commit(ChangeGrant(row.account, row.id, identifier, self.mode, self.rights))
        session.services.rights.forget()
        yield DONE
