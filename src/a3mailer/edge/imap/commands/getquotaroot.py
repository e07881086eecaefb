"""GETQUOTAROOT (RFC 9208 section 4.1.2): one's own mailboxes count towards ""."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.commands.getquota import quota_line, root_of
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    name: ClassVar = b"GETQUOTAROOT"
    action: ClassVar = "quota.read"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # getquotaroot = "GETQUOTAROOT" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> GetQuotaRoot:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.mailbox)
        name, root = mailbox_name(row.name, utf8=session.utf8), b""
        if row.account != session.account:
            owner = await session.services.rights.owner(row.account)
            if owner is None or not owner.shared:
                yield b"* QUOTAROOT %b\r\n" % name
                return
            root = root_of(owner, session.principal)
        yield b"* QUOTAROOT %b %b\r\n" % (name, string(root))
        yield await quota_line(session, row.account, root)
