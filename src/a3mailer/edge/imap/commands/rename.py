"""RENAME (RFC 9051 section 6.3.6): children follow; INBOX stays and its messages move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.metadata import copies
from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import old_name
from a3mailer.edge.imap.response import DONE, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.store.operations import RenameMailbox
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Rename:
    name: ClassVar = b"RENAME"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    old: str
    new: str
    given: str = ""
    """The old name as it was given, where one of the two is another than the one it stands for."""

    # rename = "RENAME" SP mailbox SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> Rename:
        p.space()
        old = p.mailbox()
        given = p.given
        p.space()
        new = p.mailbox()
        p.end()
        return cls(old, new, given or (old if p.given else ""))

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await session.mailbox(self.old, "mailbox.remove")
        owner, name = await session.services.rights.place(session.principal, self.new.removesuffix(SEPARATOR))
        if owner != row.account:
            yield Failed(b"CANNOT", b"a mailbox stays with its owner")
            return
        await session.commit(RenameMailbox(owner, row.id, name))
        if row.id == INBOX:
            store = session.services.store
            fresh = await store.mailbox_named(owner, name)
            if kept := await copies(store, owner, INBOX, fresh.id):
                await session.commit(*kept)
        yield old_name(session, self.new.removesuffix(SEPARATOR), self.given)
        yield DONE
