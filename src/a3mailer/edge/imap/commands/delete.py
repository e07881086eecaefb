"""DELETE (RFC 9051 section 6.3.5): the messages go to the vault, children stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.mailbox import INBOX_NAME
from a3mailer.store.operations import DeleteMailbox
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Delete:
    name: ClassVar = b"DELETE"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # delete = "DELETE" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> Delete:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if self.mailbox == INBOX_NAME:
            yield Failed(b"CANNOT", b"INBOX cannot be deleted")
            return
        row = await session.mailbox(self.mailbox)
        if session.selected is not None and session.selected.mailbox == row.id:
            session.unselect()
            yield b"* OK [CLOSED] the selected mailbox is being deleted\r\n"
        await session.commit(DeleteMailbox(session.account, row.id))
