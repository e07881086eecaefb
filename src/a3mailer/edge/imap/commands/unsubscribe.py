"""UNSUBSCRIBE (RFC 9051 section 6.3.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.commands.subscribe import set_subscribed
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    name: ClassVar = b"UNSUBSCRIBE"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str

    # unsubscribe = "UNSUBSCRIBE" SP mailbox
    @classmethod
    def parse(cls, p: Parser) -> Unsubscribe:
        p.space()
        mailbox = p.mailbox()
        p.end()
        return cls(mailbox)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        await set_subscribed(session, self.mailbox, subscribed=False)
        yield DONE
