"""CLOSE (RFC 9051 section 6.4.1): expunge what is \\Deleted without a word, and leave the mailbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.commands.expunge import expunge_deleted, refusal
from a3mailer.edge.imap.response import DONE, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Close:
    name: ClassVar = b"CLOSE"
    action: ClassVar = "message.expunge"
    states: ClassVar = state.SELECTED
    expunges: ClassVar = False

    # "CLOSE"
    @classmethod
    def parse(cls, p: Parser) -> Close:
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if refusal(session.chosen, "e") is None:
            await expunge_deleted(session, None)
        session.unselect()
        yield DONE
