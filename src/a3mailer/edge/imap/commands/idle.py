"""IDLE (RFC 2177, RFC 9051 section 6.3.13): news as they happen, until DONE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Idle:
    name: ClassVar = b"IDLE"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True

    resumed: bool = False
    """The session was parked while it idled."""

    # idle = "IDLE" CRLF "DONE"
    @classmethod
    def parse(cls, p: Parser) -> Idle:
        p.end()
        return cls()

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if not self.resumed:
            await session.tell_news(expunges=True)
            session.begin_idle()
        line = await session.idle()
        if line.upper() != b"DONE":
            raise BadSyntax("DONE expected")
        yield Completed(text=b"IDLE terminated")
