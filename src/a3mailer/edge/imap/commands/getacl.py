"""GETACL (RFC 4314 section 3.3): the owner first, where somebody is it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import astring, is_person, with_old
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.mail.rights import ALL_RIGHTS, of_account
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class GetAcl:
    name: ClassVar = b"GETACL"
    action: ClassVar = "mailbox.share"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # getacl = "GETACL" SP mailbox
    # acl-data = "ACL" SP mailbox *(SP identifier SP rights)
    @classmethod
    def parse(cls, p: Parser) -> GetAcl:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.mailbox, "mailbox.share")
        rights = session.services.rights
        given = {}
        if await is_person(session, row.account):
            given[await rights.shown(of_account(row.account))] = ALL_RIGHTS
        owner = await rights.owner(row.account)
        granted = owner.grants.get(row.id, {}) if owner is not None else {}
        for identifier, letters in granted.items():
            try:
                given[await rights.shown(identifier)] = letters
            except NoSuchAccount:
                continue
        pairs = [b" %b %b" % (astring(who), astring(with_old(what))) for who, what in given.items()]
        yield b"* ACL %b%b\r\n" % (mailbox_name(row.name, utf8=session.utf8), b"".join(pairs))
