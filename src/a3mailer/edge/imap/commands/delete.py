"""DELETE (RFC 9051 section 6.3.5): the messages go to the vault, children stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.subscriptions import subscribe
from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import old_name
from a3mailer.edge.imap.response import Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import NotAllowed
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import INBOX_NAME
from a3mailer.store.operations import DeleteMailbox, Operation
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Delete:
    name: ClassVar = b"DELETE"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    given: str = ""

    # delete = "DELETE" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> Delete:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox, p.given)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if self.mailbox == INBOX_NAME:
            yield Failed(b"CANNOT", b"INBOX cannot be deleted")
            return
        row = await session.mailbox(self.mailbox, "mailbox.remove")
        if row.id == INBOX:
            raise NotAllowed("INBOX of another")
        selected = session.selected
        if selected is not None and (selected.account, selected.mailbox) == (row.account, row.id):
            session.unselect()
            yield b"* OK [CLOSED] the selected mailbox is being deleted\r\n"
        acts: list[Operation] = [DeleteMailbox(row.account, row.id)]
        if row.subscribed and row.account == session.account:
            acts.append(subscribe(session.account, row.name))
        await session.commit(*acts)
        yield old_name(session, row.name, self.given, b"\\NonExistent")
