"""SUBSCRIBE (RFC 9051 section 6.3.7): only what exists can be subscribed to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access import subscriptions
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import NoSuchMailbox, NotPermitted
from a3mailer.store.operations import SetMailbox
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Subscribe:
    name: ClassVar = b"SUBSCRIBE"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # subscribe = "SUBSCRIBE" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> Subscribe:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        await set_subscribed(session, self.mailbox, subscribed=True)
        yield DONE


async def set_subscribed(session: Session, name: str, *, subscribed: bool) -> None:
    """Change one mailbox's mark. To end one no right is needed. Errors: NoSuchMailbox, NotPermitted."""
    account = session.account
    try:
        row = await session.mailbox(name, "mailbox.list")
    except (NoSuchMailbox, NotPermitted):
        if subscribed or not await subscriptions.subscribed(session.services.store, account, name):
            raise
        await session.commit(subscriptions.unsubscribe(account, name))
        return
    if row.subscribed == subscribed:
        return
    if row.account == account:
        await session.commit(SetMailbox(account, row.id, subscribed=subscribed))
    elif subscribed:
        await session.commit(subscriptions.subscribe(account, row.name))
    else:
        await session.commit(subscriptions.unsubscribe(account, row.name))
